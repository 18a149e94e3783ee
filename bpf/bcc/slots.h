/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the bcc backend keeps beside records.h: a pool of slots, one a task, in a mapped array.
 *
 * schedtel/kernel/bcc/slots.py declares the same layout for numpy; the backend has the compiler compare the two before
 * anything is loaded. A fork takes a slot and the collector gives it back. The kernel side never clears anything: a
 * slot on a free list is all zeros.
 */
#ifndef SCHEDTEL_BCC_SLOTS_H
#define SCHEDTEL_BCC_SLOTS_H

#include "../machine/machine.h"

enum slot_status {
	SLOT_GONE = 1,			/* completed, and left its CPU for good: no event of it will come any more */
};

/* One task: its state, and its identity as far as events tell it. The first cache line holds what every event needs. */
struct slot {
	__u32 tid;			/* 0: not in use */
	__u8 status;
	__u8 refreshed;			/* the window in which the identity was last read, modulo 256 */
	__u8 kernel_thread;
	__u8 anonymous;			/* older than its first event: the collector adds what /proc knows of it */
	struct task_state state;
	__u64 start_boottime_ns;
	__u64 cgroup_id;
	__u32 tgid;
	__u32 uid;
	__s32 prio;			/* the scheduler's: 100 + 20 + nice, lower for real time */
	__u32 policy;
	char comm[COMM_LENGTH];
	__u8 in_cgroup;			/* in a cgroup of the filter */
	__u8 padding[15];
};

/* Where a tid's slot is, if slot.tid agrees. Entries are overwritten and never deleted. */
struct tid_entry {
	__u32 slot;			/* written by the programs */
	__u32 seeded;			/* written by the collector: valid while the programs have taken none */
};

/* A power of two: the most slots that one CPU takes before the collector looks again. */
#define FREE_SLOTS 1024

/* A CPU: its state, the task that came in last, and a queue of free slots, filled by the collector. */
struct slot_cpu {
	struct cpu_state cpu;
	__u32 slot;			/* of the task that the last switch brought in; 0: none */
	__u32 free_head;		/* written by the programs on this CPU */
	__u32 free_tail;		/* written by the collector */
	__u32 padding[29];
	__u32 free[FREE_SLOTS];
};

#endif
