// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A watcher of known cost: forks and exits in; nothing but time spent out.
 *
 * At each of them it does -DSTEPS=n steps of arithmetic, each of which depends on the one before. They run in the
 * context of the task that forks or exits, and are CPU time of that task. No lock is held there for which other CPUs
 * spin, and no task waits to be woken. The steps touch next to no memory, so the run time that the kernel counts is
 * what they cost.
 */
#include "../../bpf/core/kernel_types.h"
#include <bpf/bpf_helpers.h>

__u64 sink;

static inline __attribute__((always_inline)) int work(void)
{
	__u64 x = sink;

	for (__u32 i = 0; i < STEPS; i++)
		x = x * 6364136223846793005ULL + i;
	sink = x;
	return 0;
}

SEC("tp_btf/task_newtask")
int control_fork(void *ctx)
{
	return work();
}

SEC("tp_btf/sched_process_exit")
int control_exit(void *ctx)
{
	return work();
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
