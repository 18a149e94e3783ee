/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Losses: what was lost and when in; a counter of each window that it may belong to, raised, out.
 *
 * A collector that is held up reads the counters of a window long after that window's end. So a loss is counted by the
 * window in which it happened and not by the one that is collected next.
 */
#ifndef SCHEDTEL_MACHINE_LOSSES_H
#define SCHEDTEL_MACHINE_LOSSES_H

/* The time from which on the loss may have happened, where it has just happened. */
#define JUST_NOW (~0ULL)

/*
 * Counts a loss that happened at some time from since to now. Where an edge lies in between, either window may have
 * lost, so both count it. A window before the open one has been reported, and cannot be told any more.
 */
static inlined void count_loss(struct losses *losses, const struct grid *grid, __u64 loss, __u64 since, __u64 now)
{
	__u64 *counts = (__u64 *)losses + 2 * (loss & 3);
	__u64 edge;
	__u32 open;

	open = *(volatile const __u64 *)&grid->epoch;
	edge = *(volatile const __u64 *)&grid->edge_ns[open & 3];
	if (since < edge || now < edge)
		__sync_fetch_and_add(&counts[open & 1], 1);
	if (now >= edge)
		__sync_fetch_and_add(&counts[~open & 1], 1);
}

/* A sample is discarded: its duration is negative, or its bucket cannot count any further. */
static inlined void discard_sample(void)
{
	machine_lose(SAMPLE_DISCARDED, JUST_NOW);
}

/* A task has no state, or no flush has reported a window of it. */
static inlined void lose_task(void)
{
	machine_lose(STATE_FAILED, JUST_NOW);
}

/* An event must have happened, at since or later, and was not delivered. */
static inlined void miss_event(__u64 since)
{
	machine_lose(EVENT_MISSED, since);
}

#endif
