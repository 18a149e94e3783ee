/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the programs that record single events and user space, as records.h is that of the windows.
 * schedtel/records/event_layout.py declares the same for numpy.
 */
#ifndef SCHEDTEL_EVENTS_EVENT_RECORDS_H
#define SCHEDTEL_EVENTS_EVENT_RECORDS_H

/* What happened: the lowest bits of an event. Above them, 60 bits of nanoseconds last for 36 years of uptime. */
enum event_kind { EVENT_SWITCH = 1, EVENT_WAKEUP, EVENT_WAKEUP_NEW, EVENT_MIGRATE, EVENT_LOST };

#define EVENT_KIND_BITS 4

/*
 * The places of a body's fields, as shifts. A tid has 22 bits: Linux has no more than 4,194,304 (PID_MAX_LIMIT,
 * include/linux/threads.h). A priority is the kernel's own, modulo 256: from -1 (deadline) to 140 (idle).
 *   all kinds        the task (of a switch, the one that comes in), its priority
 *   switch           the task that leaves, the state it is left in, whether the filter selects the one that comes in,
 *                    whether it selects the one that leaves but has not selected it when it came in
 *   wakeup           the CPU on whose queue it is
 *   migrate          the CPU that it leaves, the CPU that it goes to
 *   lost             the whole body: how many events were lost since the event before this one
 */
#define BODY_PRIO 22
#define BODY_PREV 30
#define BODY_STATE 52
#define BODY_FOLLOWED 61
#define BODY_UNSEEN 62
#define BODY_CPU 30
#define BODY_TO_CPU 46

/*
 * The state of the task that leaves, in 9 bits: those of TASK_REPORT and TASK_IDLE (fs/proc/array.c), of which the
 * highest counts, or PREEMPTED.
 */
#define STATE_IDLE 0x80
#define STATE_PREEMPTED 0x100

struct event {
	__u64 time_kind;		/* CLOCK_MONOTONIC in nanoseconds << EVENT_KIND_BITS | kind */
	__u64 body;
};

/*
 * A CPU's part of the memory for events, used as a ring. The CPU writes the first cache line, with interrupts off, so
 * it has one writer. The collector writes the second one.
 */
struct event_ring {
	__u64 head;			/* events written so far */
	__u64 lost;			/* events lost since the last one that was written */
	__u64 fence;			/* see publish() */
	__u32 first;			/* the place of the ring's first event, and how many there is room for: a power */
	__u32 size;			/* of two; or 0 for a CPU without a ring. Set before the programs are attached */
	__u8 follows;			/* the task on this CPU was selected when it came in */
	__u8 reserved[31];
	__u64 tail;			/* events read so far */
	__u64 padding[7];
};

/* What a life event tells of a task. */
enum life_kind { LIFE_ALIVE = 1, LIFE_NEWTASK, LIFE_EXEC, LIFE_RENAME, LIFE_EXIT };

struct life_event {
	__u64 time_ns;			/* CLOCK_MONOTONIC */
	__u64 start_boottime_ns;
	__u32 tid;
	__u32 tgid;
	__u32 other;			/* NEWTASK: the tid of the task that forked; EXEC: the tid before it */
	__s32 exit_code;		/* EXIT: as wait(2) reports it */
	__s32 prio;
	__u8 kind;
	__u8 kernel_thread;
	__u16 cpu;			/* where it happened; of ALIVE, where the collector was */
	char comm[COMM_LENGTH];
};

struct event_totals {
	__u64 lives_lost;		/* life events that their ring had no room for */
};

#endif
