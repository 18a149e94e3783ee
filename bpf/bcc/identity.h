/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The identity of a task, in its slot: the current task in; its process, user, cgroup and name, and whether the filter
 * (filter.h) selects it, out.
 */
#ifndef SCHEDTEL_BCC_IDENTITY_H
#define SCHEDTEL_BCC_IDENTITY_H

/* Whether the current task's cgroup is one of the filter's, or below one. */
static inlined int is_in_chosen_cgroup(void)
{
	int i;

	unrolled for (i = 0; i < FILTER_VALUES && i < settings.by_cgroup; i++)
		if (bpf_get_current_ancestor_cgroup_id(settings.cgroup_level[i]) == settings.cgroup_id[i])
			return 1;
	return 0;
}

/* The slot's task must be the current one. */
static inlined void refresh(struct slot *slot, u32 window)
{
	slot->refreshed = window;
	slot->tgid = bpf_get_current_pid_tgid() >> 32;
	slot->uid = bpf_get_current_uid_gid();
	slot->cgroup_id = bpf_get_current_cgroup_id();
	if (settings.by_cgroup)
		slot->in_cgroup = is_in_chosen_cgroup();
	bpf_get_current_comm(&slot->comm, sizeof(slot->comm));
}

/*
 * Names as the slot knows them, as in the row. The task that leaves the CPU is the current one; if that is the task
 * itself, its switch to the CPU was not delivered, and nothing tells which task it followed.
 */
static inline void machine_name_wait(struct wait *kept, waiter who)
{
	u32 current = bpf_get_current_pid_tgid();

	kept->start_boottime_ns = who->start_boottime_ns;
	kept->tid = who->tid;
	kept->tgid = who->tgid;
	kept->cpu = bpf_get_smp_processor_id();
	kept->behind_tid = current != who->tid ? current : WAIT_TID_UNKNOWN;
	__builtin_memcpy(kept->comm, who->comm, COMM_LENGTH);
	bpf_get_current_comm(&kept->behind_comm, sizeof(kept->behind_comm));
}

typedef struct slot *filtered;

static inlined int is_kernel_thread(filtered slot)
{
	return slot->kernel_thread;
}

static inlined int is_in_process(filtered slot)
{
	return slot->state.in_process;
}

static inlined int is_in_cgroup(filtered slot)
{
	return slot->in_cgroup;
}

static inlined u32 tid_of(filtered slot)
{
	return slot->tid;
}

static inlined u32 uid_of(filtered slot)
{
	return slot->uid;
}

static inlined void copy_comm(u64 to[2], filtered slot)
{
	__builtin_memcpy(to, slot->comm, COMM_LENGTH);
}

#include "../filter.h"

static inlined int selects(struct slot *slot)
{
	return passes_filter(slot);
}

/*
 * A task's group, as its slot knows it: as of the task's first switch-out in a window. Of a task that is older than
 * tracing and has not left a CPU yet, the slot knows no group.
 */
static inlined struct group group_of(struct slot *slot)
{
	struct group group = {};

	if (settings.preemptions == PREEMPTIONS_BY_COMM)
		__builtin_memcpy(&group, slot->comm, sizeof(group));
	else
		group.words[0] = slot->cgroup_id;
	return group.words[0] ? group : group_of_kind(GROUP_OTHER);
}

#endif
