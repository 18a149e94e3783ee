/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hook for losses (machine/losses.h): a loss in; the control page's counters raised.
 */
#ifndef SCHEDTEL_CORE_LOSSES_H
#define SCHEDTEL_CORE_LOSSES_H

/* Losses are rare, so this asks for the time. */
verified_once int machine_lose(__u64 loss, __u64 since)
{
	count_loss(&control.losses, &control.grid, loss, since, bpf_ktime_get_ns());
	return 0;
}

#endif
