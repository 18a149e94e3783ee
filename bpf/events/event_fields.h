/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Fields of a task_struct that only events ask for, beside those of core/kernel_types.h: a task in; the value out.
 */
#ifndef SCHEDTEL_EVENTS_EVENT_FIELDS_H
#define SCHEDTEL_EVENTS_EVENT_FIELDS_H

struct task_struct___event {
	int prio;
	int exit_state;
} __attribute__((preserve_access_index));

static inlined int prio_field(struct task_struct *task)
{
	return ((struct task_struct___event *)task)->prio;
}

static inlined int exit_state_field(struct task_struct *task)
{
	return ((struct task_struct___event *)task)->exit_state;
}

#endif
