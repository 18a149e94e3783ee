// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For a test: puts the first task into a queue that there is not, so the kernel ejects it as soon as it is in effect.
 */
#include "ops.h"

#define NO_QUEUE 0xdead

char _license[] SEC("license") = "GPL";

void OP(crasher_enqueue, struct task_struct *task, u64 flags)
{
	scx_bpf_dsq_insert(task, NO_QUEUE, SLICE_NS, flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops crasher = {
	.enqueue = (void *)crasher_enqueue,
	.name = "crasher",
};
