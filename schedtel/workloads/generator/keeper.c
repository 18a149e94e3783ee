// SPDX-License-Identifier: Apache-2.0
/* A command of others, kept: when it ends, when this process is told to end, or when its parent is gone, all that
 * descends from it is ended, also what it has put in the background or in a session of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "generator.h"

#define CANNOT_RUN 127
/* For a command that has been asked to end. */
#define GRACE_LOOKS 200
#define LOOK_NS (NS_PER_S / 100)

/* Status of the command if it has ended, as a shell has it, else -1. */
static int status_of(pid_t command, int options)
{
	int status;
	pid_t gone;

	while ((gone = waitpid(-1, &status, options)) > 0)
		if (gone == command)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	return -1;
}

static int ask_to_end(pid_t command)
{
	struct timespec look = { 0, LOOK_NS };
	int looks, status = -1;

	kill(command, SIGTERM);
	for (looks = 0; looks < GRACE_LOOKS && status < 0; looks++) {
		nanosleep(&look, NULL);
		status = status_of(command, WNOHANG);
	}
	return status < 0 ? 128 + SIGKILL : status;
}

int keep(char **command)
{
	struct timespec look = { 0, LOOK_NS };
	int status = -1;
	pid_t child = fork_child();

	if (child == 0) {
		execvp(command[0], command);
		_exit(CANNOT_RUN);
	}
	if (child < 0)
		return CANNOT_RUN;
	while (status < 0 && !interrupted) {
		nanosleep(&look, NULL);
		status = status_of(child, WNOHANG);
	}
	if (status < 0)
		status = ask_to_end(child);
	end_descendants();
	return status;
}
