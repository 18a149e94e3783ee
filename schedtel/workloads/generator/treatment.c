// SPDX-License-Identifier: Apache-2.0
/* What a task asks of the scheduler for itself, and how a task that is refused something says so. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "generator.h"

/* sched_setattr(2) has no wrapper in older C libraries; include/uapi/linux/sched/types.h. */
struct attributes {
	u32 size, policy;
	u64 flags;
	s32 nice;
	u32 priority;
	u64 runtime, deadline, period;
};

#define RESET_ON_FORK 1			/* SCHED_FLAG_RESET_ON_FORK */
#define DISPATCHER_PRIORITY 60
#define SHORTEST_SLICE_NS 100000

/* Returns 0, or the error of what the kernel refused. */
int apply_treatment(const struct treatment *treatment, bool reset_on_fork)
{
	struct attributes wanted = {
		.size = sizeof(wanted),
		.policy = treatment->policy,
		.flags = reset_on_fork ? RESET_ON_FORK : 0,
		.nice = treatment->nice,
		.priority = treatment->priority,
		.runtime = treatment->runtime_ns,
		.deadline = treatment->deadline_ns,
		.period = treatment->period_ns,
	};

	if (treatment->pinned && sched_setaffinity(0, sizeof(treatment->cpus), &treatment->cpus))
		return errno;
	return syscall(SYS_sched_setattr, 0, &wanted, 0) ? errno : 0;
}

/*
 * The dispatcher and the tasks that fork lives come before all that they release: by SCHED_FIFO, or without the right to
 * that by the shortest slice, with which EEVDF picks a task that wakes sooner. A life inherits neither: with
 * reset_on_fork, the kernel makes it a plain task before it first runs (sched_fork() in kernel/sched/core.c). Returns
 * whether it is SCHED_FIFO.
 */
bool come_first(void)
{
	struct treatment fifo = { .policy = SCHED_FIFO, .priority = DISPATCHER_PRIORITY };
	struct treatment quick = { .policy = SCHED_OTHER, .runtime_ns = SHORTEST_SLICE_NS };

	if (!apply_treatment(&fifo, true))
		return true;
	apply_treatment(&quick, true);
	return false;
}

/* Keep the first failure for the dispatcher, which ends the run with it. */
void fail(const struct class *class, const char *what, int error)
{
	u32 none = 0;

	if (!atomic_compare_exchange_strong(&shared->failed, &none, 1))
		return;
	snprintf(shared->cause, sizeof(shared->cause), "class %s: %.*s: %s", class->name, CAUSE_BYTES - 40, what,
		 strerror(error));
	atomic_store(&shared->failed, 2);
}
