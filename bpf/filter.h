/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filter: a task and `settings` in; whether the task is selected out.
 *
 * Both backends include it, so that a condition is written once for the kernel. (The collector of the bcc backend has
 * the conditions again, for arrays of slots: schedtel/kernel/bcc/slots.py, selected().) The including file defines
 * first what its programs know of a task: the type `filtered`, and for a value of it
 *   is_kernel_thread(), is_in_process(), is_in_cgroup(), tid_of(), uid_of(), copy_comm()
 * These are functions and not values, so that nothing is read of a task which the settings do not ask for.
 */
#ifndef SCHEDTEL_FILTER_H
#define SCHEDTEL_FILTER_H

/* The mask covers as many bytes as the prefix that is asked for. */
static inlined int comm_matches(filtered task)
{
	__u64 comm[2];

	copy_comm(comm, task);
	return (comm[0] & settings.comm_mask[0]) == settings.comm_value[0] &&
	       (comm[1] & settings.comm_mask[1]) == settings.comm_value[1];
}

static inlined int passes_filter(filtered task)
{
	if (settings.kernel_threads == KERNEL_THREADS_EXCLUDE && is_kernel_thread(task))
		return 0;
	if (settings.kernel_threads == KERNEL_THREADS_ONLY && !is_kernel_thread(task))
		return 0;
	if (settings.by_process && !is_in_process(task))
		return 0;
	if (settings.by_tid && tid_of(task) != settings.tid)
		return 0;
	if (settings.by_uid && uid_of(task) != settings.uid)
		return 0;
	if (settings.by_comm && !comm_matches(task))
		return 0;
	if (settings.by_cgroup && !is_in_cgroup(task))
		return 0;
	return 1;
}

#endif
