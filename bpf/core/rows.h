/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rows: a task, its state and a window in; a task record, or an addition to `other`, out.
 *
 * Reports of completed tasks are here, since programs at exits and switches make them. The flush (flush.h) makes those
 * of tasks that live on.
 */
#ifndef SCHEDTEL_CORE_ROWS_H
#define SCHEDTEL_CORE_ROWS_H

/* ---- rows folded into a sum ---- */

static inlined void fold_spills(struct wide_bank *into, const struct bank *bank)
{
	__u32 bucket, more;
	int i;

	for (i = 0; i < SPILLS; i++) {
		bucket = bank->spills[i].bucket;
		more = bank->spills[i].times << 16;
		if (bucket < TASK_BUCKETS)
			into->wait_histogram[bucket] += more;
		else if (bucket < 2 * TASK_BUCKETS)
			into->burst_tat_histogram[bucket - TASK_BUCKETS] += more;
	}
}

static inlined void fold_bank(struct wide_bank *into, const struct bank *bank)
{
	int i;

	for (i = 0; i < PHASES; i++)
		into->time_ns[i] += bank->time_ns[i];
	into->burst_tat_sum_ns += bank->burst_tat_sum_ns;
	if (bank->max_wait_ns > into->max_wait_ns)
		into->max_wait_ns = bank->max_wait_ns;
	into->voluntary_switches += bank->voluntary_switches;
	into->involuntary_switches += bank->involuntary_switches;
	into->wakeups += bank->wakeups;
	into->migrations += bank->migrations;
	into->bursts += bank->bursts;
	into->waits_unfinished += bank->waits_unfinished;
	into->bursts_unfinished += bank->bursts_unfinished;
	for (i = 0; i < TASK_BUCKETS; i++) {
		into->wait_histogram[i] += bank->wait_histogram[i];
		into->burst_tat_histogram[i] += bank->burst_tat_histogram[i];
	}
	if (unlikely(bank->spilled))
		fold_spills(into, bank);
}

/* Adds a bank to a sum. alive: the task's life inside the window, in ns. */
verified_once int fold(struct folded *into, const struct bank *bank, __u64 alive, __u64 open_wait_ns)
{
	if (!into || !bank)
		return 0;
	into->alive_ns += alive;
	into->tasks += alive > 0;
	if (open_wait_ns != OPEN_WAIT_UNKNOWN && open_wait_ns > into->open_wait_ns)
		into->open_wait_ns = open_wait_ns;
	fold_bank(&into->bank, bank);
	return 0;
}

/* ---- what a row says ---- */

/* A task's life inside a window that ends at end, in ns. */
static inlined __u64 alive_within(struct task_state *state, __u64 start, __u64 end)
{
	__u64 from = state->alive_since_ns, to = state->completion_ns;

	if (!from)
		return 0;
	if (from < start)
		from = start;
	if (!to || to > end)
		to = end;
	return to > from ? to - from : 0;
}

/* What settings.min_activity_ns is compared with. */
static inlined __u64 activity(const struct bank *bank)
{
	return bank->time_ns[PHASE_RUNNING] + bank->time_ns[PHASE_WAKEUP_WAIT] + bank->time_ns[PHASE_PREEMPT_WAIT];
}

/*
 * Fills in who a task is, and the times of its life up to the window's edge.
 *
 * Not inlined: its parameter puts struct task_record into the object's BTF, where the backend checks it.
 */
static outlined int describe(struct task_record *record, struct task_struct *trusted, struct task_state *state,
			     __u64 edge)
{
	struct task_struct *task = readable(trusted);
	bool came;

	record->tid = task->pid;
	record->tgid = task->tgid;
	record->previous_tid = state->first_tid != (__u32)task->pid ? state->first_tid : 0;
	record->start_boottime_ns = task->start_boottime;
	record->fork_ns = state->fork_ns;
	record->arrival_ns = state->arrival_ns;
	/*
	 * What came after the window belongs to a later row. A life that ends on the edge itself ends with the window:
	 * the next window has nothing of it, so a first CPU at that same moment is in this row as well.
	 */
	record->completion_ns = state->completion_ns > edge ? 0 : state->completion_ns;
	came = state->first_cpu_ns < edge || record->completion_ns;
	record->first_cpu_ns = came && !state->left_censored ? state->first_cpu_ns : 0;
	record->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	record->uid = task->cred->uid.val;
	record->weight = task->se.load.weight >> 10;	/* scale_load_down(), kernel/sched/sched.h */
	/* A task that lives has no exit code, and reading the field would fetch a cache line for nothing else. */
	record->exit_code = state->completion_ns ? task->exit_code : 0;
	record->policy = task->policy;
	record->nice = task->static_prio - PRIO_OF_NICE_0;
	record->kernel_thread = !!(task->flags & PF_KTHREAD);
	record->left_censored = state->left_censored;
	__builtin_memcpy(record->comm, task->comm, COMM_LENGTH);
	return 0;
}

/* ---- rows of completed tasks ---- */

/* Exactly one reporter gets true for a task and window. */
static inlined bool claim(struct task_state *state, __u32 window)
{
	__u32 flushed = *(volatile __u32 *)&state->flushed;

	return flushed < window && __sync_val_compare_and_swap(&state->flushed, flushed, window) == flushed;
}

/*
 * Above settings.wakeup_bytes, a few records at every sixteenth of it wake the collector, and not each record: a wakeup
 * costs ten times as much as a record. It is a few and not one, since programs that reserve at the same time may all
 * read a fill beyond one place.
 */
static inlined __u64 wakeup_flag(void)
{
	__u64 waiting = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	__u64 beyond = waiting & (settings.wakeup_bytes / 16 - 1);

	return waiting >= settings.wakeup_bytes && beyond < 4 * sizeof(struct task_record) ? BPF_RB_FORCE_WAKEUP
											    : BPF_RB_NO_WAKEUP;
}

/*
 * Reports a window of the current task, which has completed. Nothing else writes its state, and only the flush competes
 * for the claim. A task that exits, or leaves its CPU for the last time, is the current task; a global function may ask
 * the helper for it, where it could not take a task as a parameter.
 */
verified_once int report_finished(struct task_state *state, struct cpu_bank *cpu_bank, __u32 window)
{
	__u64 alive, edge, open_wait_ns;
	struct task_record *record;
	struct folded *other;
	struct bank *bank;

	if (!state || !cpu_bank || !claim(state, window))
		return 0;
	other = &cpu_bank->other;
	bank = &state->bank[window & 1];
	/* The window that is open may still be cut short, but not before what has happened already. */
	edge = window < state->window ? window_end(&control.grid, window) : ~0ULL;
	open_wait_ns = window < state->window ? state->open_wait_ns : 0;
	alive = alive_within(state, window_start(&control.grid, window), edge);
	state->total_cpu_ns += bank->time_ns[PHASE_RUNNING];
	/* To complete is activity by itself: the time on the CPU may be 0 where the switch to the task was withheld. */
	if (!state->selected || !alive || activity(bank) + 1 < settings.min_activity_ns) {
		fold(other, bank, alive, open_wait_ns);
		return 0;
	}
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		__sync_fetch_and_add(&control.losses.ring_dropped[window & 1], 1);
		fold(other, bank, alive, open_wait_ns);
		return 0;
	}
	describe(record, bpf_get_current_task_btf(), state, edge);
	record->window = window;
	record->alive_ns = alive;
	record->total_cpu_ns = state->total_cpu_ns;
	record->open_wait_ns = open_wait_ns;
	__builtin_memcpy(&record->bank, bank, sizeof(*bank));
	if (unlikely(open_wait_ns))
		keep_open_wait(&cpu_bank->waits[state->open_wait_kind & 1], record, open_wait_since(record, state, edge),
			       edge, WAIT_CPU_UNKNOWN);
	bpf_ringbuf_submit(record, wakeup_flag());
	return 0;
}

/* Reports all windows that are owed of the current task, which has completed. */
static inlined void report_life(struct task_state *state, struct cpu_state *cpu)
{
	__u32 window = state->window, open = open_window(&control.grid);

	/* Past the edge and before the flush: the window before is owed, too. */
	if (window == open + 1)
		report_finished(state, &cpu->bank[(window - 1) & 1], window - 1);
	report_finished(state, &cpu->bank[window & 1], window);
}

#endif
