/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The task state machine: scheduler events in, exact books per task and window out.
 *
 * It calls nothing of BPF, so every loader includes it and the tests compile it for the host. The file that includes
 * it defines four hooks first:
 *   machine_order()    orders the stores before it against those after it, for a reader on another CPU
 *   machine_discard()  counts a sample thrown away because its duration was negative
 *   machine_lost()     counts a task's window that nobody came to report
 *   machine_missed()   counts an event that must have happened and was not delivered
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
	union word word;
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
	__u32 previous_tid;
	__u32 in_process;		/* the -p process or a descendant of it */
	struct group preemptor;		/* who took its CPU last; known while the wait that followed goes on */

	struct bank bank[2];
};

#define FIRST_CPU_BEFORE_TRACING 1
#define NOT_PREEMPTED (-1)

static inlined void write_begin(union word *word)
{
	*(volatile __u32 *)&word->seq = word->seq + 1;
	machine_order();
}

static inlined void write_end(union word *word)
{
	machine_order();
	*(volatile __u32 *)&word->seq = word->seq + 1;
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

/* 64 bits wide: in an instruction set without 32-bit ones (bcc's), the verifier loses a bound where a word is cut. */
static inlined __u64 bucket_of(__u64 ns)
{
	__u64 units = ns >> 6, bucket = FINE_BUCKETS - 1, exponent;

	if (units < 16) {
		bucket = units;
	} else if (likely(!(units >> 31))) {
		exponent = log2_floor(units) - 4;
		bucket = exponent * 16 + (units >> exponent);
	}
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

/* A bucket of a task's has reached 65,536. Not 0: there is room to note it. */
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
		return 1;
	}
	return 0;
}

/* counts: one of the bank's two histograms, whose buckets are numbered from first. */
static inlined void count_sample(struct bank *bank, __u16 *counts, __u32 first, __u64 bucket)
{
	__u16 count = counts[bucket] + 1;

	if (unlikely(!count) && !spill(bank, first + bucket)) {
		machine_discard();
		return;
	}
	counts[bucket] = count;
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
	return phase == PHASE_WAKEUP_WAIT || phase == PHASE_PREEMPT_WAIT;
}

static inlined int phase_blocked(__u8 phase)
{
	return phase == PHASE_BLOCKED || phase == PHASE_IOWAIT;
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
	__u8 phase = task->word.phase & (PHASES - 1);

	if (task->since_ns < end) {
		bank->time_ns[phase] += end - task->since_ns;
		task->since_ns = end;
	}
	bank->waits_unfinished = phase_waits(phase);
	bank->bursts_unfinished = task->burst_since_ns != 0;
}

/* The rare part of book(): the task's first event in a window. */
verified_once int roll_task(struct task_state *task, const struct grid *grid, __u32 open, __u64 now)
{
	__u64 start, end;

	if (!task || !grid)	/* never, but the verifier takes a global function's pointers for nullable */
		return 0;
	start = window_start(grid, open);
	end = window_end(grid, open);
	if (task->word.phase == PHASE_UNKNOWN)
		task->since_ns = task->alive_since_ns = now;
	if (task->window < open) {	/* it slept through the edge; the flush has reported what was before */
		if (task->flushed < task->window) {
			task->word.flags |= TASK_HIDDEN;
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

/* One event's time, and the window that is open at it: read once, so that all it touches agree. */
struct moment {
	const struct grid *grid;
	__u64 now;
	__u64 edge;
	__u32 open;
};

static inlined struct moment moment_of(const struct grid *grid, __u64 now)
{
	struct moment at = { .grid = grid, .now = now, .open = *(volatile const __u32 *)&grid->window };

	at.edge = window_end(grid, at.open);
	return at;
}

/* Brings a task's books up to now and returns its open bank. */
static inlined struct bank *book(struct task_state *task, struct moment at)
{
	struct bank *bank;
	__s64 elapsed;

	if (unlikely(at.now >= at.edge || task->window != at.open || task->flushed == at.open))
		roll_task(task, at.grid, at.open, at.now);
	bank = &task->bank[task->window & 1];
	elapsed = at.now - task->since_ns;
	if (unlikely(elapsed < 0)) {
		machine_discard();
		return bank;
	}
	bank->time_ns[task->word.phase & (PHASES - 1)] += elapsed;
	task->since_ns = at.now;
	return bank;
}

/* sched_wakeup_new: the task may run for the first time. */
static inlined void task_arrives(struct task_state *task, struct moment at)
{
	write_begin(&task->word);
	book(task, at);
	task->word.phase = PHASE_WAKEUP_WAIT;
	task->arrival_ns = task->alive_since_ns = at.now;
	task->wait_since_ns = task->burst_since_ns = at.now;
	write_end(&task->word);
}

/* Whether a sched_wakeup says anything new: only a blocked task becomes runnable by it. */
static inlined int wakeup_matters(struct task_state *task)
{
	/* Not seeded yet: the changed sequence number makes the seeder look again. */
	if (unlikely(task->word.phase == PHASE_UNKNOWN)) {
		write_begin(&task->word);
		write_end(&task->word);
	}
	return phase_blocked(task->word.phase);
}

/* sched_wakeup that matters. */
static inlined void task_wakes(struct task_state *task, struct moment at)
{
	write_begin(&task->word);
	book(task, at)->wakeups++;
	task->word.phase = PHASE_WAKEUP_WAIT;
	task->wait_since_ns = task->burst_since_ns = at.now;
	write_end(&task->word);
}

/* Returns the wait where it was one after a preemption, else a negative number. */
static inlined __s64 end_wait(struct task_state *task, struct bank *bank, struct cpu_bank *cpu_bank, __u64 now)
{
	__s64 wait = now - task->wait_since_ns;
	__u32 kind = task->word.phase == PHASE_PREEMPT_WAIT;
	__u64 bucket;

	if (!task->wait_since_ns)	/* it began before tracing: left-censored, no sample */
		return NOT_PREEMPTED;
	if (unlikely(wait < 0)) {
		machine_discard();
		return NOT_PREEMPTED;
	}
	bucket = bucket_of(wait);
	count_sample(bank, bank->wait_histogram, 0, bucket >> TASK_BUCKET_SHIFT);
	if (unlikely((__u64)wait > bank->max_wait_ns))
		bank->max_wait_ns = wait;
	add_sample(&cpu_bank->samples[task->selected & 1][kind], bucket, wait);
	return kind ? wait : NOT_PREEMPTED;
}

/* sched_switch, the task that comes in. Returns as end_wait() does. */
static inlined __s64 task_takes_cpu(struct task_state *task, struct moment at, __u32 cpu,
					  struct cpu_bank *cpu_bank)
{
	__s64 wait = NOT_PREEMPTED;
	struct bank *bank;

	write_begin(&task->word);
	bank = book(task, at);
	if (likely(phase_waits(task->word.phase))) {
		wait = end_wait(task, bank, cpu_bank, at.now);
	} else if (unlikely(phase_blocked(task->word.phase))) {	/* nobody told of its wakeup */
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
	if (unlikely(!task->first_cpu_ns)) {
		task->first_cpu_ns = at.now;
		task->word.cpu = cpu;
	}
	if (unlikely(task->word.cpu != cpu)) {
		task->word.cpu = cpu;
		bank->migrations++;
	}
	task->word.phase = PHASE_RUNNING;
	write_end(&task->word);
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
	count_sample(bank, bank->burst_tat_histogram, TASK_BUCKETS, bucket >> TASK_BUCKET_SHIFT);
	add_sample(&cpu_bank->samples[task->selected & 1][SAMPLE_BURST_TAT], bucket, tat);
}

/* sched_switch, the task that goes out. runnable: preempted, or its state is running. */
static inlined void task_leaves_cpu(struct task_state *task, struct moment at, int runnable,
					  int iowait, struct cpu_bank *cpu_bank)
{
	struct bank *bank;

	write_begin(&task->word);
	bank = book(task, at);
	if (runnable) {
		bank->involuntary_switches++;
		task->word.phase = PHASE_PREEMPT_WAIT;
		task->wait_since_ns = at.now;
	} else {
		bank->voluntary_switches++;
		task->word.phase = iowait ? PHASE_IOWAIT : PHASE_BLOCKED;
		end_burst(task, bank, cpu_bank, at.now);
	}
	write_end(&task->word);
}

/* sched_process_exit: the life is complete. What the task still runs until its last switch is the CPU's tear-down. */
static inlined void task_completes(struct task_state *task, struct moment at,
					 struct cpu_bank *cpu_bank)
{
	struct bank *bank;

	write_begin(&task->word);
	bank = book(task, at);
	end_burst(task, bank, cpu_bank, at.now);
	task->completion_ns = at.now;
	task->word.flags |= TASK_COMPLETED;
	task->word.phase = PHASE_NOT_ALIVE;
	write_end(&task->word);
}

static inlined void open_cpu_bank(struct cpu_state *cpu, __u32 window)
{
	__u64 *bank = (__u64 *)&cpu->bank[window & 1];
	__u32 i;

	_Static_assert(sizeof(struct cpu_bank) % 128 == 0, "cleared in steps of 128 bytes");
	for (i = 0; i < sizeof(struct cpu_bank) / 8; i += 16) {
		__builtin_memset(&bank[i], 0, 128);
		asm volatile("" ::: "memory");	/* or clang makes the loop one memset, too large for BPF */
	}
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
			cpu->bank[open & 1].time_ns[cpu->word.phase & (CPU_PHASES - 1)] += end - cpu->since_ns;
			cpu->since_ns = end;
		}
		open_cpu_bank(cpu, open + 1);
	}
	return 0;
}

/* Brings a CPU's books up to now and returns its open bank. */
static inlined struct cpu_bank *book_cpu(struct cpu_state *cpu, struct moment at)
{
	struct cpu_bank *bank;
	__s64 elapsed;

	if (unlikely(at.now >= at.edge || cpu->window != at.open))
		roll_cpu(cpu, at.grid, at.open, at.now);
	bank = &cpu->bank[cpu->window & 1];
	elapsed = at.now - cpu->since_ns;
	if (elapsed > 0) {
		bank->time_ns[cpu->word.phase & (CPU_PHASES - 1)] += elapsed;
		cpu->since_ns = at.now;
	}
	return bank;
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

/* Adds one wait to an entry of its window, or begins the entry anew; whose it is, is in the sample. */
static inlined void count_preemption(struct preemption *entry, const struct preemption *sample)
{
	if (entry->window != sample->window) {
		*entry = *sample;
		return;
	}
	entry->count += sample->count;
	entry->wait_ns += sample->wait_ns;
	if (unlikely(sample->max_wait_ns > entry->max_wait_ns))
		entry->max_wait_ns = sample->max_wait_ns;
}

/* Any odd numbers will do; the four products do not wait for one another. */
static inlined __u64 pair_hash(const struct preemption *sample)
{
	const struct group *victim = &sample->victim, *preemptor = &sample->preemptor;
	__u64 mixed = victim->words[0] * 0x9E3779B97F4A7C15ULL + victim->words[1] * 0xC2B2AE3D27D4EB4FULL +
		      preemptor->words[0] * 0xD6E8FEB86659FD93ULL + preemptor->words[1] * 0xA0761D6478BD642FULL;

	return (mixed ^ mixed >> 32) * 0x9E3779B97F4A7C15ULL >> 40;
}

/*
 * The table is this CPU's, and so is the bank of samples that the same wait went into: one window has both, and the
 * collector reads both at the same moment.
 */
verified_once int add_preemption(struct preemptions *table, struct preemption *sample)
{
	struct preemption *entry;
	__u64 place;
	__u32 i;

	if (!table || !sample)
		return 0;
	place = pair_hash(sample);
	for (i = 0; i < PREEMPTION_PROBES; i++, place++) {
		entry = &table->pairs[sample->window & 1][place & (PREEMPTION_PAIRS - 1)];
		if (entry->window != sample->window || (same_group(&entry->victim, &sample->victim) &&
							same_group(&entry->preemptor, &sample->preemptor))) {
			count_preemption(entry, sample);
			return 0;
		}
	}
	sample->victim = sample->preemptor = group_of_kind(GROUP_OTHER);
	count_preemption(&table->folded[sample->window & 1], sample);
	return 0;
}

#endif
