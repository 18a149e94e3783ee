// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* First come, first served, for all tasks but those of one cgroup, to whose own scheduler it lends the CPUs: on each
 * CPU, the two take turns.
 *
 * Works well where one cgroup needs another scheduler than the rest: neither side can starve the other.
 * Fails where the sides should have other shares than halves: weights mean nothing to it, and a turn is a slice, so the
 * side with the shorter slices gets less.
 */
#include "ops.h"

char _license[] SEC("license") = "GPL";

#define EBUSY 16

enum { OWN_QUEUE = 0 };

/* The cgroup that has a scheduler of its own; 0: none has. */
static u64 borrower;
static bool is_lent[MOST_CPUS];

static __always_inline bool lend(void)
{
	return borrower && scx_bpf_sub_dispatch(borrower);
}

void OP(lender_enqueue, struct task_struct *task, u64 flags)
{
	know_arena();
	scx_bpf_dsq_insert(task, OWN_QUEUE, SLICE_NS, flags);
}

void OP(lender_dispatch, s32 cid, struct task_struct *last)
{
	u32 here = cid & (MOST_CPUS - 1);

	is_lent[here] = !is_lent[here];
	if (is_lent[here] && lend())
		return;
	if (!run_first_of(OWN_QUEUE) && !is_lent[here])
		lend();
}

s32 SLEEPABLE_OP(lender_sub_attach, struct scx_sub_attach_args *args)
{
	if (borrower)
		return -EBUSY;
	borrower = args->ops->sub_cgroup_id;
	return 0;
}

void SLEEPABLE_OP(lender_sub_detach, struct scx_sub_detach_args *args)
{
	borrower = 0;
}

s32 SLEEPABLE_OP(lender_init)
{
	return scx_bpf_create_dsq(OWN_QUEUE, -1);
}

SEC(".struct_ops.link")
struct OPERATIONS lender = {
	.enqueue = (void *)lender_enqueue,
	.dispatch = (void *)lender_dispatch,
	.sub_attach = (void *)lender_sub_attach,
	.sub_detach = (void *)lender_sub_detach,
	.init = (void *)lender_init,
	.timeout_ms = 5000,
	.name = "lender",
};
