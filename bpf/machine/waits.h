/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The longest waits: one more wait in; the longest that there were, each with the name of who waited, out.
 *
 * A CPU keeps those that ended on it in a window. The longest of all CPUs are among them, whichever CPUs they are on.
 */
#ifndef SCHEDTEL_MACHINE_WAITS_H
#define SCHEDTEL_MACHINE_WAITS_H

/* The entry of the shortest, which a longer wait takes; a free one as long as there is any. */
static inlined struct wait *shortest_wait(struct longest_waits *waits)
{
	return &waits->kept[waits->shortest & (LONGEST_WAITS - 1)];
}

/* An entry has been filled: finds the shortest again. The verifier follows one path, since the place is in memory. */
verified_once int find_shortest_wait(struct longest_waits *waits)
{
	__u64 least;
	int i;

	if (!waits)
		return 0;
	waits->shortest = 0;
	least = waits->kept[0].wait_ns;
	unrolled for (i = 1; i < LONGEST_WAITS; i++) {
		if (waits->kept[i].wait_ns >= least)
			continue;
		least = waits->kept[i].wait_ns;
		waits->shortest = i;
	}
	return 0;
}

/*
 * The slow path of end_wait(): a wait is the longest of its samples, or one of the longest. A CPU gets here some
 * LONGEST_WAITS * log(waits / LONGEST_WAITS) times a window. who: the task, or 0 where it cannot be named.
 */
static outlined int keep_wait(struct task_state *task, struct cpu_bank *cpu_bank, __u64 wait, waiter who)
{
	int kind = wait_kind(task->seqcount.phase);
	struct samples *samples = &cpu_bank->samples[task->selected & 1][kind];
	struct longest_waits *waits = &cpu_bank->waits[kind];
	struct wait *kept = shortest_wait(waits);

	if (wait > samples->max_ns)
		samples->max_ns = wait;
	if (!task->selected)
		samples->kept_ns = samples->max_ns;
	if (!task->selected || !who)
		return 0;
	kept->since_ns = task->wait_since_ns;
	kept->wait_ns = wait;
	kept->goes_on = 0;
	machine_name_wait(kept, who);
	find_shortest_wait(waits);
	samples->kept_ns = shortest_wait(waits)->wait_ns;
	return 0;
}

#endif
