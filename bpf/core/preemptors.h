/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who preempted whom: a task that loses its CPU and the one that takes it in; a group remembered, and a wait added to
 * the CPU's table when the victim has a CPU again, out.
 */
#ifndef SCHEDTEL_CORE_PREEMPTORS_H
#define SCHEDTEL_CORE_PREEMPTORS_H

/* The fast path does without readable(): loads through a trusted pointer need no checks at run time. */
static inlined struct group group_of(struct task_struct *trusted, __u8 by, bool fast)
{
	struct task_struct *task = fast ? trusted : readable(trusted);
	struct group group = {};

	if (by == PREEMPTIONS_BY_COMM)
		__builtin_memcpy(&group, task->comm, sizeof(group));
	else
		group.words[0] = task->cgroups->dfl_cgrp->kn->id;
	return group;
}

/* Called only for a task that has just lost its CPU while runnable, so no other switch pays for it. */
static inlined void remember_preemptor(struct task_state *victim, struct task_struct *next, __u8 by, bool fast)
{
	victim->preemptor = likely(next->pid) ? group_of(next, by, fast) : group_of_kind(GROUP_IDLE);
}

static inlined void takes_cpu(struct task_struct *task, struct task_state *state, struct cpu_state *cpu,
			       struct moment at, struct cpu_bank *bank)
{
	__u32 number = cpu_field(task);
	__s64 wait = task_takes_cpu(state, at, number, bank, task);
	__u8 by;

	if (wait < 0)
		return;
	by = settings.preemptions;	/* not read before: the page of the settings is used for nothing else here */
	if (by)
		tell_preemption(bpf_map_lookup_elem(&preemptions, &number),
				state->selected ? group_of(task, by, at.fast) : group_of_kind(GROUP_OTHER),
				&state->preemptor, wait, cpu->window);
}

#endif
