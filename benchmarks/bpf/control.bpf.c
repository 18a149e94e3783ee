// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A watcher of known cost: so many STEPS of arithmetic, each of which waits for the one before, at every birth and exit.
 * These run in the context of who forks and ends, whose CPU time they are, where no lock is held for which others spin and
 * nobody waits to be woken. They touch next to no memory: what the kernel counts as run time is what they cost.
 */
#include "../../bpf/kernel_types.h"
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
