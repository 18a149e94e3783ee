/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filter: a task and `settings` in; whether the task is selected out.
 *
 * A condition has up to FILTER_VALUES values, of which a task must have one; and a task must meet all conditions. The
 * loops are unrolled, so each value is a constant of the loaded program, and values that are not given are dead code.
 *
 * Both backends include it, so that a condition is written once for the kernel. (The collector of the bcc backend has
 * the conditions again, for arrays of slots: schedtel/kernel/bcc/slots.py, selected().) The including file defines
 * first what its programs know of a task: the type `filtered`, and for a value of it
 *   is_kernel_thread(), is_in_process(), is_in_cgroup(), tid_of(), uid_of(), copy_comm()
 * These are functions and not values, so that nothing is read of a task which the settings do not ask for.
 */
#ifndef SCHEDTEL_FILTER_H
#define SCHEDTEL_FILTER_H

static inlined int is_chosen_process(__u32 tgid)
{
	int i;

	unrolled for (i = 0; i < FILTER_VALUES && i < settings.by_process; i++)
		if (tgid == settings.tgid[i])
			return 1;
	return 0;
}

static inlined int is_chosen_tid(__u32 tid)
{
	int i;

	unrolled for (i = 0; i < FILTER_VALUES && i < settings.by_tid; i++)
		if (tid == settings.tid[i])
			return 1;
	return 0;
}

static inlined int is_chosen_uid(__u32 uid)
{
	int i;

	unrolled for (i = 0; i < FILTER_VALUES && i < settings.by_uid; i++)
		if (uid == settings.uid[i])
			return 1;
	return 0;
}

/* A mask covers as many bytes as the prefix that is asked for. */
static inlined int begins_like(const __u64 comm[2], int i)
{
	return (comm[0] & settings.comm_mask[i][0]) == settings.comm_value[i][0] &&
	       (comm[1] & settings.comm_mask[i][1]) == settings.comm_value[i][1];
}

static inlined int has_chosen_comm(filtered task)
{
	__u64 comm[2];
	int i;

	copy_comm(comm, task);
	unrolled for (i = 0; i < FILTER_VALUES && i < settings.by_comm; i++)
		if (begins_like(comm, i))
			return 1;
	return 0;
}

static inlined int passes_filter(filtered task)
{
	if (settings.kernel_threads == KERNEL_THREADS_EXCLUDE && is_kernel_thread(task))
		return 0;
	if (settings.kernel_threads == KERNEL_THREADS_ONLY && !is_kernel_thread(task))
		return 0;
	if (settings.by_process && !is_in_process(task))
		return 0;
	if (settings.by_tid && !is_chosen_tid(tid_of(task)))
		return 0;
	if (settings.by_uid && !is_chosen_uid(uid_of(task)))
		return 0;
	if (settings.by_comm && !has_chosen_comm(task))
		return 0;
	if (settings.by_cgroup && !is_in_cgroup(task))
		return 0;
	return 1;
}

#endif
