/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Births, new names, deaths: a fork, arrival, exec or exit in; a task's state created, changed or completed.
 */
#ifndef SCHEDTEL_CORE_LIVES_H
#define SCHEDTEL_CORE_LIVES_H

/*
 * Since 7.0, the kernel calls a tracepoint's programs with preemption as it finds it (include/linux/tracepoint.h: SRCU
 * guards them), and at fork, exec and exit it finds it on. A task that preempts a program there, and forks or exits
 * itself, has its own event withheld, since the program counts as running on that CPU; and its switch would find the
 * CPU in the middle of a change. The functions came with 6.10; without them the setting is 0, and the calls are dead
 * code.
 */
#ifdef OPEN_CODED_ITERATORS

extern void bpf_preempt_disable(void) __weak __ksym;
extern void bpf_preempt_enable(void) __weak __ksym;

static inlined void preemption_off(void)
{
	if (settings.disable_preemption)
		bpf_preempt_disable();
}

static inlined void preemption_on(void)
{
	if (settings.disable_preemption)
		bpf_preempt_enable();
}

#else

static inlined void preemption_off(void) {}
static inlined void preemption_on(void) {}

#endif

/* Asked once in a life, at its exec and, for what others may change, at each flush. */
static outlined int selects(struct task_struct *trusted, struct task_state *state)
{
	filtered task = { .task = readable(trusted), .in_process = state && state->in_process };

	return passes_filter(task);
}

/* A fork, with new state of the child; the current task is the parent. Returns that state, NULL too. */
static inlined struct task_state *begin_life(struct task_struct *child, struct task_state *state)
{
	struct task_state *parent;
	__u32 before = open_window(&control.grid) - 1;

	if (!state)
		return 0;
	write_begin(&state->seqcount);
	state->seqcount.phase = PHASE_NOT_ALIVE;
	state->first_tid = child->pid;
	state->fork_ns = child->start_time;	/* a microsecond ago, and asking for the time costs more than that */
	if (state->flushed < before)
		state->flushed = before;	/* no window before its birth is owed */
	if (settings.by_process) {
		parent = state_of(bpf_get_current_task_btf());
		state->in_process = is_chosen_process(child->tgid) || (parent && parent->in_process);
	}
	state->selected = selects(child, state);
	write_end(&state->seqcount);
	return state;
}

/* The parent is still the current task. */
static inlined void arrive(struct task_struct *task)
{
	struct task_state *state = state_of(task);

	if (unlikely(!state))
		state = begin_life(task, make_up_state(task));
	if (likely(state))
		task_arrives(state, moment_of(&control.grid, bpf_ktime_get_ns()));
	else
		lose_task();
}

/*
 * An exec has changed the name; the user, where the file says so; and the tid, where a thread that was not the leader
 * took over its leader's.
 */
static inlined void exec(struct task_struct *task)
{
	struct task_state *state = state_of(task);

	if (state)
		state->selected = selects(task, state);
}

/*
 * The last row is written at sched_process_exit and not at the last switch: in between, the task may be reaped, and a
 * flush would not find it any more. Preemption is off, so no switch of this CPU can come in between.
 */
static inlined void end_life(struct task_struct *task)
{
	struct task_state *state = state_of(task);
	struct cpu_state *cpu = this_cpu();
	struct moment at;
	__u64 now;

	if (!state || !cpu)
		return;
	now = bpf_ktime_get_ns();
	write_begin(&cpu->seqcount);
	if (unlikely(!phase_on_cpu(state->seqcount.phase)))
		enter_unseen(state, cpu, now);
	at = moment_of(&control.grid, now);
	task_completes(state, at, account_cpu(cpu, at));
	cpu->seqcount.phase = CPU_TEARDOWN;
	report_life(state, cpu);
	write_end(&cpu->seqcount);
}

#endif
