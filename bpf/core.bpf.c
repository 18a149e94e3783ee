// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The core loader's programs: CO-RE, tp_btf, task storage, a task iterator.
 *
 * What they do: the hot programs (switch, wakeup) look a task's state up and pass the event to the state machine in
 * machine.h. State is created at fork, and by the iterator for tasks older than tracing: in a home (homes.h), or in
 * task storage where that is taken. At a window's end the collector reads the iterator, which writes a row of every
 * task that was active into a page; a task that ends reports itself through the ring, while it can still be found.
 * Rows that a filter leaves out, and those of exits that the ring has no room for, are folded into `other`.
 *
 * When it works well: BTF, Linux 5.15 or later. When it cannot: no task storage for tracing programs (before 5.11).
 */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "records.h"

#define MAX_CPUS 4096
#define MAX_ANCESTRY 32

const volatile struct settings settings = {};

struct control control = {};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* set to the number of possible CPUs before load */
	__type(key, __u32);
	__type(value, struct cpu_state);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* likewise, unless it is off */
	__type(key, __u32);
	__type(value, struct preemptions);
} preemptions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} ring SEC(".maps");

/*
 * The flush has one writer, and a reader who waits for it. So its rows need nothing of the ring's: in place of two
 * atomics a row and lines that have been out of the cache for a whole turn, the same memory in every window.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* set to settings.page_rows before load */
	__type(key, __u32);
	__type(value, struct task_record);
} page SEC(".maps");

/*
 * Hooks of the state machine. x86 keeps stores in order, so there a compiler barrier is enough; elsewhere an atomic
 * with a result is the only full barrier that BPF has. Which it is, the kernel's types tell: a constant in the code.
 */
static __always_inline void machine_order(void)
{
	__u64 none = 0, seen;

	if (!bpf_core_type_exists(struct cpuinfo_x86)) {
		asm volatile("" : "+r"(none));	/* or clang, which knows that nothing changes, leaves the result out */
		seen = __sync_fetch_and_add(&control.fence, none);
		asm volatile("" : : "r"(seen));
	}
	barrier();
}

static __always_inline void machine_discard(void)
{
	__sync_fetch_and_add(&control.losses.samples_discarded, 1);
}

static __always_inline void machine_lost(void)
{
	__sync_fetch_and_add(&control.losses.state_failed, 1);
}

static __always_inline void machine_missed(void)
{
	__sync_fetch_and_add(&control.losses.events_missed, 1);
}

/* There is nothing to read at address 0, and where it cannot read, this helper leaves zeros. */
static __always_inline void machine_clear(void *memory, __u32 size)
{
	bpf_probe_read_kernel(memory, size, 0);
}

#include "machine.h"

#include "task_cache.h"

/* NULL for a task not seeded yet, one the iterator does not reach, and one that has completed. */
static inlined struct task_state *state_of(struct task_struct *task)
{
	struct task_state *state = any_state_of(task);

	return state && likely(!(state->seqcount.flags & (TASK_HIDDEN | TASK_COMPLETED))) ? state : 0;
}

static inlined struct cpu_state *this_cpu(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&cpus, &cpu);
}

/* __state, or state before 5.14: by what the running kernel's BTF has, since distributions backport. */
static inlined __u32 state_field(struct task_struct *task)
{
	struct task_struct___state *older = (void *)task;

	if (bpf_core_field_exists(task->__state))
		return task->__state;
	return older->state;
}

static inlined __u32 cpu_field(struct task_struct *task)
{
	struct task_struct___cpu *older = (void *)task;

	if (bpf_core_field_exists(task->thread_info.cpu))
		return task->thread_info.cpu;
	return older->cpu;
}

#include "queued.h"

/*
 * For reading fields, a pointer that the verifier trusts is as good as one that it does not, and dear: at each pointer
 * read through it, the verifier searches the kernel's whole BTF by name for lists of fields that keep the trust
 * (kernel/bpf/btf.c: btf_nested_type_is_trusted()), about a millisecond a time. The cast costs nothing at run time.
 */
#ifdef OPEN_CODED_ITERATORS
extern void *bpf_rdonly_cast(const void *pointer, __u32 btf_id) __ksym;

static inlined struct task_struct *readable(struct task_struct *task)
{
	return bpf_rdonly_cast(task, bpf_core_type_id_kernel(struct task_struct));
}
#else
static inlined struct task_struct *readable(struct task_struct *task)
{
	return task;
}
#endif

/* ---- filters: always of the task itself, never of the current one ---- */

static inlined bool in_cgroup(struct task_struct *task)
{
	struct cgroup *cgroup = task->cgroups->dfl_cgrp, *ancestor;
	struct cgroup___ids *older = (void *)cgroup;
	/* A copy: inside bpf_core_read(), struct settings itself would be looked for in the kernel's and all modules' BTF. */
	__u32 level = settings.cgroup_level;
	__u64 id = 0;

	if (cgroup->level < (int)level)
		return false;
	if (bpf_core_field_exists(cgroup->ancestors)) {
		bpf_core_read(&ancestor, sizeof(ancestor), &cgroup->ancestors[level]);
		id = BPF_CORE_READ(ancestor, kn, id);
	} else {
		bpf_core_read(&id, sizeof(id), &older->ancestor_ids[level]);
	}
	return id == settings.cgroup_id;
}

static inlined bool comm_matches(struct task_struct *task)
{
	__u64 comm[2];

	__builtin_memcpy(comm, task->comm, sizeof(comm));
	return (comm[0] & settings.comm_mask[0]) == settings.comm_value[0] &&
	       (comm[1] & settings.comm_mask[1]) == settings.comm_value[1];
}

static outlined int selects(struct task_struct *trusted, struct task_state *state)
{
	struct task_struct *task = readable(trusted);
	bool kernel_thread = task->flags & PF_KTHREAD;

	if (settings.kernel_threads == KERNEL_THREADS_EXCLUDE && kernel_thread)
		return 0;
	if (settings.kernel_threads == KERNEL_THREADS_ONLY && !kernel_thread)
		return 0;
	if (settings.by_process && !(state && state->in_process))
		return 0;
	if (settings.by_tid && (__u32)task->pid != settings.tid)
		return 0;
	if (settings.by_uid && task->cred->uid.val != settings.uid)
		return 0;
	if (settings.by_comm && !comm_matches(task))
		return 0;
	if (settings.by_cgroup && !in_cgroup(task))
		return 0;
	return 1;
}

/* Of a task alive at attach: is it, or does it descend from, the -p process? */
static inlined bool descends(struct task_struct *task)
{
	struct task_struct *ancestor = task;
	__u32 tgid;
	int depth;

	for (depth = 0; depth < MAX_ANCESTRY; depth++) {
		tgid = BPF_CORE_READ(ancestor, tgid);
		if (tgid == settings.tgid)
			return true;
		if (tgid <= 1)
			return false;
		ancestor = BPF_CORE_READ(ancestor, real_parent);
	}
	return false;
}

/* ---- reports ---- */

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

/* A task's life inside a window that ends at end. */
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

static inlined __u64 activity(const struct bank *bank)
{
	return bank->time_ns[PHASE_RUNNING] + bank->time_ns[PHASE_WAKEUP_WAIT] + bank->time_ns[PHASE_PREEMPT_WAIT];
}

/* Not inlined: its parameter is what puts struct task_record into the object's BTF, where the loader checks it. */
static outlined int describe(struct task_record *record, struct task_struct *trusted, struct task_state *state, __u64 edge)
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
	 * What came after the window is no news of it yet. A life that ends on the edge itself ends with the window: there
	 * is nothing of it in the next, so its first CPU, if that came at the same moment, is told now as well.
	 */
	record->completion_ns = state->completion_ns > edge ? 0 : state->completion_ns;
	came = state->first_cpu_ns < edge || record->completion_ns;
	record->first_cpu_ns = came && !state->left_censored ? state->first_cpu_ns : 0;
	record->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	record->uid = task->cred->uid.val;
	record->weight = task->se.load.weight >> 10;	/* scale_load_down(), kernel/sched/sched.h */
	/* While it lives there is none, and asking would fetch a cache line for nothing else. */
	record->exit_code = state->completion_ns ? task->exit_code : 0;
	record->policy = task->policy;
	record->nice = task->static_prio - PRIO_OF_NICE_0;
	record->kernel_thread = !!(task->flags & PF_KTHREAD);
	record->left_censored = state->left_censored;
	record->padding[0] = record->padding[1] = 0;
	__builtin_memcpy(record->comm, task->comm, COMM_LENGTH);
	return 0;
}

/* Exactly one reporter gets true for a task and window. */
static inlined bool claim(struct task_state *state, __u32 window)
{
	__u32 flushed = *(volatile __u32 *)&state->flushed;

	return flushed < window && __sync_val_compare_and_swap(&state->flushed, flushed, window) == flushed;
}

/*
 * Above the mark, the collector is woken by a few records at every sixteenth of it, and not by each: a wake-up costs ten
 * times as much as a record. A few, since those that reserve at the same time may all look past one place.
 */
static inlined __u64 wakeup_flag(void)
{
	__u64 waiting = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	__u64 beyond = waiting & (settings.wakeup_bytes / 16 - 1);

	return waiting >= settings.wakeup_bytes && beyond < 4 * sizeof(struct task_record) ? BPF_RB_FORCE_WAKEUP
											    : BPF_RB_NO_WAKEUP;
}

verified_once int fold(struct folded *into, const struct bank *bank, __u64 alive)
{
	if (!into || !bank)
		return 0;
	into->alive_ns += alive;
	into->tasks += alive > 0;
	fold_bank(&into->bank, bank);
	return 0;
}

/*
 * The current task has completed: nobody writes its state any more, and only the flush competes for the claim. Whoever
 * ends or leaves its CPU is the current task; to ask for it is what lets a global function describe it.
 */
verified_once int report_finished(struct task_state *state, struct folded *other, __u32 window)
{
	struct task_record *record;
	struct bank *bank;
	__u64 alive, edge;

	if (!state || !other || !claim(state, window))
		return 0;
	bank = &state->bank[window & 1];
	/* The window that is open may still be cut short, but not before what has happened already. */
	edge = window < state->window ? window_end(&control.grid, window) : ~0ULL;
	alive = alive_within(state, window_start(&control.grid, window), edge);
	state->total_cpu_ns += bank->time_ns[PHASE_RUNNING];
	/* To complete is a sign of life by itself: its time on the CPU may be 0 where the kernel withheld the switch to it. */
	if (!state->selected || !alive || activity(bank) + 1 < settings.min_activity_ns) {
		fold(other, bank, alive);
		return 0;
	}
	record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
	if (!record) {
		__sync_fetch_and_add(&control.losses.ring_dropped[window & 1], 1);
		fold(other, bank, alive);
		return 0;
	}
	describe(record, bpf_get_current_task_btf(), state, edge);
	record->window = window;
	record->alive_ns = alive;
	record->total_cpu_ns = state->total_cpu_ns;
	__builtin_memcpy(&record->bank, bank, sizeof(*bank));
	bpf_ringbuf_submit(record, wakeup_flag());
	return 0;
}

static inlined void report_life(struct task_state *state, struct cpu_state *cpu)
{
	__u32 window = state->window, open = open_window(&control.grid);

	/* Past the edge, and the flush has not come by yet: the window before is still owed. */
	if (window == open + 1)
		report_finished(state, &cpu->bank[(window - 1) & 1].other, window - 1);
	report_finished(state, &cpu->bank[window & 1].other, window);
}

/* ---- who preempted whom ---- */

/* At usual switches not by way of readable(): trusted pointers need no checks when the program runs. */
static inlined struct group group_of(struct task_struct *trusted, __u8 by, bool fast)
{
	struct task_struct *task = fast ? trusted : readable(trusted);
	struct group group = {};

	if (by == PREEMPTIONS_BY_COMM)
		__builtin_memcpy(&group, task->comm, sizeof(group));
	else
		group.words[0] = task->cgroups->dfl_cgrp->kn->id;
	return group;
}

/* Only of a task that has just lost its CPU while runnable: no other switch pays for this. */
static inlined void remember_preemptor(struct task_state *victim, struct task_struct *next, __u8 by, bool fast)
{
	victim->preemptor = likely(next->pid) ? group_of(next, by, fast) : group_of_kind(GROUP_IDLE);
}

static inlined void takes_cpu(struct task_struct *task, struct task_state *state, struct cpu_state *cpu,
			       struct moment at, struct cpu_bank *bank)
{
	__u32 number = bpf_get_smp_processor_id();
	__s64 wait = task_takes_cpu(state, at, number, bank);
	__u8 by = settings.preemptions;

	if (by && wait >= 0)
		tell_preemption(bpf_map_lookup_elem(&preemptions, &number),
				state->selected ? group_of(task, by, at.fast) : group_of_kind(GROUP_OTHER), &state->preemptor,
				wait, cpu->window);
}

/* ---- hot programs ---- */

static inlined struct task_struct *argument(__u64 *ctx, int number)
{
	return (struct task_struct *)*(volatile __u64 *)&ctx[number];
}

/*
 * The current task is on this CPU and no event brought it there: the kernel delivers none while it runs a task that it
 * protects from tracing, so the switch from that one to this was lost. The time of the switch is made up for as well as
 * it can be, and the window is marked inexact.
 */
verified_once int enter_unseen(struct task_state *state, struct cpu_state *cpu, __u64 since)
{
	__u64 start = window_start(&control.grid, open_window(&control.grid));
	struct cpu_bank *bank;
	struct moment at;

	if (!state || !cpu)
		return 0;
	machine_missed();
	if (since < start)
		since = start;
	if (since < state->since_ns)
		since = state->since_ns;
	if (since < cpu->since_ns)
		since = cpu->since_ns;
	at = moment_of(&control.grid, since);
	bank = account_cpu(cpu, at);
	cpu->seqcount.phase = CPU_BUSY;
	takes_cpu(bpf_get_current_task_btf(), state, cpu, at, bank);
	return 0;
}

/* What a CPU does with a task that is not followed. One that has completed may have left its home to another. */
static outlined int unfollowed_phase(struct task_struct *task)
{
	struct task_state *state = any_state_of(task);
	bool over = state ? state->seqcount.flags & TASK_COMPLETED : task->flags & PF_EXITING;

	return over ? CPU_TEARDOWN : CPU_UNTRACKED;
}

/* How long the task has been on its CPU, by the kernel's own books; up to a tick old while it still runs. */
static inlined __u64 slice_ns(struct task_struct *task)
{
	return task->se.sum_exec_runtime - task->se.prev_sum_exec_runtime;
}

/*
 * The state in which prev goes to sleep; 0 for one that is runnable. By the task's own field, and not by what the
 * tracepoint passes: up to 6.13, that is stale for a task that turned back on its way to sleep because of a signal
 * (8feb053d5319, "sched: Fix trace_sched_switch(.prev_state)"). A wakeup on another CPU may have been here before us, and
 * all it does to the field of a task that sleeps is to make it another sleeping state (TASK_WAKING).
 */
static inlined __u32 state_before(struct task_struct *prev, __u64 *ctx)
{
	__u64 preempted = ctx[0];

	return preempted ? 0 : state_field(prev);
}

/* It leaves for ever, and the event of its exit was withheld: it completes now, its tear-down included. */
verified_once int end_unseen(struct task_state *state, struct cpu_state *cpu, __u64 now)
{
	struct moment at = moment_of(&control.grid, now);

	if (!state || !cpu)
		return 0;
	machine_missed();
	task_completes(state, at, account_cpu(cpu, at));
	report_life(state, cpu);
	state->seqcount.flags |= TASK_GONE;
	return 0;
}

/* Of a task that is not followed, since it has completed or is hidden: maybe its last switch. */
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

static inlined void leaves_cpu(struct task_state *state, __u64 *ctx, __u32 asleep, struct moment at,
			       struct cpu_bank *bank)
{
	__u8 by = settings.preemptions;

	if (asleep) {
		task_blocks(state, at, BPF_CORE_READ_BITFIELD(argument(ctx, 1), in_iowait), bank);
	} else {
		task_is_preempted(state, at);
		if (by)
			remember_preemptor(state, argument(ctx, 2), by, at.fast);
	}
}

/* The task that leaves, whatever is out of the ordinary with it or with the window. now, books: of the moment. */
static outlined int leave_slow_path(__u64 *ctx, struct cpu_state *cpu, __u64 now, __u64 epoch)
{
	struct task_state *from = argument(ctx, 1)->pid ? state_of(argument(ctx, 1)) : 0;
	struct moment at = { .grid = &control.grid, .now = now, .epoch = epoch };
	__u32 asleep = state_before(argument(ctx, 1), ctx);
	struct cpu_bank *bank;

	if (unlikely(from && !phase_on_cpu(from->seqcount.phase)))
		enter_unseen(from, cpu, now - slice_ns(argument(ctx, 1)));
	bank = account_cpu(cpu, at);
	if (from && (asleep & TASK_DEAD))
		end_unseen(from, cpu, now);
	else if (from)
		leaves_cpu(from, ctx, asleep, at, bank);
	else if (argument(ctx, 1)->pid)
		leaves_unfollowed(argument(ctx, 1), now);
	return 0;
}

/* Likewise the task that comes in. */
static outlined int enter_slow_path(__u64 *ctx, struct cpu_state *cpu, __u64 now, __u64 epoch)
{
	struct moment at = { .grid = &control.grid, .now = now, .epoch = epoch };
	struct task_state *to = state_of(argument(ctx, 2));
	struct cpu_bank *bank = account_cpu(cpu, at);

	cpu->seqcount.phase = to ? CPU_BUSY : unfollowed_phase(argument(ctx, 2));
	if (to)
		takes_cpu(argument(ctx, 2), to, cpu, at, bank);
	return 0;
}

/*
 * What is usual stands here without a jump, and what is not comes after its end. Arguments are read where they are
 * needed: a register that is kept is one less for everything else. And one task after the other: what is looked up
 * before it is needed is verified once more for each place where the other may have been found.
 */
SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx)
{
	__u64 now = bpf_ktime_get_ns();
	struct cpu_state *cpu = this_cpu();
	struct task_state *from, *to = 0;
	struct cpu_bank *bank;
	struct moment at;
	__u32 asleep;

	if (!cpu)
		return 0;
	write_begin(&cpu->seqcount);
	at = moment_of(&control.grid, now);
	at.fast = 1;
	if (unlikely(!is_open(&cpu->window, at)))
		goto leave_slow;
	if (likely(argument(ctx, 1)->pid)) {
		from = cached_state_of(argument(ctx, 1));
		if (unlikely(!from || !can_leave_fast(from, at)))
			goto leave_uncommon;
		asleep = state_before(argument(ctx, 1), ctx);
		if (unlikely(asleep & TASK_DEAD))
			goto leave_slow;
		write_begin(&from->seqcount);
		if (unlikely(!is_open(&from->window, at)))
			goto leave_closed;
		leaves_cpu(from, ctx, asleep, at, &cpu->bank[cpu->window & 1]);
	}
enter:
	bank = &cpu->bank[cpu->window & 1];
	bank->switches++;
	if (likely(argument(ctx, 2)->pid)) {
		to = cached_state_of(argument(ctx, 2));
		if (unlikely(!to || !can_take_cpu_fast(to, at)))
			goto enter_slow;
		write_begin(&to->seqcount);
		if (unlikely(!is_open(&to->window, at)))
			goto enter_closed;
	}
	turn_cpu(cpu, bank, to ? CPU_BUSY : CPU_IDLE, now);
	if (likely(to))
		takes_cpu(argument(ctx, 2), to, cpu, at, bank);
end:
	write_end(&cpu->seqcount);
	return 0;
leave_uncommon:	/* most often for ever */
	if (unlikely(!from || !(from->seqcount.flags & TASK_COMPLETED)))
		goto leave_slow;
	if (state_field(argument(ctx, 1)) & TASK_DEAD)
		from->seqcount.flags |= TASK_GONE;
	goto enter;
leave_closed:
	write_end(&from->seqcount);
leave_slow:
	leave_slow_path(ctx, cpu, now, at.epoch);
	goto enter;
enter_closed:
	write_end(&to->seqcount);
enter_slow:
	enter_slow_path(ctx, cpu, now, at.epoch);
	goto end;
}

static outlined int wake_slow_path(struct task_struct *task)
{
	struct task_state *state = state_of(task);

	if (state && wakeup_matters(state))
		task_wakes(state, moment_of(&control.grid, bpf_ktime_get_ns()));
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	struct task_state *state = cached_state_of(task);
	struct moment at;

	if (unlikely(!state || !can_wake_fast(state)))
		goto wake_slow;
	at = moment_of(&control.grid, woken_at(task, state->since_ns));
	if (unlikely(at.now < state->since_ns))
		goto wake_slow;
	write_begin(&state->seqcount);
	if (unlikely(!is_open(&state->window, at)))
		goto wake_closed;
	at.fast = 1;
	task_wakes(state, at);
	return 0;
wake_closed:
	write_end(&state->seqcount);
wake_slow:
	wake_slow_path(task);
	return 0;
}

/* ---- births, new names, deaths ---- */

/*
 * Since 7.0, the kernel calls a tracepoint's programs with preemption as it finds it (include/linux/tracepoint.h: SRCU
 * guards them), and what it finds is on, at fork, exec and exit. A task that preempts there and forks or exits itself
 * has its own event withheld, since the program is counted as running on that CPU; and its switch would find the CPU's
 * books half written. The functions came with 6.10; without them the setting is 0, and the calls are dead code.
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

static inlined struct task_state *begin_life(struct task_struct *child)
{
	struct task_state *state = create_state(child), *parent;
	__u32 before = open_window(&control.grid) - 1;

	if (!state)
		return 0;
	write_begin(&state->seqcount);
	state->seqcount.phase = PHASE_NOT_ALIVE;
	state->first_tid = child->pid;
	state->fork_ns = child->start_time;	/* a microsecond ago: to ask for the time would cost more than that */
	if (state->flushed < before)
		state->flushed = before;	/* nothing is owed of what was before it */
	if (settings.by_process) {
		parent = state_of(bpf_get_current_task_btf());
		state->in_process = (__u32)child->tgid == settings.tgid || (parent && parent->in_process);
	}
	state->selected = selects(child, state);
	write_end(&state->seqcount);
	return state;
}

/*
 * task_newtask is fired where sched_process_fork is and for io_uring's and vhost's workers too, which
 * sched_process_fork leaves out (kernel/fork.c: create_io_thread() does not pass through kernel_clone()).
 */
SEC("tp_btf/task_newtask")
int BPF_PROG(on_newtask, struct task_struct *child)
{
	preemption_off();
	if (child->pid)
		begin_life(child);
	preemption_on();
	return 0;
}

/* Still the parent's doing, a moment later: where memory was short at the fork, it is asked for again. */
SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_arrival, struct task_struct *task)
{
	struct task_state *state = state_of(task);

	if (unlikely(!state))
		state = begin_life(task);
	if (likely(state))
		task_arrives(state, moment_of(&control.grid, bpf_ktime_get_ns()));
	else
		machine_lost();
	return 0;
}

/*
 * The name has changed; so have the user, where the program says so, and the tid, where a thread that was not the leader
 * took over its leader's. Loaded only where the filter asks for one of them.
 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	struct task_state *state;

	preemption_off();
	state = state_of(task);
	if (state)
		state->selected = selects(task, state);
	preemption_on();
	return 0;
}

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
		enter_unseen(state, cpu, now - slice_ns(task));
	at = moment_of(&control.grid, now);
	task_completes(state, at, account_cpu(cpu, at));
	cpu->seqcount.phase = CPU_TEARDOWN;
	report_life(state, cpu);
	write_end(&cpu->seqcount);
}

/*
 * The last record is written here and not at the last switch: between the two the task may be reaped, and the flush
 * would find it no more. Preemption is off, so no switch of this CPU can come in between.
 */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	preemption_off();
	end_life(task);
	preemption_on();
	return 0;
}

/* ---- one task, visited ---- */

/* Being born, so that its own events create its state, or dying, so that none is needed any more. */
static inlined bool comes_or_goes(struct task_struct *task)
{
	return (task->flags & PF_EXITING) || (state_field(task) & TASK_NEW);
}

/*
 * New state is that of a task older than tracing. What is known of its past is put down at once: its next event may
 * establish its phase before the iterator comes to do so.
 */
static inlined bool begin_late(struct task_struct *task, struct task_state *state)
{
	if (!state) {
		machine_lost();
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
	bool waking_up_later = bpf_core_field_exists(task->se.sched_delayed) && task->se.sched_delayed;

	if (task->flags & PF_EXITING)	/* its sched_process_exit is past, or about to come: its life is over */
		return PHASE_NOT_ALIVE;
	if (state_field(task) & TASK_NEW)
		return PHASE_NOT_ALIVE;
	if (task->on_cpu)
		return PHASE_RUNNING;
	if (task->on_rq && !waking_up_later)
		return PHASE_PREEMPT_WAIT;
	return BPF_CORE_READ_BITFIELD(task, in_iowait) ? PHASE_IOWAIT : PHASE_BLOCKED;
}

/*
 * Establishes the state of a task that no event has described yet. Anything that happens to the task meanwhile
 * changes its word, and the compare-and-swap fails: the next pass looks again. Only while seeding may the task be on
 * a CPU: later, what that CPU runs is booked as untracked already, until its next switch.
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
	/* The CPU has not switched since its word was read, so it still runs this task. */
	cpu_adopted = cpu_seen;
	cpu_adopted.phase = CPU_BUSY;
	if (cpu && adopted.phase == PHASE_RUNNING && !(cpu_seen.seq & 1))
		__sync_val_compare_and_swap(&cpu->seqcount.whole, cpu_seen.whole, cpu_adopted.whole);
}

/* Repeated until control.tasks_unknown stays 0: every task alive gets state, and no state is left unknown. */
static outlined int seed_task(struct task_struct *task)
{
	struct task_state *state = any_state_of(task);

	control.is_eevdf = bpf_core_field_exists(task->se.vlag);
	if (!state) {
		if (!comes_or_goes(task)) {
			control.tasks_unknown++;
			begin_late(task, create_state(task));
		}
		return 0;
	}
	adopt(task, state, true);
	if (state->seqcount.phase == PHASE_UNKNOWN)
		control.tasks_unknown++;
	return 0;
}

/* What the flush sees of a task at the window's edge. */
struct snapshot {
	union seqcount seqcount;
	__u64 tail_ns;		/* time of its phase up to the edge that the bank does not hold */
	__u64 alive_ns;		/* its life inside the window */
	__u32 window;
	bool moved;		/* there was an event in this window, so that the bank is its own */
	bool frozen;		/* the task has rolled: its bank is complete and nobody writes it */
};

verified_once int look(struct snapshot *snapshot, struct task_state *state, __u32 window, __u64 start, __u64 end)
{
	__u32 newest;
	__u64 since;

	if (!snapshot || !state)
		return 0;
	snapshot->seqcount.whole = *(volatile __u64 *)&state->seqcount.whole;
	machine_order();
	newest = *(volatile __u32 *)&state->window;
	since = state->since_ns < start ? start : state->since_ns;
	snapshot->window = window;
	snapshot->moved = newest >= window;
	snapshot->frozen = newest > window;
	snapshot->tail_ns = !snapshot->frozen && since < end ? end - since : 0;
	snapshot->alive_ns = alive_within(state, start, end);
	return 0;
}

static inlined bool sleeps(__u8 phase)
{
	return phase == PHASE_BLOCKED || phase == PHASE_IOWAIT || phase == PHASE_NOT_ALIVE;
}

/* A task that slept through the whole window has no row, unless asked for: its time goes to `other`. */
static inlined void fold_sleeper(__u8 phase, __u64 tail, __u64 alive)
{
	control.other.bank.time_ns[phase & (PHASES - 1)] += tail;
	if (alive) {
		control.other.tasks++;
		control.other.alive_ns += alive;
	}
}

/* True when the task may have changed since its word was read. */
static inlined bool changed(struct task_state *state, union seqcount seen)
{
	return (seen.seq & 1) || *(volatile __u64 *)&state->seqcount.whole != seen.whole;
}

/* The page's next free row. It is taken once control.rows counts it; NULL where the page is full. */
static inlined struct task_record *free_row(void)
{
	__u32 index = control.rows;

	return bpf_map_lookup_elem(&page, &index);
}

/* What became of a task's row: it may be changing still; its exit was faster; summed into `other`; to be told. */
enum { BUSY, NOT_OURS, FOLDED, TOLD };

verified_once int fill_row(struct task_record *record, struct task_state *state, const struct snapshot *snapshot)
{
	__u8 phase;

	if (!record || !state || !snapshot)
		return NOT_OURS;
	phase = snapshot->seqcount.phase & (PHASES - 1);
	record->window = snapshot->window;
	record->alive_ns = snapshot->alive_ns;
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
		return BUSY;
	if (!claim(state, snapshot->window))
		return NOT_OURS;
	state->total_cpu_ns = record->total_cpu_ns;
	if (state->selected && snapshot->alive_ns && activity(&record->bank) >= settings.min_activity_ns)
		return TOLD;
	fold(&control.other, &record->bank, snapshot->alive_ns);
	return FOLDED;
}

/*
 * Reports the open window of one task; its end has passed. Not 0: the page is full, the collector should take
 * its rows first. That is no loss: unclaimed tasks come up again.
 */
static outlined int flush_task(struct task_struct *task)
{
	__u32 window = open_window(&control.grid);
	__u64 start = window_start(&control.grid, window), end = window_end(&control.grid, window);
	struct task_record *record;
	struct snapshot snapshot = {};
	struct task_state *state;
	int reported;

	state = any_state_of(task);
	/*
	 * Its allocation failed at fork: it is followed from the next pass on, as one that was always there. Not in the cache,
	 * where at this moment an event of its own may have it move in: then that is what is found.
	 */
	if (unlikely(!state)) {
		if (!comes_or_goes(task))
			control.tasks_busy += begin_late(task, create_storage(task));
		return 0;
	}
	if (unlikely(state->seqcount.flags & TASK_HIDDEN)) {
		state->left_censored = 1;
		state->window = 0;	/* what the bank holds is of the time that nobody has been told of */
		state->seqcount.whole = 0;
	}
	if (unlikely(state->seqcount.phase == PHASE_UNKNOWN)) {
		adopt(task, state, false);
		return 0;
	}
	if (state->seqcount.flags & TASK_COMPLETED) {
		if (unlikely(!comes_or_goes(task))) {	/* another task's, at the same address: the birth of this was withheld */
			clear_state(state);
			control.tasks_busy += begin_late(task, state);
		}
		return 0;
	}
	if (state->flushed >= window)
		return 0;

	look(&snapshot, state, window, start, end);
	if (!snapshot.moved && settings.min_activity_ns && sleeps(snapshot.seqcount.phase)) {
		machine_order();
		if (changed(state, snapshot.seqcount))
			goto busy;
		if (claim(state, window))
			fold_sleeper(snapshot.seqcount.phase, snapshot.tail_ns, snapshot.alive_ns);
		state->selected = selects(task, state);
		return 0;
	}

	record = free_row();
	if (!record)
		goto full;
	describe(record, task, state, end);
	reported = fill_row(record, state, &snapshot);
	if (reported == BUSY)
		goto busy;
	if (reported == NOT_OURS)
		return 0;
	control.rows += reported == TOLD;
	state->selected = selects(task, state);
	return control.rows >= settings.page_rows;
busy:
	control.tasks_busy++;
	return 0;
full:
	control.tasks_busy++;
	return 1;
}

/* ---- visiting all tasks ---- */

#ifndef OPEN_CODED_ITERATORS

SEC("iter/task")
int seed(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		seed_task(task);
	return 0;
}

/* Writing a byte hands control back to the collector, who reads on after taking the rows. */
SEC("iter/task")
int flush(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u8 byte = 0;

	if (task && flush_task(task))
		bpf_seq_write(ctx->meta->seq, &byte, 1);
	return 0;
}

#else

extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task, unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

/* The idle task of the first CPU is where the kernel's list of tasks begins, and no task of ours. */
#define for_each_task(task, iterator) \
	bpf_iter_task_new(iterator, 0, BPF_TASK_ITER_ALL_THREADS); \
	while ((task = bpf_iter_task_next(iterator))) \
		if (task->pid)

SEC("syscall")
int seed(void *ctx)
{
	struct bpf_iter_task iterator;
	struct task_struct *task;

	bpf_rcu_read_lock();
	for_each_task(task, &iterator)
		seed_task(task);
	bpf_iter_task_destroy(&iterator);
	bpf_rcu_read_unlock();
	return 0;
}

/* Not 0: not over; the collector takes the rows and runs it again, which passes over what has been claimed. */
SEC("syscall")
int flush(void *ctx)
{
	struct bpf_iter_task iterator;
	struct task_struct *task;
	int full = 0;

	bpf_rcu_read_lock();
	for_each_task(task, &iterator) {
		full = flush_task(task);
		if (full)
			break;
	}
	bpf_iter_task_destroy(&iterator);
	bpf_rcu_read_unlock();
	return full;
}

#endif

/* The kernel lends tracing helpers to GPL-compatible programs only. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
