/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The fields of a sched_entity and its cfs_rq that books are made of: names in; those of the running kernel out.
 */
#ifndef SCHEDTEL_EVENTS_BOOK_FIELDS_H
#define SCHEDTEL_EVENTS_BOOK_FIELDS_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct cfs_rq___book {
	unsigned int nr_queued;
	struct sched_entity *curr;
	struct sched_entity *next;
};

/* Before 6.14 (736c55a02c47, "sched/fair: Rename cfs_rq.nr_running into nr_queued"). */
struct cfs_rq___running {
	unsigned int nr_running;
};

struct sched_entity___book {
	struct load_weight load;
	__u64 deadline;			/* this one, slice and vlag since 6.6 (147f3efaa241, "sched/fair: Implement an */
	__u64 vruntime;			/* EEVDF-like scheduling policy") */
	__u64 slice;
	__s64 vlag;
	__u64 vprot;			/* since 6.17, at first in one place with vlag: valid while on_rq */
	unsigned int on_rq;
	unsigned char sched_delayed;
	struct sched_entity___book *parent;
	struct cfs_rq___book *cfs_rq;
};

struct task_struct___book {
	struct sched_entity___book se;
};

#pragma clang attribute pop

static inlined struct sched_entity___book *entity_of(struct task_struct *task)
{
	return &((struct task_struct___book *)task)->se;
}

static inlined __u32 queued_field(struct cfs_rq___book *queue)
{
	struct cfs_rq___running *older = (void *)queue;

	if (bpf_core_field_exists(queue->nr_queued))
		return queue->nr_queued;
	return older->nr_running;
}

/* vprot or vlag, as BOOK_VPROT says. */
static inlined __u64 lag_of(struct sched_entity___book *entity)
{
	if (bpf_core_field_exists(entity->vprot) && entity->on_rq)
		return entity->vprot;
	return entity->vlag;
}

static inlined __u8 flags_of(struct sched_entity___book *entity)
{
	__u8 flags = 0;

	if (entity->on_rq)
		flags |= BOOK_ON_RQ;
	if (bpf_core_field_exists(entity->sched_delayed) && entity->sched_delayed)
		flags |= BOOK_DELAYED;
	if ((void *)entity->cfs_rq->curr == (void *)entity)
		flags |= BOOK_CURRENT;
	if ((void *)entity->cfs_rq->next == (void *)entity)
		flags |= BOOK_BUDDY;
	if (bpf_core_field_exists(entity->vprot) && entity->on_rq)
		flags |= BOOK_VPROT;
	return flags;
}

#endif
