/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the bcc loader keeps beside records.h: a pool of slots, one a task, in a mapped array. schedtel/kernel/bcc/slots.py
 * declares the same layout for numpy; the loader has the compiler compare the two before anything is loaded.
 *
 * A slot is taken by a fork and given back by the collector. Nothing is ever cleared in the kernel: a slot on a free
 * list is all zeroes.
 */
#ifndef SCHEDTEL_SLOTS_H
#define SCHEDTEL_SLOTS_H

#include "machine.h"

enum slot_status {
	SLOT_GONE = 1,			/* a completed task has left its CPU for good: no event of it will come any more */
};

/* One task: its state, and who it is, as far as events can tell. The first cache line holds what every event needs. */
struct slot {
	__u32 tid;			/* 0: not in use */
	__u8 status;
	__u8 refreshed;			/* the window in which the identity was last read, modulo 256 */
	__u8 kernel_thread;
	__u8 anonymous;			/* older than its first event: the collector fills in what /proc knows */
	struct task_state state;
	__u64 start_boottime_ns;
	__u64 cgroup_id;
	__u32 tgid;
	__u32 uid;
	__s32 prio;			/* the scheduler's: 100 + 20 + nice, lower for real time */
	__u32 policy;
	char comm[COMM_LENGTH];
	__u8 in_cgroup;			/* of the filter */
	__u8 padding[15];
};

/* A tid's slot, if slot.tid agrees: entries are overwritten and never deleted. */
struct tid_entry {
	__u32 slot;			/* written by the programs */
	__u32 seeded;			/* written by the collector: valid while there is no other */
};

#define FREE_SLOTS 1024			/* a power of two: the most that one CPU can take before the collector looks again */

/* A CPU: its books, what came in last, and a queue of free slots that the collector fills and this CPU empties. */
struct slot_cpu {
	struct cpu_state cpu;
	__u32 slot;			/* of the task that the last switch brought in; 0: none */
	__u32 free_head;		/* written by the programs on this CPU */
	__u32 free_tail;		/* written by the collector */
	__u32 padding[29];
	__u32 free[FREE_SLOTS];
};

#endif
