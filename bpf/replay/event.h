/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between a replay and Python: the events of a trace, and the machine that they change.
 *
 * schedtel/traces/events.py declares struct event for numpy, and schedtel/traces/library.py struct replay for ctypes.
 * The sizes are compared when the library is loaded.
 */
#ifndef SCHEDTEL_REPLAY_EVENT_H
#define SCHEDTEL_REPLAY_EVENT_H

enum kind { SWITCH, WAKEUP, ARRIVAL, FORK, NEWTASK, EXIT, EXEC, LOST };

/* What the task that leaves its CPU was about to be, as the trace prints its state. */
enum leaving_state {
	LEFT_RUNNING,		/* R */
	LEFT_BLOCKED,
	LEFT_PREEMPTED,		/* R+ */
	LEFT_DEAD,		/* X, Z */
	LEFT_PARKED_OR_DEAD,	/* x: dead to kernels before 4.14; old tools print it for every parked task */
};

#define CURRENT_UNTOLD 0xffffffff

struct event {
	u64 time_ns;
	u32 tid;		/* the event's task: it leaves the CPU, is woken, forks, execs or exits */
	u32 other;		/* the task that comes in, the child, or the tid before the exec */
	s32 prio;
	s32 other_prio;
	u32 current;		/* the task on the CPU; CURRENT_UNTOLD: the trace does not say */
	u32 tgid;		/* the process of current; 0: the trace does not say */
	u32 argument;		/* NEWTASK: clone flags. LOST: how many events */
	u16 cpu;
	u8 kind;
	u8 state;
	char comm[COMM_LENGTH];
	char other_comm[COMM_LENGTH];
};

struct slot;
struct slot_cpu;
struct tid_entry;

/* A machine being replayed. The caller sets all fields but exits_seen and event. */
struct replay {
	struct control *controls;
	struct slot_cpu *cpus;
	struct slot *slots;
	struct tid_entry *tids;
	struct preemptions *preemptions;
	u32 cpu_count, slot_count, tid_count;
	u32 wakeups_traced;	/* a task whose first event is a switch-in was then woken unseen */
	u32 exits_seen;
	u32 padding;
	const struct event *event;
};

#endif
