/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who preempted whom: two groups and a wait in; an entry of the CPU's table (struct preemptions) changed.
 */
#ifndef SCHEDTEL_MACHINE_PREEMPTION_H
#define SCHEDTEL_MACHINE_PREEMPTION_H

static inlined struct group group_of_kind(__u8 kind)
{
	struct group group = {};

	((__u8 *)group.words)[sizeof(group) - 1] = kind;
	return group;
}

static inlined int same_group(const struct group *a, const struct group *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1];
}

/* Adds one wait to an entry of its window. */
static inlined void count_preemption(struct preemption *entry, __u64 wait)
{
	entry->count++;
	entry->wait_ns += wait;
	if (unlikely(wait > entry->max_wait_ns))
		entry->max_wait_ns = wait;
}

static inlined int is_of(const struct preemption *entry, __u32 window, const struct group *victim,
			 const struct group *preemptor)
{
	return entry->window == window && same_group(&entry->victim, victim) &&
	       same_group(&entry->preemptor, preemptor);
}

/* Any odd factors will do. The four products do not depend on one another, so the CPU computes them in parallel. */
static inlined __u64 pair_hash(const struct group *victim, const struct group *preemptor)
{
	__u64 mixed = victim->words[0] * 0x9E3779B97F4A7C15ULL + victim->words[1] * 0xC2B2AE3D27D4EB4FULL +
		      preemptor->words[0] * 0xD6E8FEB86659FD93ULL + preemptor->words[1] * 0xA0761D6478BD642FULL;

	return (mixed ^ mixed >> 32) * 0x9E3779B97F4A7C15ULL >> 40;
}

/* Fills a free entry with its first wait in a window. */
static inlined void begin_preemption(struct preemption *entry, __u32 window, struct group victim,
				     struct group preemptor, __u64 wait)
{
	entry->victim = victim;
	entry->preemptor = preemptor;
	entry->wait_ns = entry->max_wait_ns = wait;
	entry->count = 1;
	entry->window = window;
}

/* The slow path of tell_preemption(): the pair is not the one of the latest sample. */
verified_once int add_preemption(struct preemptions *table, const struct group *victim, const struct group *preemptor,
				 __u64 wait, __u32 window)
{
	struct group other = group_of_kind(GROUP_OTHER);
	struct preemption *entry;
	__u64 place;
	__u32 i;

	if (!table || !victim || !preemptor)
		return 0;
	place = pair_hash(victim, preemptor);
	for (i = 0; i < PREEMPTION_PROBES; i++, place++) {
		entry = &table->pairs[window & 1][place & (PREEMPTION_PAIRS - 1)];
		if (is_of(entry, window, victim, preemptor))
			count_preemption(entry, wait);
		else if (entry->window != window)
			begin_preemption(entry, window, *victim, *preemptor, wait);
		else
			continue;
		table->latest = place & (PREEMPTION_PAIRS - 1);
		return 0;
	}
	entry = &table->folded[window & 1];
	if (entry->window == window)
		count_preemption(entry, wait);
	else
		begin_preemption(entry, window, other, other, wait);
	return 0;
}

/*
 * A preempted task has its CPU again, after a wait that has become a sample in this CPU's open bank. The table belongs
 * to the same CPU, so one window has both and the collector reads both at the same moment. Most often the pair is the
 * one of the latest sample.
 */
static inlined void tell_preemption(struct preemptions *table, struct group victim, const struct group *preemptor,
				    __u64 wait, __u32 window)
{
	struct preemption *entry;

	if (!table)
		return;
	entry = &table->pairs[window & 1][table->latest & (PREEMPTION_PAIRS - 1)];
	if (likely(is_of(entry, window, &victim, preemptor)))
		count_preemption(entry, wait);
	else
		add_preemption(table, &victim, preemptor, wait, window);
}

#endif
