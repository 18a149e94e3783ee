/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The events of a task: one event in; the task's state and open bank, and samples in its CPU's open bank, changed.
 *
 * An event has a fast path where nothing rare can happen. The caller asks can_*_fast() and write_begin_if_open() first
 * and sets moment.fast; the same functions then ask nothing again, so straight code follows the questions.
 */
#ifndef SCHEDTEL_MACHINE_TASK_H
#define SCHEDTEL_MACHINE_TASK_H

#define NOT_PREEMPTED (-1)

/* ---- the questions of the fast path ---- */

typedef __u16 __attribute__((may_alias)) two_u8;

/* Whether a task is followed, and in this phase or in one that differs from it in the bits of `either` alone. */
static inlined int is_followed_in(const struct task_state *task, __u16 phase, __u16 either)
{
	_Static_assert(__builtin_offsetof(union seqcount, flags) == __builtin_offsetof(union seqcount, phase) + 1,
		       "read as one");
	return (*(const volatile two_u8 *)&task->seqcount.phase & ~either) == phase;
}

/* Whether nothing rare can happen to a task that leaves its CPU, apart from a bank that is not open. */
static inlined int can_leave_fast(const struct task_state *task, struct moment at)
{
	return likely(is_followed_in(task, PHASE_RUNNING, 0)) && likely(at.now >= task->since_ns);
}

/* Likewise to a task that takes a CPU. */
static inlined int can_take_cpu_fast(const struct task_state *task, struct moment at)
{
	return likely(is_followed_in(task, PHASE_WAKEUP_WAIT, 1)) && likely(at.now >= task->since_ns) &&
	       likely(task->wait_since_ns);
}

/* Likewise to a task that wakes. */
static inlined int can_wake_fast(const struct task_state *task)
{
	return is_followed_in(task, PHASE_BLOCKED, 1);
}

/*
 * Opens the write section of a task's event, unless its bank is not open at this moment. The bank is asked about behind
 * write_begin(): a writer that asked before it and was then held up would write to a bank that a flush has read since.
 */
static inlined int write_begin_if_open(struct task_state *task, struct moment at)
{
	write_begin(&task->seqcount);
	if (likely(is_open(&task->window, at)))
		return 1;
	write_end(&task->seqcount);
	return 0;
}

/* ---- the samples that an event completes ---- */

/* Returns the wait if it followed a preemption, else a negative number. */
static inlined __s64 end_wait(struct task_state *task, struct bank *bank, struct cpu_bank *cpu_bank, struct moment at,
			      waiter who)
{
	__s64 wait = at.now - task->wait_since_ns, kind = wait_kind(task->seqcount.phase), beyond;
	struct samples *samples;
	__u64 bucket;

	if (!at.fast && !task->wait_since_ns)	/* it began before tracing: left-censored, no sample */
		return NOT_PREEMPTED;
	if (!at.fast && unlikely(wait < 0)) {
		discard_sample();
		return NOT_PREEMPTED;
	}
	bucket = bucket_of(wait);
	if (unlikely((__u64)wait > bank->max_wait_ns))
		bank->max_wait_ns = wait;
	samples = &cpu_bank->samples[task->selected & 1][kind];
	beyond = wait - samples->kept_ns;	/* now, since it takes one register and samples another one */
	add_sample(samples, bucket, wait);
	count_sample(bank, bank->wait_histogram, 0, bucket >> TASK_BUCKET_SHIFT);
	if (unlikely(beyond > 0))
		keep_wait(task, cpu_bank, wait, who);
	_Static_assert(NOT_PREEMPTED == -1, "all bits");
	return wait | (kind - 1);
}

static inlined void end_burst(struct task_state *task, struct bank *bank, struct cpu_bank *cpu_bank, __u64 now)
{
	__s64 tat = now - task->burst_since_ns;
	struct samples *samples;
	__u64 bucket;

	if (!task->burst_since_ns)
		return;
	task->burst_since_ns = 0;
	if (unlikely(tat < 0)) {
		discard_sample();
		return;
	}
	bucket = bucket_of(tat);
	bank->bursts++;
	bank->burst_tat_sum_ns += tat;
	samples = &cpu_bank->samples[task->selected & 1][SAMPLE_BURST_TAT];
	add_sample(samples, bucket, tat);
	if (unlikely((__u64)tat > samples->max_ns))
		samples->max_ns = tat;
	count_sample(bank, bank->burst_tat_histogram, TASK_BUCKETS, bucket >> TASK_BUCKET_SHIFT);
}

/* ---- the events ---- */

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

/* Whether a sched_wakeup changes anything: only a blocked task becomes runnable by it. */
static inlined int wakeup_matters(struct task_state *task)
{
	/* Not seeded yet: the changed seqcount has the seeding read the task again. */
	if (unlikely(task->seqcount.phase == PHASE_UNKNOWN)) {
		write_begin(&task->seqcount);
		write_end(&task->seqcount);
	}
	return phase_blocked(task->seqcount.phase);
}

/* A sched_wakeup that matters. */
static inlined void task_wakes(struct task_state *task, struct moment at)
{
	if (!at.fast)
		write_begin(&task->seqcount);
	account(task, at)->wakeups++;
	task->seqcount.phase = PHASE_WAKEUP_WAIT;
	task->wait_since_ns = task->burst_since_ns = at.now;
	write_end(&task->seqcount);
}

/* sched_switch, the task that comes in; who: see keep_wait(). Returns what end_wait() does. */
static inlined __s64 task_takes_cpu(struct task_state *task, struct moment at, __u32 cpu, struct cpu_bank *cpu_bank,
				    waiter who)
{
	__u64 latest = task->since_ns;
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
		wait = end_wait(task, bank, cpu_bank, at, who);
	} else if (unlikely(phase_blocked(task->seqcount.phase))) {	/* its wakeup was not delivered */
		miss_event(latest);
		bank->wakeups++;
		task->burst_since_ns = at.now;
	} else if (unlikely(!task->alive_since_ns)) {	/* nor was its arrival: as if it were older than tracing */
		miss_event(latest);
		task->left_censored = 1;
		task->alive_since_ns = at.now;
		task->arrival_ns = task->fork_ns ? task->fork_ns : at.now;
		task->first_cpu_ns = FIRST_CPU_BEFORE_TRACING;
	}
	task->seqcount.phase = PHASE_RUNNING;
	write_end(&task->seqcount);
	return wait;
}

/* sched_switch, the task that goes out, if it is runnable: it was preempted, or its state is running. */
static inlined void task_is_preempted(struct task_state *task, struct moment at)
{
	if (!at.fast)
		write_begin(&task->seqcount);
	account(task, at)->involuntary_switches++;
	task->seqcount.phase = PHASE_PREEMPT_WAIT;
	task->wait_since_ns = at.now;
	write_end(&task->seqcount);
}

/* sched_switch, the task that goes out, if it sleeps. iowait: 0 or 1. */
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
static inlined void task_completes(struct task_state *task, struct moment at, struct cpu_bank *cpu_bank)
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

#endif
