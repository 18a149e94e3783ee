/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fields of a task_struct that need more than one access: a task in; the field's value out.
 */
#ifndef SCHEDTEL_CORE_TASK_FIELDS_H
#define SCHEDTEL_CORE_TASK_FIELDS_H

/* What the kernel has booked of a task's CPU time and no bank holds. The two differ a little at each switch. */
static inlined __u64 unseen_ns(struct task_struct *task, struct task_state *state)
{
	__u64 seen = state->total_cpu_ns + state->bank[state->window & 1].time_ns[PHASE_RUNNING];
	__u64 booked = task->se.sum_exec_runtime;

	/* Past an edge and before the flush, the bank of the window before has not been reported either. */
	if (state->flushed + 1 < state->window)
		seen += state->bank[~state->window & 1].time_ns[PHASE_RUNNING];
	return booked > seen ? booked - seen : 0;
}

/*
 * How long the task has been on its CPU, by the kernel's own accounting; up to a tick old while it still runs. Only the
 * fair class notes where a slice begins (set_next_entity()). Of a task of another class, it is what no bank holds.
 */
static inlined __u64 slice_ns(struct task_struct *task, struct task_state *state)
{
	__u64 slice = task->se.sum_exec_runtime - task->se.prev_sum_exec_runtime, unseen;

	if (task->policy != SCHED_FIFO && task->policy != SCHED_RR && task->policy != SCHED_DEADLINE)
		return slice;
	unseen = unseen_ns(task, state);
	return unseen < slice ? unseen : slice;
}

/* Not 0: its own events are about to create its state (a birth), or it needs none any more (an exit). */
static inlined __u32 comes_or_goes(struct task_struct *task)
{
	return (task->flags & PF_EXITING) | (state_field(task) & TASK_NEW);
}

/*
 * For reading fields, a pointer that the verifier trusts is no better than one that it does not trust, and it is
 * expensive: at each pointer read through it, the verifier searches the kernel's whole BTF by name for lists of fields
 * that keep the trust (kernel/bpf/btf.c: btf_nested_type_is_trusted()), about a millisecond a time. The cast costs
 * nothing at run time.
 */
#ifdef OPEN_CODED_ITERATORS
extern void *bpf_rdonly_cast(const void *pointer, __u32 btf_id) __ksym;

static inlined struct task_struct *readable(struct task_struct *task)
{
	return bpf_rdonly_cast(task, bpf_core_type_id_kernel(struct task_struct));
}
#else
static inlined struct task_struct *readable(struct task_struct *task)
{
	return task;
}
#endif

#endif
