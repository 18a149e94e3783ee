// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The replay of a trace: its events in; the accounting of a live run with bcc out.
 *
 * It is a library for this machine, made of the programs of bcc.c, which it calls with each event. kernel.h makes up
 * for what bcc and the kernel give to them. Nothing of libc is included, so a compiler alone is enough.
 *
 * It adds what a trace lacks. The first event of a task that the trace did not see begin says what the task did before.
 * Where a kind of event was not recorded, another kind says it, as far as it can.
 */
typedef __UINT8_TYPE__ u8, __u8;
typedef __UINT16_TYPE__ u16, __u16;
typedef __UINT32_TYPE__ u32, __u32;
typedef __INT32_TYPE__ s32, __s32;
typedef unsigned long long u64, __u64;
typedef long long s64, __s64;

#include "../records.h"
#include "event.h"
#include "kernel.h"
#include "../bcc/bcc.c"

#define exported __attribute__((visibility("default")))

/* Set in the tgid of a task whose process is not known; no tid is that large. */
#define TGID_UNKNOWN 0x80000000
/* The CPU of a task that has not been seen on any. */
#define CPU_UNSEEN 0xffff
/*
 * A task that gets a CPU without a wakeup was waiting when the trace began, if that was at most so long ago. Later, its
 * wakeup is missing.
 */
#define LONGEST_OLD_WAIT_NS 100000000

/* The process of the current task: what the event says, else what an earlier one said. */
static u32 current_tgid(void)
{
	const struct event *event = machine->event;
	struct slot *slot = slot_at(index_of(event->current));

	if (event->tgid || event->current == KTHREADD)
		return event->tgid ? event->tgid : KTHREADD;
	return slot && slot->tgid ? slot->tgid : event->current | TGID_UNKNOWN;
}

/* ---- tasks that the trace did not see begin ---- */

static u64 open_window_start(void)
{
	return window_start(&machine->controls->grid, open_window(&machine->controls->grid));
}

/* Follows a task from the open window's start on, in the phase that it has had since before the trace. */
static void follow_in_phase(struct slot *slot, u8 phase)
{
	struct task_state *state = &slot->state;

	__builtin_memset(state->bank, 0, sizeof(state->bank));
	state->window = 0;
	state->since_ns = state->alive_since_ns = open_window_start();
	state->wait_since_ns = state->burst_since_ns = 0;
	state->seqcount.phase = phase;
	state->seqcount.cpu = CPU_UNSEEN;
}

static struct slot *begin_older(struct slot_cpu *cpu, u32 tid, s32 prio, const char *comm, u8 phase)
{
	struct slot *slot = slot_at(begin_late(cpu, tid, prio, machine->event->time_ns));

	if (!slot) {
		lose_task();
		return 0;
	}
	slot->tgid = tid == KTHREADD ? KTHREADD : tid | TGID_UNKNOWN;
	__builtin_memcpy(slot->comm, comm, COMM_LENGTH);
	follow_in_phase(slot, phase);
	return slot;
}

/*
 * The task that leaves a CPU. If it is the CPU's first event, and the task was never seen elsewhere, the task has run
 * there all the time. If another task was seen to come in, events are missing in between.
 */
static void ran_before(struct slot_cpu *cpu, const struct event *event)
{
	struct slot *slot = slot_at(index_of(event->tid));

	if (!event->tid)
		return;
	if (cpu->cpu.seqcount.phase != CPU_UNKNOWN) {
		if (!slot && begin_older(cpu, event->tid, event->prio, event->comm, PHASE_UNKNOWN))
			miss_event(JUST_NOW);
		return;
	}
	if (!slot)
		slot = begin_older(cpu, event->tid, event->prio, event->comm, PHASE_RUNNING);
	else if (slot->state.seqcount.cpu == CPU_UNSEEN && !completed(slot))
		follow_in_phase(slot, PHASE_RUNNING);	/* a wakeup made it known: running tasks are woken, too */
	else
		return;
	if (!slot)
		return;
	slot->state.seqcount.cpu = event->cpu;
	cpu->slot = slot - machine->slots;
	cpu->cpu.since_ns = open_window_start();
	cpu->cpu.seqcount.phase = CPU_BUSY;
}

/* What a task did before the trace, if its first event is a switch to it. */
static u8 phase_before(u64 now)
{
	if (!machine->wakeups_traced)
		return PHASE_UNKNOWN;
	if (open_window(&machine->controls->grid) == 1 && now - open_window_start() < LONGEST_OLD_WAIT_NS)
		return PHASE_PREEMPT_WAIT;
	return PHASE_BLOCKED;
}

static void waited_before(struct slot_cpu *cpu, const struct event *event)
{
	struct slot *slot = slot_at(index_of(event->other));

	if (!event->other)
		return;
	if (!slot)
		slot = begin_older(cpu, event->other, event->other_prio, event->other_comm,
				   phase_before(event->time_ns));
	if (slot && slot->state.seqcount.cpu == CPU_UNSEEN)
		slot->state.seqcount.cpu = event->cpu;	/* coming to the first CPU it is seen on is no migration */
}

/* ---- events ---- */

static void exits(struct slot_cpu *cpu, const struct event *event)
{
	struct tracepoint__sched__sched_process_exit args = { event->tid, event->prio };

	ran_before(cpu, event);
	on_exit(&args);
}

static s64 prev_state(const struct event *event, struct slot *slot)
{
	switch (event->state) {
	case LEFT_RUNNING:
		return 0;
	case LEFT_PREEMPTED:
		return RUNNABLE_STATES;
	case LEFT_DEAD:
		return DEAD_STATES;
	case LEFT_PARKED_OR_DEAD:
		return slot && completed(slot) ? DEAD_STATES : SLEEPING_STATE;
	default:
		return SLEEPING_STATE;
	}
}

static void switches(struct slot_cpu *cpu, const struct event *event)
{
	struct tracepoint__sched__sched_switch args = {
		event->tid, event->prio, 0, event->other, event->other_prio
	};
	struct slot *slot;

	ran_before(cpu, event);
	waited_before(cpu, event);
	slot = slot_at(index_of(event->tid));
	args.prev_state = prev_state(event, slot);
	/* In a trace without exits, a life ends with its last switch. */
	if (event->state == LEFT_DEAD && !machine->exits_seen && slot && !completed(slot))
		exits(cpu, event);
	on_switch(&args);
	slot = slot_at(index_of(event->tid));
	if (slot && slot->state.seqcount.cpu == CPU_UNSEEN)
		slot->state.seqcount.cpu = event->cpu;
}

static void wakes(struct slot_cpu *cpu, const struct event *event)
{
	struct tracepoint__sched__sched_wakeup args = { event->tid, event->prio };

	if (!index_of(event->tid))
		begin_older(cpu, event->tid, event->prio, event->comm, PHASE_BLOCKED);
	on_wakeup(&args);
}

/* Where the trace does not tell whether a task is a thread of its parent's process. A kernel thread is a process. */
static void forget_process(struct slot *slot)
{
	if (!slot->kernel_thread)
		slot->tgid = slot->tid | TGID_UNKNOWN;
}

static void arrives(const struct event *event)
{
	struct tracepoint__sched__sched_wakeup_new args = { event->tid, event->prio };
	struct slot *slot = slot_at(index_of(event->tid));
	int forked = slot && !completed(slot) && slot->state.seqcount.phase == PHASE_NOT_ALIVE;

	on_arrival(&args);
	slot = slot_at(index_of(event->tid));
	if (!slot)
		return;
	__builtin_memcpy(slot->comm, event->comm, COMM_LENGTH);
	if (!forked) {
		slot->state.fork_ns = 0;
		forget_process(slot);
	}
}

/* task_newtask comes first and tells of threads; sched_process_fork tells the child's name. Either may be missing. */
static void forks(const struct event *event, u64 clone_flags)
{
	struct tracepoint__task__task_newtask args = { event->other, clone_flags };
	struct slot *slot = slot_at(index_of(event->other));

	if (!slot || completed(slot) || slot->state.seqcount.phase != PHASE_NOT_ALIVE) {
		on_newtask(&args);
		slot = slot_at(index_of(event->other));
		if (slot && event->kind == FORK)
			forget_process(slot);
	}
	if (slot)
		__builtin_memcpy(slot->comm, event->other_comm, COMM_LENGTH);
}

static void execs(const struct event *event)
{
	struct tracepoint__sched__sched_process_exec args = { event->tid, event->other };

	on_exec(&args);
}

/* Tid 0 is the idle task, which is neither forked nor woken and does not end, whatever a trace may say. */
static int possible(const struct event *event)
{
	if (event->kind == FORK || event->kind == NEWTASK)
		return event->other != 0;
	return event->kind == SWITCH || event->kind == LOST || event->tid != 0;
}

static void apply(struct slot_cpu *cpu, const struct event *event, const struct grid *grid)
{
	struct slot *current;

	machine->event = event;
	if (event->tgid) {
		current = slot_at(index_of(event->current));
		if (current && !completed(current))
			current->tgid = event->tgid;
	}
	switch (event->kind) {
	case SWITCH:
		switches(cpu, event);
		break;
	case WAKEUP:
		wakes(cpu, event);
		break;
	case ARRIVAL:
		arrives(event);
		break;
	case FORK:
		forks(event, 0);
		break;
	case NEWTASK:
		forks(event, event->argument);
		break;
	case EXIT:
		machine->exits_seen = 1;
		exits(cpu, event);
		break;
	case EXEC:
		execs(event);
		break;
	case LOST:
		machine->controls->losses.events_missed[open_window(grid) & 1] += event->argument;
		break;
	}
}

/* One event takes at most so many slots. */
#define SLOTS_OF_AN_EVENT 2

/*
 * Applies events up to the open window's end, or until a CPU runs short of slots; with go_on, it goes on without slots.
 * Events on the edge belong to both windows: a life that ends there ends with the first, a switch counts in the second.
 * Returns how many events have been applied.
 */
exported u64 replay(struct replay *replayed, const struct event *events, u64 count, u32 go_on)
{
	const struct grid *grid = &replayed->controls->grid;
	u64 edge = window_end(grid, open_window(grid)), i;
	struct slot_cpu *cpu;

	machine = replayed;
	for (i = 0; i < count && events[i].time_ns <= edge; i++) {
		if (events[i].cpu >= replayed->cpu_count)
			continue;
		cpu = &replayed->cpus[events[i].cpu];
		if (!go_on && cpu->free_tail - cpu->free_head < SLOTS_OF_AN_EVENT)
			break;
		if (possible(&events[i]))
			apply(cpu, &events[i], grid);
	}
	return i;
}

exported u64 replay_size(void) { return sizeof(struct replay); }
exported u64 replay_event_size(void) { return sizeof(struct event); }
exported u64 replay_slot_size(void) { return sizeof(struct slot); }
exported u64 replay_cpu_size(void) { return sizeof(struct slot_cpu); }
