// SPDX-License-Identifier: Apache-2.0
/* The behaviour PIPE: a worker and its partner wake each other over two pipes, and both do a part of the work. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "generator.h"

struct ends {
	int requests, answers;
};

/* A partner ends when the other end of its pipe is closed. */
static void *partner(void *argument)
{
	struct ends ends = *(struct ends *)argument;
	u64 loops;

	free(argument);
	while (read(ends.requests, &loops, sizeof(loops)) == sizeof(loops)) {
		spin(loops);
		if (write(ends.answers, &loops, sizeof(loops)) != sizeof(loops))
			break;
	}
	close(ends.requests);
	close(ends.answers);
	return NULL;
}

static int begin_partner(struct worker *worker, struct ends *ends)
{
	pthread_t thread;
	pid_t child;
	int error;

	if (worker->class->threads) {
		error = pthread_create(&thread, NULL, partner, ends);
		return error ? error : pthread_detach(thread);
	}
	child = fork_child();
	if (child == 0) {
		close(worker->to_partner);
		close(worker->from_partner);
		partner(ends);
		_exit(0);
	}
	error = child < 0 ? errno : 0;
	close(ends->requests);
	close(ends->answers);
	free(ends);
	return error;
}

/* Called with the worker's treatment applied, which the partner inherits. */
void start_partner(struct worker *worker)
{
	struct ends *ends = malloc(sizeof(*ends));
	int there[2], back[2], error = ENOMEM;

	if (ends && !pipe2(there, O_CLOEXEC) && !pipe2(back, O_CLOEXEC)) {
		*ends = (struct ends){ there[0], back[1] };
		worker->to_partner = there[1];
		worker->from_partner = back[0];
		error = begin_partner(worker, ends);
	} else if (ends) {
		error = errno;
	}
	if (error)
		fail(worker->class, "cannot start a partner", error);
}

void pass_back_and_forth(struct worker *worker, u64 loops)
{
	s64 round, rounds = worker->class->count;
	u64 each = loops / (2 * rounds), answer;

	for (round = 0; round < rounds; round++) {
		spin(each);
		if (write(worker->to_partner, &each, sizeof(each)) != sizeof(each) ||
		    read(worker->from_partner, &answer, sizeof(answer)) != sizeof(answer)) {
			worker->class->errors++;
			return;
		}
	}
}
