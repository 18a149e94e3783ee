// SPDX-License-Identifier: Apache-2.0
/*
 * What a job does with its loops. A class has up to three numbers for it (Behaviour.numbers() in behaviours.py):
 *
 *	        count     first_number            second_number
 *	SLEEP   bursts    ns of each sleep
 *	PIPE    rounds
 *	FORK    depth                             children of each task
 *	LOCK              millionths of the work
 *	FILE_IO           bytes                   1 to wait for the disk
 *	MEMORY            bytes
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "generator.h"

#define PIECE (64 << 10)
#define CACHE_LINE 64
/* Memory is touched in so many steps, with work between them. */
#define STEPS 16

/* ---- preparing ---- */

/* A file without a name: nothing is left of it on any exit. */
static int nameless_file(const char *directory)
{
	char path[PATH_BYTES + 32];
	int file = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR))
		return file;
	snprintf(path, sizeof(path), "%s/schedtel-XXXXXX", directory); /* a file system without O_TMPFILE */
	file = mkstemp(path);
	if (file >= 0)
		unlink(path);
	return file;
}

static void prepare_memory(struct worker *worker)
{
	size_t bytes = worker->class->first_number;

	worker->memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (worker->memory == MAP_FAILED)
		fail(worker->class, "cannot have so much memory", errno);
}

/* Before a worker's first job, in the task that does it. A failure ends the run. */
void prepare(struct worker *worker)
{
	if (worker->class->kind == PIPE)
		start_partner(worker);
	if (worker->class->kind == MEMORY)
		prepare_memory(worker);
	if (worker->class->kind == FILE_IO) {
		worker->file = nameless_file(worker->class->directory);
		if (worker->file < 0)
			fail(worker->class, "cannot make a file in its directory", errno);
	}
}

/* ---- behaving ---- */

static void sleep_between_bursts(struct class *class, u64 loops)
{
	struct timespec pause = { class->first_number / NS_PER_S, class->first_number % NS_PER_S };
	s64 burst;

	for (burst = 0; burst < class->count; burst++) {
		if (burst)
			nanosleep(&pause, NULL);
		spin(loops / class->count);
	}
}

static void work_under_lock(struct class *class, u64 loops)
{
	u64 inside = loops / 1000000.0 * class->first_number;

	spin(loops - inside);
	if (pthread_mutex_lock(&class->lock) == EOWNERDEAD)
		pthread_mutex_consistent(&class->lock);	/* the life that held it was killed */
	spin(inside);
	pthread_mutex_unlock(&class->lock);
}

static bool write_and_read(struct worker *worker)
{
	static const char zeros[PIECE];
	char back[PIECE];
	s64 at, bytes = worker->class->first_number;

	for (at = 0; at < bytes; at += PIECE) {
		size_t piece = bytes - at < PIECE ? bytes - at : PIECE;

		if (pwrite(worker->file, zeros, piece, at) != (ssize_t)piece)
			return false;
	}
	if (worker->class->second_number && fdatasync(worker->file))
		return false;
	for (at = 0; at < bytes; at += PIECE)
		if (pread(worker->file, back, PIECE, at) <= 0)
			return false;
	return true;
}

static void work_beside_file(struct worker *worker, u64 loops)
{
	spin(loops / 2);
	if (!write_and_read(worker))
		worker->class->errors++;
	spin(loops - loops / 2);
}

static void work_and_touch(struct worker *worker, u64 loops)
{
	size_t bytes = worker->class->first_number, at = 0;
	int step;

	for (step = 1; step <= STEPS; step++) {
		for (; at < bytes / STEPS * step; at += CACHE_LINE)
			((volatile char *)worker->memory)[at]++;
		spin(loops / STEPS);
	}
	for (; at < bytes; at += CACHE_LINE)
		((volatile char *)worker->memory)[at]++;
}

void behave(struct worker *worker, u64 loops)
{
	switch (worker->class->kind) {
	case CPU:
		spin(loops);
		break;
	case SLEEP:
		sleep_between_bursts(worker->class, loops);
		break;
	case PIPE:
		pass_back_and_forth(worker, loops);
		break;
	case FORK:
		run_tree(worker, loops);
		break;
	case LOCK:
		work_under_lock(worker->class, loops);
		break;
	case FILE_IO:
		work_beside_file(worker, loops);
		break;
	case MEMORY:
		work_and_touch(worker, loops);
		break;
	}
}
