/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filter of core's programs (filter.h): a task_struct and its state in; whether the task is selected out.
 *
 * The task that is asked about is the event's, and not always the current one.
 */
#ifndef SCHEDTEL_CORE_FILTER_FIELDS_H
#define SCHEDTEL_CORE_FILTER_FIELDS_H

#define MAX_ANCESTRY 32

typedef struct {
	struct task_struct *task;
	struct task_state *state;
} filtered;

static inlined bool is_kernel_thread(filtered it)
{
	return it.task->flags & PF_KTHREAD;
}

static inlined bool is_in_process(filtered it)
{
	return it.state && it.state->in_process;
}

static inlined bool is_in_cgroup(filtered it)
{
	struct cgroup *cgroup = it.task->cgroups->dfl_cgrp, *ancestor;
	struct cgroup___ids *older = (void *)cgroup;
	/* A copy: of a struct inside bpf_core_read(), libbpf searches the BTF of the kernel and all its modules. */
	__u32 level = settings.cgroup_level;
	__u64 id = 0;

	if (cgroup->level < (int)level)
		return false;
	if (bpf_core_field_exists(cgroup->ancestors)) {
		bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[level]);
		id = BPF_CORE_READ(ancestor, kn, id);
	} else {
		bpf_core_read(&id, sizeof(id), &older->ancestor_ids[level]);
	}
	return id == settings.cgroup_id;
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

static outlined int selects(struct task_struct *trusted, struct task_state *state)
{
	filtered task = { .task = readable(trusted), .state = state };

	return passes_filter(task);
}

/* Whether a task that is alive at attach is the filter's process, or descends from it. */
static inlined bool descends(struct task_struct *task)
{
	struct task_struct *ancestor = task;
	__u32 tgid;
	int depth;

	for (depth = 0; depth < MAX_ANCESTRY; depth++) {
		tgid = BPF_CORE_READ(ancestor, tgid);
		if (tgid == settings.tgid)
			return true;
		if (tgid <= 1)
			return false;
		ancestor = BPF_CORE_READ(ancestor, real_parent);
	}
	return false;
}

#endif
