/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Seeding: a task older than tracing in; state with a phase, by the kernel's own fields, out.
 *
 * The collector has all tasks visited at attach, until control.tasks_unknown stays 0: then every task alive has state,
 * and the phase of each is known.
 */
#ifndef SCHEDTEL_CORE_SEED_H
#define SCHEDTEL_CORE_SEED_H

/*
 * Fills in new state of a task older than tracing; false where there is none, since memory is short. What is known of
 * its past is put down at once: its next event may establish its phase before the iterator comes back.
 */
static inlined bool begin_late(struct task_struct *task, struct task_state *state)
{
	if (!state) {
		lose_task();
		return false;
	}
	if (settings.by_process)
		state->in_process = descends(task);
	state->selected = selects(task, state);
	state->first_tid = task->pid;
	state->left_censored = 1;
	state->first_cpu_ns = FIRST_CPU_BEFORE_TRACING;
	state->arrival_ns = task->start_time;
	state->total_cpu_ns = task->se.sum_exec_runtime;
	return true;
}

/* What the task is doing, by the kernel's own fields. */
static inlined __u8 phase_now(struct task_struct *task)
{
	bool delayed = bpf_core_field_exists(task->se.sched_delayed) && task->se.sched_delayed;

	if (task->flags & PF_EXITING)	/* its sched_process_exit has passed or is about to come: its life is over */
		return PHASE_NOT_ALIVE;
	if (state_field(task) & TASK_NEW)
		return PHASE_NOT_ALIVE;
	if (task->on_cpu)
		return PHASE_RUNNING;
	if (task->on_rq && !delayed)
		return PHASE_PREEMPT_WAIT;
	return BPF_CORE_READ_BITFIELD(task, in_iowait) ? PHASE_IOWAIT : PHASE_BLOCKED;
}

/*
 * Establishes the phase of a task that no event has described yet. Any event of the task meanwhile changes its
 * seqcount, so the compare-and-swap fails and the next pass looks again. Only while seeding may the task be on a CPU:
 * later, what that CPU runs is accounted as untracked already, until its next switch.
 */
static inlined void adopt(struct task_struct *task, struct task_state *state, bool seeding)
{
	union seqcount seen, adopted, cpu_seen = {}, cpu_adopted;
	__u32 where = cpu_field(task);
	struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &where);

	if (cpu)
		cpu_seen.whole = *(volatile __u64 *)&cpu->seqcount.whole;
	seen.whole = *(volatile __u64 *)&state->seqcount.whole;
	if (seen.phase != PHASE_UNKNOWN || (seen.seq & 1))
		return;
	machine_order();
	adopted = seen;
	adopted.cpu = where;
	adopted.phase = phase_now(task);
	if (task->flags & PF_EXITING)
		adopted.flags |= TASK_COMPLETED;
	if (adopted.phase == PHASE_RUNNING && !seeding)
		return;
	if (adopted.phase != PHASE_NOT_ALIVE)
		state->since_ns = state->alive_since_ns = bpf_ktime_get_ns();
	else if (task->flags & PF_EXITING)
		state->completion_ns = bpf_ktime_get_ns();
	if (__sync_val_compare_and_swap(&state->seqcount.whole, seen.whole, adopted.whole) != seen.whole)
		return;
	/* If the CPU has not switched since its seqcount was read, it still runs this task. */
	cpu_adopted = cpu_seen;
	cpu_adopted.phase = CPU_BUSY;
	if (cpu && adopted.phase == PHASE_RUNNING && !(cpu_seen.seq & 1))
		__sync_val_compare_and_swap(&cpu->seqcount.whole, cpu_seen.whole, cpu_adopted.whole);
}

static outlined int seed_task(struct task_struct *task)
{
	__u32 passing = comes_or_goes(task);
	struct task_state *state;

	machine_order();	/* the birth of a task that is not new is over, so the state that it made is found below */
	state = any_state_of(task);
	control.is_eevdf = bpf_core_field_exists(task->se.vlag);
	if (!state) {
		if (!passing) {
			control.tasks_unknown++;
			begin_late(task, create_state(task));
		}
		return 0;
	}
	note_stopper(task);
	adopt(task, state, true);
	if (state->seqcount.phase == PHASE_UNKNOWN)
		control.tasks_unknown++;
	return 0;
}

#endif
