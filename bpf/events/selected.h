/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which tasks have events: a task in; whether the filter selects it at this moment out.
 *
 * The filter is asked at each event, and not once in a life: without a filter it is dead code, and with one, what it
 * asks for is as it was when the event happened.
 */
#ifndef SCHEDTEL_EVENTS_SELECTED_H
#define SCHEDTEL_EVENTS_SELECTED_H

/* Tasks of the filter's processes, and all that descend from them; only used with such a filter. */
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u8);
} in_process SEC(".maps");

static inlined bool is_marked(struct task_struct *task)
{
	return bpf_task_storage_get(&in_process, task, 0, 0);
}

static inlined void mark(struct task_struct *task)
{
	bpf_task_storage_get(&in_process, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

static inlined bool has_filter(void)
{
	return settings.by_cgroup || settings.by_process || settings.by_tid || settings.by_uid || settings.by_comm ||
	       settings.kernel_threads;
}

/* The idle task is of no user and of no process: a filter leaves it out. */
static inlined bool is_selected(struct task_struct *task)
{
	filtered it = { .task = task };

	if (!has_filter())
		return true;
	if (!task->pid)
		return false;
	if (settings.by_process)
		it.in_process = is_marked(task);
	return passes_filter(it);
}

#endif
