/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract of the scheduler's books, beside event_records.h. schedtel/records/book_layout.py declares the same for
 * numpy.
 */
#ifndef SCHEDTEL_EVENTS_BOOK_RECORDS_H
#define SCHEDTEL_EVENTS_BOOK_RECORDS_H

/*
 * Why an entity is told: it is of the task that leaves at a switch, that comes in, that was woken, that migrates; or of
 * one that is on the CPU's queue, and no event has told how it came there. Or records were lost: `entity` says how many.
 */
enum book_role { BOOK_LEAVES = 1, BOOK_COMES, BOOK_WAKES, BOOK_MIGRATES, BOOK_QUEUED, BOOK_LOST };

enum book_flag {
	BOOK_ON_RQ = 1,
	BOOK_DELAYED = 2,		/* it sleeps, and stays on the queue until its lag is spent */
	BOOK_CURRENT = 4,		/* it is the one that its queue runs */
	BOOK_VPROT = 8,			/* `lag` is vprot, as it is on a queue; else it is vlag */
	BOOK_BUDDY = 16,		/* its queue chooses it next, out of turn, if it is eligible */
};

/* What the scheduler keeps of an entity, a task or a group of tasks, and of the queue that it is on (struct cfs_rq). */
struct book {
	__u64 time_role;		/* the time of its event << EVENT_KIND_BITS | enum book_role */
	__u64 entity;			/* addresses: they name an entity and a queue, and nothing else */
	__u64 parent;			/* the entity of its group, 0 at the top */
	__u64 queue;
	__u64 vruntime;
	__u64 deadline;
	__u64 lag;
	__u64 slice;
	__u64 weight;
	__u32 tid;			/* the task that it is told for */
	__u16 queued;			/* entities on its queue, 65535 for more */
	__u8 level;			/* 0: the task itself, 1: its group, and so on */
	__u8 flags;
};

#endif
