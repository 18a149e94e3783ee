// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* First come, first served: one queue for all CPUs, and no preemption by a wakeup.
 *
 * Works well where jobs are of one length and no CPU is short of work: nothing is preempted, so caches stay warm and
 * the longest wait is the queue's length.
 * Fails where short jobs come beside long ones: a short job waits for a slice of each task before it. Weights (nice)
 * mean nothing to it.
 */
#include "ops.h"

char _license[] SEC("license") = "GPL";

#ifndef SUB
s32 OP(fifo_select_cpu, struct task_struct *task, s32 last, u64 wake_flags)
{
	return idle_cpu_or_last(task, last, wake_flags, SLICE_NS);
}
#endif

void OP(fifo_enqueue, struct task_struct *task, u64 flags)
{
	know_arena();
	scx_bpf_dsq_insert(task, SCX_DSQ_GLOBAL, SLICE_NS, flags);
}

SEC(".struct_ops.link")
struct OPERATIONS fifo = {
	SELECT_CPU(fifo_select_cpu)
	.enqueue = (void *)fifo_enqueue,
	.timeout_ms = 5000,
	.name = "fifo",
};
