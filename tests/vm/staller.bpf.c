// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For a test: first come, first served, but a task that is named "stalled" gets no CPU.
 */
#include "ops.h"

char _license[] SEC("license") = "GPL";

static __always_inline bool is_stalled(struct task_struct *task)
{
	return task->comm[0] == 's' && task->comm[1] == 't' && task->comm[2] == 'a' && task->comm[3] == 'l' &&
	       task->comm[4] == 'l' && task->comm[5] == 'e' && task->comm[6] == 'd';
}

s32 OP(staller_select_cpu, struct task_struct *task, s32 last, u64 wake_flags)
{
	return is_stalled(task) ? last : idle_cpu_or_last(task, last, wake_flags, SLICE_NS);
}

void OP(staller_enqueue, struct task_struct *task, u64 flags)
{
	if (!is_stalled(task))
		scx_bpf_dsq_insert(task, SCX_DSQ_GLOBAL, SLICE_NS, flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops staller = {
	.select_cpu = (void *)staller_select_cpu,
	.enqueue = (void *)staller_enqueue,
	.timeout_ms = 30000,
	.name = "staller",
};
