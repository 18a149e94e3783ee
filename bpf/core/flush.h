/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flush: a task and the window that has just ended in; a row of the page, or an addition to `other`, out.
 *
 * The task's programs go on meanwhile. The flush takes a snapshot, fills the row, and claims the task's window if
 * nothing has changed since; else the task counts as busy, and the collector has all tasks visited again.
 */
#ifndef SCHEDTEL_CORE_FLUSH_H
#define SCHEDTEL_CORE_FLUSH_H

/* ---- what the flush sees of a task at the window's edge ---- */

struct snapshot {
	union seqcount seqcount;
	__u64 tail_ns;		/* time of its phase up to the edge that the bank does not hold */
	__u64 alive_ns;		/* its life inside the window */
	__u64 open_wait_ns;	/* the age of its wait at the edge */
	__u32 window;
	__u8 wait_kind;		/* of that wait */
	bool moved;		/* it had an event in this window, so the bank is this window's */
	bool frozen;		/* it has rolled, so the bank is complete and no program writes it */
};

verified_once int take_snapshot(struct snapshot *snapshot, struct task_state *state, __u32 window,
				__u64 start, __u64 end)
{
	__u32 newest;
	__u64 since;

	if (!snapshot || !state)
		return 0;
	snapshot->seqcount.whole = *(volatile __u64 *)&state->seqcount.whole;
	machine_order();
	newest = *(volatile __u32 *)&state->window;
	machine_order();	/* a bank that is frozen is read as it was when the window's number was written */
	since = state->since_ns < start ? start : state->since_ns;
	snapshot->window = window;
	snapshot->moved = newest >= window;
	snapshot->frozen = newest > window;
	snapshot->tail_ns = !snapshot->frozen && since < end ? end - since : 0;
	snapshot->alive_ns = alive_within(state, start, end);
	snapshot->open_wait_ns = snapshot->frozen ? state->open_wait_ns : open_wait(state, end);
	snapshot->wait_kind = snapshot->frozen ? state->open_wait_kind : wait_kind(snapshot->seqcount.phase);
	return 0;
}

/* Whether the task may have changed since its seqcount was read. */
static inlined bool changed(struct task_state *state, union seqcount seen)
{
	return (seen.seq & 1) || *(volatile __u64 *)&state->seqcount.whole != seen.whole;
}

/* ---- a task that slept through the window ---- */

static inlined bool sleeps(__u8 phase)
{
	return phase == PHASE_BLOCKED || phase == PHASE_IOWAIT || phase == PHASE_NOT_ALIVE;
}

static inlined void fold_sleeper(__u8 phase, __u64 tail, __u64 alive)
{
	control.other.bank.time_ns[phase & (PHASES - 1)] += tail;
	if (alive) {
		control.other.tasks++;
		control.other.alive_ns += alive;
	}
}

/* Such a task has no row, unless settings.min_activity_ns is 0: its time goes to `other`. */
static inlined void flush_sleeper(struct task_struct *task, struct task_state *state, const struct snapshot *snapshot)
{
	machine_order();
	if (changed(state, snapshot->seqcount)) {
		control.tasks_busy++;
		return;
	}
	if (claim(state, snapshot->window))
		fold_sleeper(snapshot->seqcount.phase, snapshot->tail_ns, snapshot->alive_ns);
	state->selected = selects(task, state);
}

/* ---- a row ---- */

/* The page's next free row, taken once control.rows counts it. NULL where the page is full. */
static inlined struct task_record *free_row(void)
{
	__u32 index = control.rows;

	return bpf_map_lookup_elem(&page, &index);
}

/* What became of a task's row. */
enum outcome {
	ROW_BUSY,		/* the task is changing: ask again */
	ROW_REPORTED,		/* its exit has claimed the window */
	ROW_FOLDED,		/* summed into `other` */
	ROW_FILLED,		/* it is the page's newest row */
};

/* Returns an enum outcome. */
verified_once int fill_row(struct task_record *record, struct task_state *state, const struct snapshot *snapshot)
{
	__u8 phase;

	if (!record || !state || !snapshot)
		return ROW_REPORTED;
	phase = snapshot->seqcount.phase & (PHASES - 1);
	record->window = snapshot->window;
	record->alive_ns = snapshot->alive_ns;
	record->open_wait_ns = snapshot->open_wait_ns;
	if (snapshot->moved)
		__builtin_memcpy(&record->bank, &state->bank[snapshot->window & 1], sizeof(record->bank));
	else
		__builtin_memset(&record->bank, 0, sizeof(record->bank));
	if (!snapshot->frozen) {
		record->bank.time_ns[phase] += snapshot->tail_ns;
		record->bank.waits_unfinished = phase_waits(phase);
		record->bank.bursts_unfinished = state->burst_since_ns != 0;
	}
	record->total_cpu_ns = state->total_cpu_ns + record->bank.time_ns[PHASE_RUNNING];
	machine_order();
	if (!snapshot->frozen && changed(state, snapshot->seqcount))
		return ROW_BUSY;
	if (!claim(state, snapshot->window))
		return ROW_REPORTED;
	state->total_cpu_ns = record->total_cpu_ns;
	if (state->selected && snapshot->alive_ns && activity(&record->bank) >= settings.min_activity_ns)
		return ROW_FILLED;
	fold(&control.other, &record->bank, snapshot->alive_ns, snapshot->open_wait_ns);
	return ROW_FOLDED;
}

/* Puts down that the task waited, or had a CPU, at the window's end. A frozen one may have moved to another CPU since. */
static inlined void tell_edge(struct task_record *record, struct task_struct *task, struct task_state *state,
			      const struct snapshot *snapshot, __u64 end)
{
	if (snapshot->open_wait_ns && state->selected)
		keep_open_wait(&control.open_waits[snapshot->wait_kind & 1], record, open_wait_since(record, state, end),
			       end, snapshot->frozen ? WAIT_CPU_UNKNOWN : cpu_field(task));
	else if (snapshot->seqcount.phase == PHASE_RUNNING && !snapshot->frozen)
		note_occupant(record, snapshot->seqcount.cpu);
}

/* Not 0: the page is full. */
static inlined int flush_row(struct task_struct *task, struct task_state *state, const struct snapshot *snapshot,
			     __u64 end)
{
	struct task_record *record = free_row();
	int outcome;

	if (!record) {
		control.tasks_busy++;
		return 1;
	}
	note_stopper(task);
	describe(record, task, state, end);
	outcome = fill_row(record, state, snapshot);
	if (outcome == ROW_BUSY)
		control.tasks_busy++;
	if (outcome == ROW_BUSY || outcome == ROW_REPORTED)
		return 0;
	tell_edge(record, task, state, snapshot, end);
	control.rows += outcome == ROW_FILLED;
	state->selected = selects(task, state);
	return control.rows >= settings.page_rows;
}

/* ---- one task, visited ---- */

/* Whether a task may have a row; one that is not followed yet is prepared for the next pass or window. */
static inlined bool is_followed(struct task_struct *task, struct task_state *state)
{
	/*
	 * Without state, its allocation failed at fork: the task is followed from the next pass on, as one older than
	 * tracing. Its state goes to task storage and not to the task cache, which an event of its own may claim for it
	 * at this moment; any_state_of() finds that one first.
	 */
	if (unlikely(!state)) {
		if (!comes_or_goes(task))
			control.tasks_busy += begin_late(task, create_storage(task));
		return false;
	}
	if (unlikely(state->seqcount.flags & TASK_HIDDEN)) {
		state->left_censored = 1;
		state->window = 0;	/* the bank holds time that no flush has reported */
		state->wait_since_ns = state->burst_since_ns = 0;	/* of a wait or burst that may have ended since */
		state->seqcount.whole = 0;
	}
	if (unlikely(state->seqcount.phase == PHASE_UNKNOWN)) {
		adopt(task, state, false);
		return false;
	}
	if (state->seqcount.flags & TASK_COMPLETED) {
		/* The state is another task's at the same address, and the birth of this one was withheld. */
		if (unlikely(!comes_or_goes(task))) {
			clear_state(state);
			control.tasks_busy += begin_late(task, state);
		}
		return false;
	}
	return true;
}

/*
 * Reports the open window, whose end has passed, of one task. Not 0: the page is full, and the collector should read
 * its rows first. Nothing is lost by that, since unclaimed tasks come up again.
 */
static outlined int flush_task(struct task_struct *task)
{
	__u32 window = open_window(&control.grid);
	__u64 start = window_start(&control.grid, window), end = window_end(&control.grid, window);
	struct task_state *state = any_state_of(task);
	struct snapshot snapshot = {};

	if (!is_followed(task, state) || state->flushed >= window)
		return 0;
	if (state->seqcount.phase == PHASE_RUNNING)
		leave_dead_cpu(state);
	take_snapshot(&snapshot, state, window, start, end);
	if (snapshot.moved || !settings.min_activity_ns || !sleeps(snapshot.seqcount.phase))
		return flush_row(task, state, &snapshot, end);
	flush_sleeper(task, state, &snapshot);
	return 0;
}

#endif
