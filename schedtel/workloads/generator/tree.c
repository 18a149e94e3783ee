// SPDX-License-Identifier: Apache-2.0
/* The behaviour FORK: a job is the root of a tree of processes. All of them do an equal part, and it waits for all. */
#define _GNU_SOURCE
#include <sys/wait.h>
#include <unistd.h>

#include "generator.h"

#define MOST_CHILDREN 1024

static void run_node(struct class *class, u64 loops, s64 depth)
{
	pid_t children[MOST_CHILDREN];
	s64 child, forked = 0;

	for (child = 0; depth && child < class->second_number; child++) {
		pid_t pid = fork_child();

		if (pid == 0) {
			run_node(class, loops, depth - 1);
			_exit(0);
		}
		if (pid > 0)
			children[forked++] = pid;
		else
			class->errors++;
	}
	spin(loops);
	for (child = 0; child < forked; child++)
		waitpid(children[child], NULL, 0);
}

void run_tree(struct worker *worker, u64 loops)
{
	u64 tasks = 1, level = 1;
	s64 depth;

	for (depth = 0; depth < worker->class->count; depth++) {
		level *= worker->class->second_number;
		tasks += level;
	}
	run_node(worker->class, loops / tasks, worker->class->count);
}
