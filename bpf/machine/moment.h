/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Moments: the window grid in; one event's time, and the window that is open at it, out.
 */
#ifndef SCHEDTEL_MACHINE_MOMENT_H
#define SCHEDTEL_MACHINE_MOMENT_H

static inlined __u32 open_window(const struct grid *grid)
{
	return *(volatile const __u64 *)&grid->epoch;
}

static inlined __u64 window_start(const struct grid *grid, __u32 window)
{
	return *(volatile const __u64 *)&grid->edge_ns[(window - 1) & 3];
}

static inlined __u64 window_end(const struct grid *grid, __u32 window)
{
	return *(volatile const __u64 *)&grid->edge_ns[window & 3];
}

/* The high bits of a moment past the edge. No task and no CPU has such a `flushed`, so is_open() is false for all. */
#define NO_EPOCH ((__u64)~0U << 32)

/* One event's time, and the window that is open at it. Each is read once, so that all that the event touches agrees. */
struct moment {
	const struct grid *grid;
	__u64 now;
	__u64 epoch;
	int fast;			/* a constant; 1: can_*_fast() was true, and the task's write section is open */
};

static inlined struct moment moment_of(const struct grid *grid, __u64 now)
{
	struct moment at = { .grid = grid, .now = now, .epoch = *(volatile const __u64 *)&grid->epoch };

	if (unlikely(now >= window_end(grid, at.epoch)))
		at.epoch |= NO_EPOCH;
	return at;
}

typedef __u64 __attribute__((may_alias)) two_u32;

/*
 * Whether a task or a CPU has rolled to the moment's window, and has not been flushed since. window: its field
 * `window`; `flushed` follows, and one comparison covers both (see struct grid).
 */
static inlined int is_open(const __u32 *window, struct moment at)
{
	return *(volatile const two_u32 *)window == at.epoch;
}

#endif
