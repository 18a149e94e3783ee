// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* For a test: has no memory for a task. The kernel then gives up its attach half way, and tells its loader of success.
 */
#include "ops.h"

#define NO_MEMORY 12

char _license[] SEC("license") = "GPL";

s32 OP(refuser_init_task, struct task_struct *task, struct scx_init_task_args *args)
{
	return -NO_MEMORY;
}

SEC(".struct_ops.link")
struct sched_ext_ops refuser = {
	.init_task = (void *)refuser_init_task,
	.name = "refuser",
};
