/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The task state machine: scheduler events in, exact books per task and window out.
 *
 * It calls nothing of BPF, so every loader includes it and the tests compile it for the host. The file that includes
 * it defines five hooks first:
 *   machine_order()    orders the stores before it against those after it, for a reader on another CPU
 *   machine_discard()  counts a sample thrown away because its duration was negative
 *   machine_lost()     counts a task's window that nobody came to report
 *   machine_missed()   counts an event that must have happened and was not delivered
 *   machine_clear()    sets so many bytes to zero; too many for stores, each of which the BPF verifier would look at
 *
 * Windows without resets. The grid says which window is open and when it ends. Every task has two banks; window w
 * writes bank w & 1. The first event of a task past the edge *rolls* it: the time up to the edge is booked into the
 * old bank, which is never written again, and the other bank is cleared and opened. So all tasks share the same
 * edges to the nanosecond, however late the collector comes to read the frozen banks; and no writer ever waits.
 * A task without an event since the edge has not rolled; the reader adds the time up to the edge itself.
 *
 * Who writes a task's state, one at a time: sched_switch and sched_wakeup hold the run-queue lock of its CPU;
 * fork, exec and exit run where no switch or wakeup of that task can change it (a wakeup of a running task is ignored).
 */
#ifndef SCHEDTEL_MACHINE_H
#define SCHEDTEL_MACHINE_H

#include "records.h"

#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define likely(condition) __builtin_expect(!!(condition), 1)
#define inlined inline __attribute__((always_inline))
#define outlined __attribute__((noinline))
/* A global function: the BPF verifier checks it once, and not again on every path that leads to it. */
#ifndef verified_once
#define verified_once __attribute__((noinline))
#endif

/*
 * One task's life. The first 56 bytes share a cache line with the storage header: what every event needs. The next line
 * is what births, deaths and the flush need; the banks follow line by line.
 */
struct task_state {
	union seqcount seqcount;
	/* These two are read as one; see struct grid. */
	__u32 window;			/* the window its open bank belongs to; 0: none yet */
	__u32 flushed;			/* the newest window that has been reported; claimed by compare-and-swap */
	__u64 since_ns;			/* the phase's start, or the window's, whichever is later */
	__u64 wait_since_ns;		/* true start of the wait in progress; 0: it began before tracing */
	__u64 burst_since_ns;		/* the wakeup that began the burst in progress; 0: none seen */
	__u64 first_cpu_ns;		/* 1: before tracing */
	__u32 selected;			/* by the filter: index into cpu_bank.samples */
	__u32 left_censored;		/* alive before tracing began: arrival is its start, first CPU unknown */

	__u64 fork_ns;
	__u64 arrival_ns;
	__u64 alive_since_ns;		/* arrival, or when a task older than tracing was adopted */
	__u64 completion_ns;
	__u64 total_cpu_ns;		/* up to the last reported window */
	__u32 first_tid;		/* an exec may give it its leader's instead; with bcc 0 until then */
	__u32 in_process;		/* the -p process or a descendant of it */
	struct group preemptor;		/* who took its CPU last; known while the wait that followed goes on */

	struct bank bank[2];
};

#define FIRST_CPU_BEFORE_TRACING 1
#define NOT_PREEMPTED (-1)

static inlined void write_begin(union seqcount *seqcount)
{
	*(volatile __u32 *)&seqcount->seq = seqcount->seq + 1;
	machine_order();
}

static inlined void write_end(union seqcount *seqcount)
{
	machine_order();
	*(volatile __u32 *)&seqcount->seq = seqcount->seq + 1;
}

/*
 * floor(log2(x)) by halving: BPF has no instruction for it. Without branches, since durations vary and a branch taken
 * wrongly costs more than all of this: the sign of a difference is a step's bit.
 */
static inlined __u64 log2_floor(__u64 x)
{
	__u64 step, result;

	result = (0xffff - x) >> 63 << 4;
	x >>= result;
	step = (0xff - x) >> 63 << 3;
	x >>= step;
	result += step;
	step = (0xf - x) >> 63 << 2;
	x >>= step;
	result += step;
	step = (0x3 - x) >> 63 << 1;
	x >>= step;
	return result + step + (x >> 1);
}

/*
 * Below 32 units the exponent is 0, and a bucket is a unit. From 2^31 units on, where the logarithm ends, buckets would
 * be FINE_BUCKETS or more. 64 bits wide: in an instruction set without 32-bit ones (bcc's), the verifier loses a bound
 * where a word is cut.
 */
static inlined __u64 bucket_of(__u64 ns)
{
	__u64 units = ns >> 6, exponent = (log2_floor(units | 16) - 4) & 63, bucket = exponent * 16 + (units >> exponent);

	/* Clang can prove the bound and would drop the check that the BPF verifier needs to see. */
	asm volatile("" : "+r"(bucket));
	return bucket < FINE_BUCKETS ? bucket : FINE_BUCKETS - 1;
}

static inlined void add_sample(struct samples *samples, __u64 bucket, __u64 ns)
{
	samples->sum_ns += ns;
	if (unlikely(ns > samples->max_ns))
		samples->max_ns = ns;
	samples->histogram[bucket]++;
}

/* A bucket of a task's has reached 65,536 and begun again at 0. Where that cannot be noted, the sample is discarded. */
verified_once int spill(struct bank *bank, __u32 bucket)
{
	int i;

	if (!bank)
		return 0;
	for (i = 0; i < SPILLS; i++) {
		if (!bank->spills[i].times)
			bank->spilled = i + 1;
		else if (bank->spills[i].bucket != bucket)
			continue;
		bank->spills[i].bucket = bucket;
		bank->spills[i].times++;
		return 0;
	}
	machine_discard();
	if (bucket < TASK_BUCKETS)
		bank->wait_histogram[bucket] = 0xffff;
	else if (bucket < 2 * TASK_BUCKETS)
		bank->burst_tat_histogram[bucket - TASK_BUCKETS] = 0xffff;
	return 0;
}

/* counts: one of the bank's two histograms, whose buckets are numbered from first. */
static inlined void count_sample(struct bank *bank, __u16 *counts, __u32 first, __u64 bucket)
{
	__u16 count = counts[bucket] + 1;

	counts[bucket] = count;
	if (unlikely(!count))
		spill(bank, first + bucket);
}

static inlined __u32 open_window(const struct grid *grid)
{
	return *(volatile const __u64 *)&grid->epoch;
}

static inlined __u64 window_start(const struct grid *grid, __u32 window)
{
	return *(volatile const __u64 *)&grid->edge_ns[(window - 1) & 3];
}

static inlined __u64 window_end(const struct grid *grid, __u32 window)
{
	return *(volatile const __u64 *)&grid->edge_ns[window & 3];
}

static inlined void open_bank(struct task_state *task, __u32 window)
{
	__builtin_memset(&task->bank[window & 1], 0, sizeof(struct bank));
	machine_order();
	*(volatile __u32 *)&task->window = window;
}

static inlined int phase_waits(__u8 phase)
{
	_Static_assert(PHASE_PREEMPT_WAIT == (PHASE_WAKEUP_WAIT | 1), "they differ in the lowest bit");
	return (phase & ~1) == PHASE_WAKEUP_WAIT;
}

static inlined int phase_blocked(__u8 phase)
{
	_Static_assert(PHASE_IOWAIT == (PHASE_BLOCKED | 1), "they differ in the lowest bit");
	return (phase & ~1) == PHASE_BLOCKED;
}

/* Whether a task can be on a CPU, by what has been seen of it. */
static inlined int phase_on_cpu(__u8 phase)
{
	return phase == PHASE_RUNNING || phase == PHASE_UNKNOWN;
}

/* Books the time up to the edge and freezes the open bank. */
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
}

/* The rare part of account(): the task's first event in a window, or of all, or one past the edge. */
verified_once int roll_task(struct task_state *task, const struct grid *grid, __u32 open, __u64 now)
{
	__u64 start, end;

	if (!task || !grid)	/* never, but the verifier takes a global function's pointers for nullable */
		return 0;
	start = window_start(grid, open);
	end = window_end(grid, open);
	if (task->seqcount.phase == PHASE_UNKNOWN)
		task->since_ns = task->alive_since_ns = now;
	if (task->window < open) {	/* it slept through the edge; the flush has reported what was before */
		if (task->flushed < task->window) {
			task->seqcount.flags |= TASK_HIDDEN;
			machine_lost();
		}
		open_bank(task, open);
		if (task->since_ns < start)
			task->since_ns = start;
	}
	/* Reported already, and now is before the edge: this writer was held up. Its event counts at the edge. */
	if (task->window == open && (now >= end || task->flushed == open)) {
		close_bank(task, end);
		open_bank(task, open + 1);
	}
	return 0;
}

/* Above 32 bits: past the edge, nobody's books are as they should be. */
#define NO_EPOCH ((__u64)~0U << 32)

/* One event's time, and the window that is open at it: read once, so that all it touches agree. */
struct moment {
	const struct grid *grid;
	__u64 now;
	__u64 epoch;
	int fast;			/* a constant. 1: can_*_fast() has asked, and the task is being written to */
};

static inlined struct moment moment_of(const struct grid *grid, __u64 now)
{
	struct moment at = { .grid = grid, .now = now, .epoch = *(volatile const __u64 *)&grid->epoch };

	if (unlikely(now >= window_end(grid, at.epoch)))
		at.epoch |= NO_EPOCH;
	return at;
}

typedef __u64 __attribute__((may_alias)) two_words;

/* Whether what has this window, and flushed behind it, has rolled to the moment's and has not been flushed since. */
static inlined int is_open(const __u32 *window, struct moment at)
{
	return *(volatile const two_words *)window == at.epoch;
}

typedef __u16 __attribute__((may_alias)) two_bytes;

/* Whether a task is followed, and in this phase or in one that differs in the bits of `either`. */
static inlined int is_followed_in(const struct task_state *task, __u16 phase, __u16 either)
{
	_Static_assert(__builtin_offsetof(union seqcount, flags) == __builtin_offsetof(union seqcount, phase) + 1, "read as one");
	return (*(const volatile two_bytes *)&task->seqcount.phase & ~either) == phase;
}

/*
 * Whether nothing rare can happen to a task that leaves its CPU, takes one, or wakes. What comes then need not ask: on the
 * usual way, all questions come first and straight code after them. The last one is whether its books are open, and
 * that must be asked behind write_begin(), as a flush may be about to close them.
 */
static inlined int can_leave_fast(const struct task_state *task, struct moment at)
{
	return is_followed_in(task, PHASE_RUNNING, 0) && at.now >= task->since_ns;
}

static inlined int can_take_cpu_fast(const struct task_state *task, struct moment at)
{
	return is_followed_in(task, PHASE_WAKEUP_WAIT, 1) && at.now >= task->since_ns && task->wait_since_ns;
}

static inlined int can_wake_fast(const struct task_state *task)
{
	return is_followed_in(task, PHASE_BLOCKED, 1);
}

/* Brings a task's books up to now and returns its open bank. */
static inlined struct bank *account(struct task_state *task, struct moment at)
{
	struct bank *bank;
	__s64 elapsed;

	if (!at.fast && unlikely(!is_open(&task->window, at)))
		roll_task(task, at.grid, at.epoch, at.now);
	bank = &task->bank[(at.fast ? at.epoch : task->window) & 1];
	elapsed = at.now - task->since_ns;
	if (!at.fast && unlikely(elapsed < 0)) {
		machine_discard();
		return bank;
	}
	bank->time_ns[task->seqcount.phase & (PHASES - 1)] += elapsed;
	task->since_ns = at.now;
	return bank;
}

/* sched_wakeup_new: the task may run for the first time. */
static inlined void task_arrives(struct task_state *task, struct moment at)
{
	write_begin(&task->seqcount);
	account(task, at);
	task->seqcount.phase = PHASE_WAKEUP_WAIT;
	task->arrival_ns = task->alive_since_ns = at.now;
	task->wait_since_ns = task->burst_since_ns = at.now;
	write_end(&task->seqcount);
}

/* Whether a sched_wakeup says anything new: only a blocked task becomes runnable by it. */
static inlined int wakeup_matters(struct task_state *task)
{
	/* Not seeded yet: the changed sequence number makes the seeder look again. */
	if (unlikely(task->seqcount.phase == PHASE_UNKNOWN)) {
		write_begin(&task->seqcount);
		write_end(&task->seqcount);
	}
	return phase_blocked(task->seqcount.phase);
}

/* sched_wakeup that matters. */
static inlined void task_wakes(struct task_state *task, struct moment at)
{
	if (!at.fast)
		write_begin(&task->seqcount);
	account(task, at)->wakeups++;
	task->seqcount.phase = PHASE_WAKEUP_WAIT;
	task->wait_since_ns = task->burst_since_ns = at.now;
	write_end(&task->seqcount);
}

/* Returns the wait where it was one after a preemption, else a negative number. */
static inlined __s64 end_wait(struct task_state *task, struct bank *bank, struct cpu_bank *cpu_bank, struct moment at)
{
	__s64 wait = at.now - task->wait_since_ns, kind = task->seqcount.phase & 1;
	__u64 bucket;

	_Static_assert(SAMPLE_WAKEUP_WAIT == 0 && SAMPLE_PREEMPT_WAIT == 1, "as the lowest bit of the phase says");

	if (!at.fast && !task->wait_since_ns)	/* it began before tracing: left-censored, no sample */
		return NOT_PREEMPTED;
	if (!at.fast && unlikely(wait < 0)) {
		machine_discard();
		return NOT_PREEMPTED;
	}
	bucket = bucket_of(wait);
	if (unlikely((__u64)wait > bank->max_wait_ns))
		bank->max_wait_ns = wait;
	add_sample(&cpu_bank->samples[task->selected & 1][kind], bucket, wait);
	count_sample(bank, bank->wait_histogram, 0, bucket >> TASK_BUCKET_SHIFT);
	_Static_assert(NOT_PREEMPTED == -1, "all bits");
	return wait | (kind - 1);
}

/* sched_switch, the task that comes in. Returns as end_wait() does. */
static inlined __s64 task_takes_cpu(struct task_state *task, struct moment at, __u32 cpu,
					  struct cpu_bank *cpu_bank)
{
	__s64 wait = NOT_PREEMPTED;
	struct bank *bank;

	if (!at.fast)
		write_begin(&task->seqcount);
	bank = account(task, at);
	if (unlikely(!task->first_cpu_ns)) {
		task->first_cpu_ns = at.now;
		task->seqcount.cpu = cpu;
	}
	if (unlikely(task->seqcount.cpu != cpu)) {
		task->seqcount.cpu = cpu;
		bank->migrations++;
	}
	if (at.fast || likely(phase_waits(task->seqcount.phase))) {
		wait = end_wait(task, bank, cpu_bank, at);
	} else if (unlikely(phase_blocked(task->seqcount.phase))) {	/* nobody told of its wakeup */
		machine_missed();
		bank->wakeups++;
		task->burst_since_ns = at.now;
	} else if (unlikely(!task->alive_since_ns)) {	/* nor of its arrival: as if it had been there before tracing */
		machine_missed();
		task->left_censored = 1;
		task->alive_since_ns = at.now;
		task->arrival_ns = task->fork_ns ? task->fork_ns : at.now;
		task->first_cpu_ns = FIRST_CPU_BEFORE_TRACING;
	}
	task->seqcount.phase = PHASE_RUNNING;
	write_end(&task->seqcount);
	return wait;
}

static inlined void end_burst(struct task_state *task, struct bank *bank, struct cpu_bank *cpu_bank, __u64 now)
{
	__s64 tat = now - task->burst_since_ns;
	__u64 bucket;

	if (!task->burst_since_ns)
		return;
	task->burst_since_ns = 0;
	if (unlikely(tat < 0)) {
		machine_discard();
		return;
	}
	bucket = bucket_of(tat);
	bank->bursts++;
	bank->burst_tat_sum_ns += tat;
	add_sample(&cpu_bank->samples[task->selected & 1][SAMPLE_BURST_TAT], bucket, tat);
	count_sample(bank, bank->burst_tat_histogram, TASK_BUCKETS, bucket >> TASK_BUCKET_SHIFT);
}

/* sched_switch, the task that goes out: runnable, since it was preempted or its state is running. */
static inlined void task_is_preempted(struct task_state *task, struct moment at)
{
	if (!at.fast)
		write_begin(&task->seqcount);
	account(task, at)->involuntary_switches++;
	task->seqcount.phase = PHASE_PREEMPT_WAIT;
	task->wait_since_ns = at.now;
	write_end(&task->seqcount);
}

/* Likewise, to sleep. iowait: 0 or 1. */
static inlined void task_blocks(struct task_state *task, struct moment at, __u8 iowait, struct cpu_bank *cpu_bank)
{
	struct bank *bank;

	if (!at.fast)
		write_begin(&task->seqcount);
	bank = account(task, at);
	bank->voluntary_switches++;
	task->seqcount.phase = PHASE_BLOCKED | iowait;
	end_burst(task, bank, cpu_bank, at.now);
	write_end(&task->seqcount);
}

/* sched_process_exit: the life is complete. What the task still runs until its last switch is the CPU's tear-down. */
static inlined void task_completes(struct task_state *task, struct moment at,
					 struct cpu_bank *cpu_bank)
{
	struct bank *bank;

	write_begin(&task->seqcount);
	bank = account(task, at);
	end_burst(task, bank, cpu_bank, at.now);
	task->completion_ns = at.now;
	task->seqcount.flags |= TASK_COMPLETED;
	task->seqcount.phase = PHASE_NOT_ALIVE;
	write_end(&task->seqcount);
}

static inlined void open_cpu_bank(struct cpu_state *cpu, __u32 window)
{
	machine_clear(&cpu->bank[window & 1], sizeof(struct cpu_bank));
	cpu->flushed = window - 1;
	machine_order();
	*(volatile __u32 *)&cpu->window = window;
}

verified_once int roll_cpu(struct cpu_state *cpu, const struct grid *grid, __u32 open, __u64 now)
{
	__u64 start, end;

	if (!cpu || !grid)
		return 0;
	start = window_start(grid, open);
	end = window_end(grid, open);
	if (cpu->window < open) {
		open_cpu_bank(cpu, open);
		if (cpu->since_ns < start)
			cpu->since_ns = start;
	}
	if (cpu->window == open && now >= end) {
		if (cpu->since_ns < end) {
			cpu->bank[open & 1].time_ns[cpu->seqcount.phase & (CPU_PHASES - 1)] += end - cpu->since_ns;
			cpu->since_ns = end;
		}
		open_cpu_bank(cpu, open + 1);
	}
	return 0;
}

static inlined void account_cpu_time(struct cpu_state *cpu, struct cpu_bank *bank, __u64 now)
{
	__s64 elapsed = now - cpu->since_ns;

	if (elapsed > 0) {
		bank->time_ns[cpu->seqcount.phase & (CPU_PHASES - 1)] += elapsed;
		cpu->since_ns = now;
	}
}

/* Brings a CPU's books up to now and returns its open bank. */
static inlined struct cpu_bank *account_cpu(struct cpu_state *cpu, struct moment at)
{
	struct cpu_bank *bank;

	if (unlikely(!is_open(&cpu->window, at)))
		roll_cpu(cpu, at.grid, at.epoch, at.now);
	bank = &cpu->bank[cpu->window & 1];
	account_cpu_time(cpu, bank, at.now);
	return bank;
}

/* What a CPU does from now on. Its time is booked when that changes: busy with one task after the other, it stays busy. */
static inlined void turn_cpu(struct cpu_state *cpu, struct cpu_bank *bank, __u8 phase, __u64 now)
{
	if (likely(cpu->seqcount.phase == phase))
		return;
	account_cpu_time(cpu, bank, now);
	cpu->seqcount.phase = phase;
}

/* ---- who preempted whom ---- */

static inlined struct group group_of_kind(__u8 kind)
{
	struct group group = {};

	((__u8 *)group.words)[sizeof(group) - 1] = kind;
	return group;
}

static inlined int same_group(const struct group *a, const struct group *b)
{
	return a->words[0] == b->words[0] && a->words[1] == b->words[1];
}

/* Adds one wait to an entry of its window. */
static inlined void count_preemption(struct preemption *entry, __u64 wait)
{
	entry->count++;
	entry->wait_ns += wait;
	if (unlikely(wait > entry->max_wait_ns))
		entry->max_wait_ns = wait;
}

static inlined int is_of(const struct preemption *entry, __u32 window, const struct group *victim,
			 const struct group *preemptor)
{
	return entry->window == window && same_group(&entry->victim, victim) && same_group(&entry->preemptor, preemptor);
}

/* Any odd numbers will do; the four products do not wait for one another. */
static inlined __u64 pair_hash(const struct group *victim, const struct group *preemptor)
{
	__u64 mixed = victim->words[0] * 0x9E3779B97F4A7C15ULL + victim->words[1] * 0xC2B2AE3D27D4EB4FULL +
		      preemptor->words[0] * 0xD6E8FEB86659FD93ULL + preemptor->words[1] * 0xA0761D6478BD642FULL;

	return (mixed ^ mixed >> 32) * 0x9E3779B97F4A7C15ULL >> 40;
}

/* Begins an entry anew with its first wait in a window. */
static inlined void begin_preemption(struct preemption *entry, __u32 window, struct group victim,
				     struct group preemptor, __u64 wait)
{
	entry->victim = victim;
	entry->preemptor = preemptor;
	entry->wait_ns = entry->max_wait_ns = wait;
	entry->count = 1;
	entry->window = window;
}

/* The rare part of tell_preemption(): another pair than the last one. */
verified_once int add_preemption(struct preemptions *table, const struct group *victim, const struct group *preemptor,
				 __u64 wait, __u32 window)
{
	struct group other = group_of_kind(GROUP_OTHER);
	struct preemption *entry;
	__u64 place;
	__u32 i;

	if (!table || !victim || !preemptor)
		return 0;
	place = pair_hash(victim, preemptor);
	for (i = 0; i < PREEMPTION_PROBES; i++, place++) {
		entry = &table->pairs[window & 1][place & (PREEMPTION_PAIRS - 1)];
		if (is_of(entry, window, victim, preemptor))
			count_preemption(entry, wait);
		else if (entry->window != window)
			begin_preemption(entry, window, *victim, *preemptor, wait);
		else
			continue;
		table->latest = place & (PREEMPTION_PAIRS - 1);
		return 0;
	}
	entry = &table->folded[window & 1];
	if (entry->window == window)
		count_preemption(entry, wait);
	else
		begin_preemption(entry, window, other, other, wait);
	return 0;
}

/*
 * A preempted task has its CPU again, after a wait that has become a sample in this CPU's open bank. The table is this
 * CPU's, too: one window has both, and the collector reads both at the same moment. Most often, a pair is the last one.
 */
static inlined void tell_preemption(struct preemptions *table, struct group victim, const struct group *preemptor,
				    __u64 wait, __u32 window)
{
	struct preemption *entry;

	if (!table)
		return;
	entry = &table->pairs[window & 1][table->latest & (PREEMPTION_PAIRS - 1)];
	if (likely(is_of(entry, window, &victim, preemptor)))
		count_preemption(entry, wait);
	else
		add_preemption(table, &victim, preemptor, wait, window);
}

#endif
