/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fields of a task_struct that moved between versions: a task in; the field's value out.
 */
#ifndef SCHEDTEL_CORE_MOVED_FIELDS_H
#define SCHEDTEL_CORE_MOVED_FIELDS_H

/* __state, or state before 5.14. The running kernel's BTF decides and not its version, since distributions backport. */
static inlined __u32 state_field(struct task_struct *task)
{
	struct task_struct___state *older = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return task->__state;
	return older->state;
}

static inlined __u32 cpu_field(struct task_struct *task)
{
	struct task_struct___cpu *older = (void *)task;

	if (bpf_core_field_exists(task->thread_info.cpu))
		return task->thread_info.cpu;
	asm volatile("" : "+r"(older));	/* else clang chooses between two distances at run time */
	return older->cpu;
}

#endif
