/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filter (filter.h) of programs that have a task_struct: fields of the task in; whether it is selected out.
 *
 * The task that is asked about is the event's, and not always the current one.
 */
#ifndef SCHEDTEL_CORE_FILTER_FIELDS_H
#define SCHEDTEL_CORE_FILTER_FIELDS_H

#define MAX_ANCESTRY 32

typedef struct {
	struct task_struct *task;
	bool in_process;	/* it is of one of the filter's processes, or descends from one */
} filtered;

static inlined bool is_kernel_thread(filtered it)
{
	return it.task->flags & PF_KTHREAD;
}

static inlined bool is_in_process(filtered it)
{
	return it.in_process;
}

/*
 * Whether the task's cgroup is the one with this id and level, or below it. The level is a parameter: of a struct
 * inside bpf_core_read(), libbpf searches the BTF of the kernel and all its modules.
 */
static outlined int is_below(struct task_struct *task, __u64 chosen, __u32 level)
{
	struct cgroup *cgroup = task->cgroups->dfl_cgrp, *ancestor;
	struct cgroup___ids *older = (void *)cgroup;
	__u64 id = 0;

	if (cgroup->level < (int)level)
		return false;
	if (bpf_core_field_exists(cgroup->ancestors)) {
		bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[level]);
		id = BPF_CORE_READ(ancestor, kn, id);
	} else {
		bpf_core_read(&id, sizeof(id), &older->ancestor_ids[level]);
	}
	return id == chosen;
}

static inlined bool is_in_cgroup(filtered it)
{
	int i;

	unrolled for (i = 0; i < FILTER_VALUES && i < settings.by_cgroup; i++)
		if (is_below(it.task, settings.cgroup_id[i], settings.cgroup_level[i]))
			return true;
	return false;
}

static inlined __u32 tid_of(filtered it)
{
	return it.task->pid;
}

static inlined __u32 uid_of(filtered it)
{
	return it.task->cred->uid.val;
}

static inlined void copy_comm(__u64 to[2], filtered it)
{
	__builtin_memcpy(to, it.task->comm, COMM_LENGTH);
}

#include "../filter.h"

/* Whether a task that is alive at attach is of one of the filter's processes, or descends from one. */
static inlined bool descends(struct task_struct *task)
{
	struct task_struct *ancestor = task;
	__u32 tgid;
	int depth;

	for (depth = 0; depth < MAX_ANCESTRY; depth++) {
		tgid = BPF_CORE_READ(ancestor, tgid);
		if (is_chosen_process(tgid))
			return true;
		if (tgid <= 1)
			return false;
		ancestor = BPF_CORE_READ(ancestor, real_parent);
	}
	return false;
}

#endif
