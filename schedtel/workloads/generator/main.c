// SPDX-License-Identifier: Apache-2.0
/*
 * The generator of workloads, a program that schedtel starts:
 *
 *	workload calibrate              prints how many loops a microsecond has
 *	workload run PARENT             a plan on stdin; what became of each job on stdout
 *	workload keep PARENT COMMAND…   runs a command, and ends with all that descends from it
 *
 * PARENT is the process id of the caller. When the caller is gone, however it ended, nothing of this stays.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "generator.h"

_Atomic bool interrupted;

static void interrupt(int number)
{
	(void)number;
	interrupted = true;
}

/*
 * SIGTERM ends a run in order; SIGINT goes to the caller, which passes it on as SIGTERM. The caller has blocked SIGTERM,
 * so that one that comes before this handler waits for it.
 */
static void handle_signals(void)
{
	struct sigaction action = { .sa_handler = interrupt, .sa_flags = SA_RESTART };
	sigset_t blocked;

	sigaction(SIGTERM, &action, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	prctl(PR_SET_TIMERSLACK, 1);
}

int main(int count, char **words)
{
	if (count == 2 && !strcmp(words[1], "calibrate")) {
		printf("%.3f\n", calibrated());
		return 0;
	}
	if (count == 3 && !strcmp(words[1], "run")) {
		handle_signals();
		die_with_parent(SIGKILL, atoi(words[2]));
		read_plan();
		return run();
	}
	if (count > 3 && !strcmp(words[1], "keep")) {
		handle_signals();
		die_with_parent(SIGTERM, atoi(words[2])); /* and not SIGKILL: it ends what descends from it */
		return keep(words + 3);
	}
	fprintf(stderr, "usage: workload calibrate | run PARENT | keep PARENT COMMAND...\n");
	return 2;
}
