// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Weighted fair queueing: one queue for all CPUs, ordered by the CPU time that each task had, divided by its weight.
 *
 * Works well where all tasks have work all the time: each gets its share by weight, on any number of CPUs.
 * Fails where latency counts: a woken task goes ahead of others by at most a slice, and preempts none of them, so it
 * waits up to a slice on each CPU. One queue has one lock: many CPUs contend for it.
 */
#include "ops.h"

char _license[] SEC("license") = "GPL";

enum { SHARED_QUEUE = 0 };

/* The virtual time of the task that began to run last. */
static u64 vtime_now;

#ifndef SUB
s32 OP(vtime_select_cpu, struct task_struct *task, s32 last, u64 wake_flags)
{
	return idle_cpu_or_last(task, last, wake_flags, SLICE_NS);
}
#endif

void OP(vtime_enqueue, struct task_struct *task, u64 flags)
{
	u64 earliest = vtime_now - SLICE_NS; /* so much may a task save up that sleeps */
	u64 vtime = task->scx.dsq_vtime;

	know_arena();
	queue_by_vtime(task, SHARED_QUEUE, SLICE_NS, is_before(vtime, earliest) ? earliest : vtime, flags);
}

void OP(vtime_dispatch, s32 cpu, struct task_struct *last)
{
	run_first_of(SHARED_QUEUE);
}

void OP(vtime_running, struct task_struct *task)
{
	if (is_before(vtime_now, task->scx.dsq_vtime))
		vtime_now = task->scx.dsq_vtime;
}

void OP(vtime_stopping, struct task_struct *task, bool is_runnable)
{
	task->scx.dsq_vtime += (SLICE_NS - task->scx.slice) * WEIGHT_OF_NICE_0 / task->scx.weight;
}

void OP(vtime_enable, struct task_struct *task)
{
	task->scx.dsq_vtime = vtime_now;
}

s32 SLEEPABLE_OP(vtime_init)
{
	return scx_bpf_create_dsq(SHARED_QUEUE, -1);
}

SEC(".struct_ops.link")
struct OPERATIONS vtime = {
	SELECT_CPU(vtime_select_cpu)
	.enqueue = (void *)vtime_enqueue,
	.dispatch = (void *)vtime_dispatch,
	.running = (void *)vtime_running,
	.stopping = (void *)vtime_stopping,
	.enable = (void *)vtime_enable,
	.init = (void *)vtime_init,
	.timeout_ms = 5000,
	.name = "vtime",
};
