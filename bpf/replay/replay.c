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
typedef __INT8_TYPE__ __s8;
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
#define PRIO_OF_NICE_0 120	/* DEFAULT_PRIO, include/linux/sched/prio.h */
/* The CPU of a task that has not been seen on any. */
#define CPU_UNSEEN 0xffff
/*
 * The task that the event names, else the one that came to this CPU last; 0: neither is known. A switch names the task
 * that leaves.
 */
static u32 current_tid(void)
{
	struct slot *slot = slot_at(machine->cpus[machine->event->cpu].slot);

	if (machine->event->kind == SWITCH)
		return machine->event->tid;
	if (machine->event->current != CURRENT_UNTOLD)
		return machine->event->current;
	return slot ? slot->tid : 0;
}

/* The process of the current task: what the event says, else what an earlier one said. */
static u32 current_tgid(void)
{
	u32 tgid = machine->event->tgid, tid = current_tid();
	struct slot *slot = slot_at(index_of(tid));

	if (tgid || tid == KTHREADD)
		return tgid ? tgid : KTHREADD;
	return slot && slot->tgid ? slot->tgid : tid | TGID_UNKNOWN;
}

/* ---- tasks that the trace did not see begin ---- */

/*
 * A task or a CPU is followed from the first event that tells of it. What was before is not made up, or it would depend
 * on where windows begin: the task has no row, and the CPU's time is unknown.
 */
static void follow_in_phase(struct slot *slot, u8 phase)
{
	struct task_state *state = &slot->state;

	__builtin_memset(state->bank, 0, sizeof(state->bank));
	state->window = 0;
	state->since_ns = state->alive_since_ns = machine->event->time_ns;
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

/* Puts a CPU into a phase from now on. Its time up to now stays unknown. */
static void begin_cpu_phase(struct slot_cpu *cpu, u8 phase)
{
	account_cpu(&cpu->cpu, moment_of(&machine->controls->grid, machine->event->time_ns));
	cpu->cpu.seqcount.phase = phase;
}

/*
 * A task comes to a CPU, leaves one or begins, although by its last event it is running on another CPU. The event by
 * which it left that CPU is missing, and what that CPU has done since is unknown.
 */
static void left_unseen(u32 tid, u32 here)
{
	u32 index = index_of(tid);
	struct slot *slot = slot_at(index);
	struct slot_cpu *cpu;

	if (!slot || slot->state.seqcount.phase != PHASE_RUNNING || slot->state.seqcount.cpu == here ||
	    slot->state.seqcount.cpu >= CPUS)
		return;
	cpu = &machine->cpus[slot->state.seqcount.cpu];
	if (cpu->slot != index)
		return;
	miss_event(JUST_NOW);
	cpu->slot = 0;
	begin_cpu_phase(cpu, CPU_UNTRACKED);
}

/*
 * The first event on a CPU tells which task is on it. A task that was seen elsewhere is left as it is: the event that
 * brought it here is missing. A task that was only seen to be woken was running then, since wakeups of running tasks are
 * traced, too; if its wait has been reported, that window was wrong.
 */
static void is_on_cpu(struct slot_cpu *cpu, u32 tid, s32 prio, const char *comm)
{
	struct slot *slot = slot_at(index_of(tid));

	if (!tid) {
		begin_cpu_phase(cpu, CPU_IDLE);
		return;
	}
	if (!slot) {
		slot = begin_older(cpu, tid, prio, comm, PHASE_RUNNING);
	} else if (slot->state.seqcount.cpu == CPU_UNSEEN && !completed(slot)) {
		if (slot->state.flushed)
			miss_event(JUST_NOW);
		follow_in_phase(slot, PHASE_RUNNING);
	} else {
		return;
	}
	if (!slot)
		return;
	slot->state.seqcount.cpu = machine->event->cpu;
	cpu->slot = slot - machine->slots;
	begin_cpu_phase(cpu, CPU_BUSY);
}

/* A task leaves a CPU that another task was on, and has had no event itself: the switch between them is missing. */
static void leaves_unannounced(struct slot_cpu *cpu, const struct event *event)
{
	if (event->tid && !index_of(event->tid) &&
	    begin_older(cpu, event->tid, event->prio, event->comm, PHASE_UNKNOWN))
		miss_event(JUST_NOW);
}

static void ran_before(struct slot_cpu *cpu, const struct event *event)
{
	if (cpu->cpu.seqcount.phase == CPU_UNKNOWN)
		is_on_cpu(cpu, event->tid, event->prio, event->comm);
	else
		leaves_unannounced(cpu, event);
}

/*
 * Events of the other kinds name the task on the CPU in their line's header, which has no priority. Where other_comm is
 * the header's name, that task is followed from now on. A fork has the child's name there: the CPU stays unknown until
 * its next event.
 */
static void header_before(struct slot_cpu *cpu, const struct event *event)
{
	if (cpu->cpu.seqcount.phase != CPU_UNKNOWN || event->current == CURRENT_UNTOLD)
		return;
	if (!event->current || event->kind == WAKEUP || event->kind == ARRIVAL)
		is_on_cpu(cpu, event->current, PRIO_OF_NICE_0, event->other_comm);
}

static void waited_before(struct slot_cpu *cpu, const struct event *event)
{
	struct slot *slot = slot_at(index_of(event->other));

	if (!event->other)
		return;
	if (!slot)
		slot = begin_older(cpu, event->other, event->other_prio, event->other_comm,
				   machine->wakeups_traced ? PHASE_BLOCKED : PHASE_UNKNOWN);
	if (slot && slot->state.seqcount.cpu == CPU_UNSEEN)
		slot->state.seqcount.cpu = event->cpu;	/* coming to the first CPU it is seen on is no migration */
}

/* ---- events ---- */

static void exits(struct slot_cpu *cpu, const struct event *event)
{
	struct tracepoint__sched__sched_process_exit args = { event->tid, event->prio };

	left_unseen(event->tid, event->cpu);
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

	left_unseen(event->tid, event->cpu);
	left_unseen(event->other, event->cpu);
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

/*
 * The kernel wakes no task that is runnable by its state (ttwu_state_match(), kernel/sched/core.c), and a wakeup makes it
 * so: between two wakeups the task has run and gone to sleep, and no event has told it.
 */
static void wakes_again(struct slot *slot)
{
	miss_event(JUST_NOW);
	task_wakes(&slot->state, moment_of(&machine->controls->grid, machine->event->time_ns));
}

static void wakes(struct slot_cpu *cpu, const struct event *event)
{
	struct tracepoint__sched__sched_wakeup args = { event->tid, event->prio };
	struct slot *slot = slot_at(index_of(event->tid));

	if (!slot)
		begin_older(cpu, event->tid, event->prio, event->comm, PHASE_BLOCKED);
	else if (!completed(slot) && slot->state.seqcount.phase == PHASE_WAKEUP_WAIT)
		wakes_again(slot);
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
	if (event->kind != SWITCH && event->kind != EXIT && event->kind != LOST)
		header_before(cpu, event);
	if (event->tgid && event->current != CURRENT_UNTOLD) {
		current = slot_at(index_of(event->current));
		if (current && !completed(current))
			current->tgid = event->tgid;
	}
	if (event->kind == FORK || event->kind == NEWTASK)
		left_unseen(event->other, CPU_UNSEEN);
	switch (event->kind) {
	case SWITCH:
		switches(cpu, event);
		break;
	case WAKEUP:
		wakes(cpu, event);
		break;
	case ARRIVAL:
		left_unseen(event->tid, CPU_UNSEEN);
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
