/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sched_wakeup: a woken task in; its state and open bank changed.
 */
#ifndef SCHEDTEL_CORE_WAKEUP_H
#define SCHEDTEL_CORE_WAKEUP_H

/* False where something is rare; nothing has been accounted then. */
static inlined bool wake_fast_path(struct task_struct *task)
{
	struct task_state *state = cached_state_of(task);
	struct moment at;

	if (unlikely(!state || !can_wake_fast(state)))
		return false;
	at = moment_of(&control.grid, woken_at(task, state->since_ns));
	if (unlikely(at.now < state->since_ns || !write_begin_if_open(state, at)))
		return false;
	at.fast = 1;
	task_wakes(state, at);
	return true;
}

static outlined int wake_slow_path(struct task_struct *task)
{
	struct task_state *state = state_of(task);

	if (state && wakeup_matters(state))
		task_wakes(state, moment_of(&control.grid, bpf_ktime_get_ns()));
	return 0;
}

#endif
