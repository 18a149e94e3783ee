// SPDX-License-Identifier: Apache-2.0
/* Processes that end with the one that started them, and the end of all that descend from this one. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "generator.h"

/* Have the kernel send a signal when the parent ends. It may have ended already: then this process ends at once. */
void die_with_parent(int number, pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, number);
	if (getppid() != parent)
		_exit(1);
}

/* A fork whose child is killed when this task ends, and treats signals as any program does. */
pid_t fork_child(void)
{
	static const int handled[] = { SIGTERM, SIGINT, SIGHUP, SIGPIPE };
	pid_t parent = getpid(), child = fork();
	unsigned number;

	if (child == 0) {
		for (number = 0; number < sizeof(handled) / sizeof(*handled); number++)
			signal(handled[number], SIG_DFL);
		die_with_parent(SIGKILL, parent);
	}
	return child;
}

/* The parent of a process, from what follows the last bracket of its name; 0 where it has just gone. */
static pid_t parent_of(const char *pid)
{
	char path[64], text[512], *rest;
	int file, bytes;

	snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return 0;
	bytes = read(file, text, sizeof(text) - 1);
	close(file);
	text[bytes > 0 ? bytes : 0] = 0;
	rest = strrchr(text, ')');
	return rest && strlen(rest) > 4 ? atoi(rest + 4) : 0;
}

static void kill_children(void)
{
	DIR *processes = opendir("/proc");
	struct dirent *entry;

	while (processes && (entry = readdir(processes)))
		if (isdigit(entry->d_name[0]) && parent_of(entry->d_name) == getpid())
			kill(atoi(entry->d_name), SIGKILL);
	if (processes)
		closedir(processes);
}

/*
 * Kill all children until there is none. This process is a subreaper, so the children of a child become its own when
 * that child has gone, and the next turn ends them.
 */
void end_descendants(void)
{
	pid_t gone;

	for (;;) {
		kill_children();
		gone = waitpid(-1, NULL, 0);
		while (gone > 0)
			gone = waitpid(-1, NULL, WNOHANG);
		if (gone < 0 && errno == ECHILD)
			return;
	}
}
