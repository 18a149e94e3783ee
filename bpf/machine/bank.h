/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A task's state and its two banks: a moment in; the bank that is open at it, with the time up to it accounted, out.
 */
#ifndef SCHEDTEL_MACHINE_BANK_H
#define SCHEDTEL_MACHINE_BANK_H

/*
 * One task's life. The first 56 bytes share a cache line with the storage header and hold what every event needs. The
 * next line holds what births, deaths and the flush need. The banks follow, aligned to lines.
 */
struct task_state {
	union seqcount seqcount;
	/* These two are read as one; see struct grid. */
	__u32 window;			/* the window its open bank belongs to; 0: none yet */
	__u32 flushed;			/* the newest window that has been reported; claimed by compare-and-swap */
	__u64 since_ns;			/* the start of the phase or of the window, whichever is later */
	__u64 wait_since_ns;		/* true start of the wait in progress; 0: it began before tracing */
	__u64 burst_since_ns;		/* the wakeup that began the burst in progress; 0: none seen */
	__u64 first_cpu_ns;		/* FIRST_CPU_BEFORE_TRACING, if so */
	__u8 selected;			/* by the filter: index into cpu_bank.samples */
	__u8 left_censored;		/* alive before tracing began: arrival is its start, first CPU unknown */
	__u8 in_process;		/* of a process of the filter, or descends from one */
	__u8 open_wait_kind;		/* of the wait that open_wait_ns is the age of: enum sample_kind */
	__u32 first_tid;		/* its tid at birth, which an exec may change; with bcc 0 until then */

	__u64 fork_ns;
	__u64 arrival_ns;
	__u64 alive_since_ns;		/* arrival, or when a task older than tracing was adopted */
	__u64 completion_ns;
	__u64 total_cpu_ns;		/* up to the last reported window */
	__u64 open_wait_ns;		/* open_wait() of the frozen bank, at its edge; valid while there is one */
	struct group preemptor;		/* the group that took its CPU last; valid during the wait that followed */

	struct bank bank[2];
};

#define FIRST_CPU_BEFORE_TRACING 1

static inlined int phase_waits(__u8 phase)
{
	_Static_assert(PHASE_PREEMPT_WAIT == (PHASE_WAKEUP_WAIT | 1), "they differ in the lowest bit");
	return (phase & ~1) == PHASE_WAKEUP_WAIT;
}

/* The kind of sample that a wait in this phase will be. */
static inlined int wait_kind(__u8 phase)
{
	_Static_assert(SAMPLE_WAKEUP_WAIT == 0 && SAMPLE_PREEMPT_WAIT == 1, "as the lowest bit of the phase says");
	return phase & 1;
}

static inlined int phase_blocked(__u8 phase)
{
	_Static_assert(PHASE_IOWAIT == (PHASE_BLOCKED | 1), "they differ in the lowest bit");
	return (phase & ~1) == PHASE_BLOCKED;
}

/* Whether a task in this phase can be on a CPU. */
static inlined int phase_on_cpu(__u8 phase)
{
	return phase == PHASE_RUNNING || phase == PHASE_UNKNOWN;
}

static inlined void open_bank(struct task_state *task, __u32 window)
{
	__builtin_memset(&task->bank[window & 1], 0, sizeof(struct bank));
	machine_order();
	*(volatile __u32 *)&task->window = window;
}

/*
 * The age of the wait that goes on past the window's end, at that end: since its true start, however many windows ago
 * that was. 0: no wait goes on; OPEN_WAIT_UNKNOWN: one does, and it began before tracing.
 */
static inlined __u64 open_wait(const struct task_state *task, __u64 end)
{
	__u64 since = task->wait_since_ns;

	if (!phase_waits(task->seqcount.phase))
		return 0;
	if (!since)
		return OPEN_WAIT_UNKNOWN;
	return since < end ? end - since : 0;
}

/* Accounts the time up to the edge, and freezes the open bank. */
static inlined void close_bank(struct task_state *task, __u64 end)
{
	struct bank *bank = &task->bank[task->window & 1];
	__u8 phase = task->seqcount.phase & (PHASES - 1);

	if (task->since_ns < end) {
		bank->time_ns[phase] += end - task->since_ns;
		task->since_ns = end;
	}
	bank->waits_unfinished = phase_waits(phase);
	bank->bursts_unfinished = task->burst_since_ns != 0;
	task->open_wait_ns = open_wait(task, end);
	task->open_wait_kind = wait_kind(phase);
}

/* The slow path of account(): the task's first event of all, its first in a window, or one past the edge. */
verified_once int roll_task(struct task_state *task, const struct grid *grid, __u32 open, __u64 now)
{
	__u64 start, end;

	if (!task || !grid)	/* never, but the verifier takes a global function's pointers for nullable */
		return 0;
	start = window_start(grid, open);
	end = window_end(grid, open);
	if (task->seqcount.phase == PHASE_UNKNOWN)
		task->since_ns = task->alive_since_ns = now;
	if (task->window < open) {	/* no event since the edge; the flush has reported the windows before */
		if (task->flushed < task->window) {
			task->seqcount.flags |= TASK_HIDDEN;
			lose_task();
		}
		open_bank(task, open);
		if (task->since_ns < start)
			task->since_ns = start;
	}
	/* Reported already, while now is before the edge: this writer was held up. Its event counts at the edge. */
	if (task->window == open && (now >= end || task->flushed == open)) {
		close_bank(task, end);
		open_bank(task, open + 1);
	}
	return 0;
}

/*
 * A time that lies back, as a moment in the open window. It is past that window's end if the flush has reported the
 * task for it.
 */
static inlined struct moment not_reported(const struct task_state *task, const struct grid *grid, __u64 time)
{
	__u32 open = open_window(grid);
	__u64 start = window_start(grid, open), end = window_end(grid, open);

	if (time < start)
		time = start;
	if (task->flushed == open && time < end)
		time = end;
	return moment_of(grid, time);
}

/* Accounts the time up to now, and returns the task's open bank. */
static inlined struct bank *account(struct task_state *task, struct moment at)
{
	struct bank *bank;
	__s64 elapsed;

	if (!at.fast && unlikely(!is_open(&task->window, at)))
		roll_task(task, at.grid, at.epoch, at.now);
	bank = &task->bank[(at.fast ? at.epoch : task->window) & 1];
	/* A pointer from here on, and not the task and a distance: clang would add the two anew at each field. */
	asm volatile("" : "+r"(bank));
	elapsed = at.now - task->since_ns;
	if (!at.fast && unlikely(elapsed < 0)) {
		discard_sample();
		return bank;
	}
	bank->time_ns[task->seqcount.phase & (PHASES - 1)] += elapsed;
	task->since_ns = at.now;
	return bank;
}

#endif
