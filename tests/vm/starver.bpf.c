// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For a test: first come, first served, and who has a CPU keeps it for as long as it likes. One hog for each CPU starves
 * all others.
 */
#include "ops.h"

char _license[] SEC("license") = "GPL";

void OP(starver_enqueue, struct task_struct *task, u64 flags)
{
	scx_bpf_dsq_insert(task, SCX_DSQ_GLOBAL, SCX_SLICE_INF, flags);
}

SEC(".struct_ops.link")
struct sched_ext_ops starver = {
	.enqueue = (void *)starver_enqueue,
	.timeout_ms = 30000,
	.name = "starver",
};
