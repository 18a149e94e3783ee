/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * sched_switch: the task that leaves a CPU and the one that takes it in; both states and the CPU's open bank changed.
 *
 * Each half of a switch has a fast path and a slow path. The fast path asks whether anything rare can happen; if not,
 * straight code follows, and true is returned. Otherwise it has accounted nothing and returns false, and the slow path
 * does the half with the same functions of the state machine, which then ask at every step.
 *
 * Apart from the number of instructions, three things decide what a switch costs:
 *   - clang 14 lays BPF out nearly in the order of the source, so what is rare stands in functions of its own
 *   - arguments are read where they are needed (argument()): a register that keeps one is a register less
 *   - the second task's state is looked up after the first half is done: looked up before it, the verifier would check
 *     the first half once for each place where that state may have been found
 */
#ifndef SCHEDTEL_CORE_SWITCH_H
#define SCHEDTEL_CORE_SWITCH_H

/* The arguments of sched_switch. */
enum { PREEMPT, PREV, NEXT };

static inlined struct task_struct *argument(__u64 *ctx, int number)
{
	return (struct task_struct *)*(volatile __u64 *)&ctx[number];
}

/*
 * The state in which prev goes to sleep; 0 for a runnable task. It is read from the task's own field, and not from the
 * tracepoint's argument: up to 6.13, that is stale for a task that turned back on its way to sleep because of a signal
 * (8feb053d5319, "sched: Fix trace_sched_switch(.prev_state)"). A wakeup on another CPU may have come first, and all
 * that it does to the field of a task that sleeps is to make it another sleeping state (TASK_WAKING).
 */
static inlined __u32 state_before(struct task_struct *prev, __u64 *ctx)
{
	__u64 preempted = ctx[PREEMPT];

	return preempted ? 0 : state_field(prev);
}

/* ---- events that were not delivered ---- */

/*
 * The current task is on this CPU, and no event brought it there. The kernel delivers no events while it runs a task
 * that it protects from tracing, so the switch from that task to this one was lost. The switch is accounted at the
 * best estimate of its time, and the window is marked inexact.
 */
verified_once int enter_unseen(struct task_state *state, struct cpu_state *cpu, __u64 now)
{
	__u64 start = window_start(&control.grid, open_window(&control.grid)), since;
	struct cpu_bank *bank;
	struct moment at;

	if (!state || !cpu)
		return 0;
	since = now - slice_ns(bpf_get_current_task_btf(), state);
	if (since < start)
		since = start;
	if (since < state->since_ns)
		since = state->since_ns;
	if (since < cpu->since_ns)
		since = cpu->since_ns;
	miss_event(since);
	at = moment_of(&control.grid, since);
	bank = account_cpu(cpu, at);
	cpu->seqcount.phase = CPU_BUSY;
	takes_cpu(bpf_get_current_task_btf(), state, cpu, at, bank);
	return 0;
}

/* A task leaves for the last time, and its exit was not delivered: it completes now, its tear-down included. */
verified_once int end_unseen(struct task_state *state, struct cpu_state *cpu, __u64 now)
{
	struct moment at = moment_of(&control.grid, now);

	if (!state || !cpu)
		return 0;
	miss_event(state->since_ns);
	task_completes(state, at, account_cpu(cpu, at));
	report_life(state, cpu);
	state->seqcount.flags |= TASK_GONE;
	return 0;
}

/* ---- tasks that are not followed ---- */

/* The phase of a CPU with such a task. The slot of a completed one may belong to another task by now. */
static outlined int unfollowed_phase(struct task_struct *task)
{
	struct task_state *state = any_state_of(task);
	bool over = state ? state->seqcount.flags & TASK_COMPLETED : task->flags & PF_EXITING;

	return over ? CPU_TEARDOWN : CPU_UNTRACKED;
}

/* A task that has completed or is hidden leaves; perhaps this is its last switch. */
static outlined int leaves_unfollowed(struct task_struct *task, __u64 now)
{
	struct task_state *state = state_field(task) & TASK_DEAD ? any_state_of(task) : 0;

	if (!state)
		return 0;
	if (!state->completion_ns)
		state->completion_ns = now;
	state->seqcount.flags |= TASK_COMPLETED | TASK_GONE;
	return 0;
}

/* Whether a task that cannot leave fast has completed. Most of those tasks have, and leave for ever. */
static inlined bool leaves_completed(__u64 *ctx, struct task_state *state)
{
	if (!(state->seqcount.flags & TASK_COMPLETED))
		return false;
	if (state_field(argument(ctx, PREV)) & TASK_DEAD)
		state->seqcount.flags |= TASK_GONE;
	return true;
}

/* ---- the task that leaves ---- */

/* asleep: state_before() */
static inlined void leaves_cpu(struct task_state *state, __u64 *ctx, __u32 asleep, struct moment at,
			       struct cpu_bank *bank)
{
	struct task_struct *task;
	__u8 by = settings.preemptions;

	if (asleep) {
		task = argument(ctx, PREV);
		task_blocks(state, at, BPF_CORE_READ_BITFIELD(task, in_iowait), bank);
	} else {
		task_is_preempted(state, at);
		if (by)
			remember_preemptor(state, argument(ctx, NEXT), by, at.fast);
	}
}

/* The CPU's bank must be open. */
static inlined bool leave_fast_path(__u64 *ctx, struct cpu_state *cpu, struct moment at)
{
	struct task_state *state;
	__u32 asleep;

	if (unlikely(!argument(ctx, PREV)->pid))
		return true;
	state = cached_state_of(argument(ctx, PREV));
	if (unlikely(!state || !can_leave_fast(state, at)))
		return state && leaves_completed(ctx, state);
	asleep = state_before(argument(ctx, PREV), ctx);
	if (unlikely(asleep & TASK_DEAD || !write_begin_if_open(state, at)))
		return false;
	leaves_cpu(state, ctx, asleep, at, &cpu->bank[cpu->window & 1]);
	return true;
}

/* now, epoch: of the moment. */
static outlined int leave_slow_path(__u64 *ctx, struct cpu_state *cpu, __u64 now, __u64 epoch)
{
	struct task_state *from = argument(ctx, PREV)->pid ? state_of(argument(ctx, PREV)) : 0;
	struct moment at = { .grid = &control.grid, .now = now, .epoch = epoch };
	__u32 asleep = state_before(argument(ctx, PREV), ctx);
	struct cpu_bank *bank;

	if (unlikely(from && !phase_on_cpu(from->seqcount.phase)))
		enter_unseen(from, cpu, now);
	bank = account_cpu(cpu, at);
	if (from && (asleep & TASK_DEAD))
		end_unseen(from, cpu, now);
	else if (from)
		leaves_cpu(from, ctx, asleep, at, bank);
	else if (argument(ctx, PREV)->pid)
		leaves_unfollowed(argument(ctx, PREV), now);
	return 0;
}

/* ---- the task that comes in ---- */

static inlined bool enter_fast_path(__u64 *ctx, struct cpu_state *cpu, struct moment at, struct cpu_bank *bank)
{
	struct task_state *state = 0;

	if (likely(argument(ctx, NEXT)->pid)) {
		state = cached_state_of(argument(ctx, NEXT));
		if (unlikely(!state || !can_take_cpu_fast(state, at) || !write_begin_if_open(state, at)))
			return false;
	}
	turn_cpu(cpu, bank, state ? CPU_BUSY : CPU_IDLE, at.now);
	if (likely(state))
		takes_cpu(argument(ctx, NEXT), state, cpu, at, bank);
	return true;
}

/* now, epoch: of the moment. */
static outlined int enter_slow_path(__u64 *ctx, struct cpu_state *cpu, __u64 now, __u64 epoch)
{
	struct moment at = { .grid = &control.grid, .now = now, .epoch = epoch };
	struct task_state *to = state_of(argument(ctx, NEXT));
	struct cpu_bank *bank = account_cpu(cpu, at);

	cpu->seqcount.phase = to ? CPU_BUSY : unfollowed_phase(argument(ctx, NEXT));
	if (to)
		takes_cpu(argument(ctx, NEXT), to, cpu, at, bank);
	return 0;
}

/* ---- the switch ---- */

static inlined void switch_tasks(__u64 *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	__u32 number = cpu_field(argument(ctx, PREV));	/* this CPU; up to 6.9, to ask for it is a call */
	struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &number);
	struct cpu_bank *bank;
	struct moment at;

	if (!cpu)
		return;
	write_begin(&cpu->seqcount);
	at = moment_of(&control.grid, now);
	at.fast = 1;
	if (unlikely(!is_open(&cpu->window, at) || !leave_fast_path(ctx, cpu, at)))
		leave_slow_path(ctx, cpu, now, at.epoch);
	bank = &cpu->bank[cpu->window & 1];
	bank->switches++;
	if (unlikely(!enter_fast_path(ctx, cpu, at, bank)))
		enter_slow_path(ctx, cpu, now, at.epoch);
	write_end(&cpu->seqcount);
}

#endif
