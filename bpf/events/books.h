/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The scheduler's own books at an event: a task in; a record for it and for each group that it is in out, in a ring of
 * the CPU beside that of the events.
 *
 * A task that the load balancer moves is put on its new queue after its migration has been told, and no event follows.
 * So a CPU has a list of the tasks that were sent to it, and tells of them at its next switch. The list also has those
 * that wait before the first switch that is seen, and one that has left the CPU unseen and may still wait.
 */
#ifndef SCHEDTEL_EVENTS_BOOKS_H
#define SCHEDTEL_EVENTS_BOOKS_H

/* Groups may lie in each other; of those deeper than this, the upper ones are not told. */
#define BOOK_LEVELS 16
/* include/linux/sched/prio.h */
#define MAX_RT_PRIO 100
/* kernel/sched/sched.h: what task_struct::on_rq says. */
#define TASK_ON_RQ_QUEUED 1
#define TASK_ON_RQ_MIGRATING 2

extern void *bpf_rdonly_cast(const void *address, __u32 type) __ksym;

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* set to the number of possible CPUs before load */
	__type(key, __u32);
	__type(value, struct event_ring);
} book_rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* set to the size of all rings before load */
	__type(key, __u32);
	__type(value, struct book);
} books SEC(".maps");

/* ---- what a CPU keeps in mind ---- */

#define UNTOLD 256
#define UNTOLD_AT_ONCE 32

/* The list of a CPU's tasks that no event has told of. Any CPU may add to it; the rest is the CPU's own. */
struct untold {
	struct {
		__u64 task;		/* its address, which may be out of date: it is asked for its tid */
		__u64 turn;		/* from 1; written last */
		__u32 tid;
		__u32 padding;
	} tasks[UNTOLD];
	__u64 added;
	__u64 told;
	__u64 came;			/* the task that came to the CPU last, and its tid */
	__u32 came_tid;
	__u32 padding;
	__u64 address;			/* see number_of() */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);		/* set to the number of possible CPUs before load */
	__type(key, __u32);
	__type(value, struct untold);
} untold SEC(".maps");

static inlined struct untold *this_list(void)
{
	return own_in(&untold);
}

/* A pointer as a number, which is what the verifier takes the memory of a map for. */
static inlined __u64 number_of(struct untold *list, void *pointer)
{
	*(volatile __u64 *)&list->address = (__u64)pointer;
	return *(volatile __u64 *)&list->address;
}

/* ---- a ring of books ---- */

static inlined struct event_ring *this_book_ring(void)
{
	return own_in(&book_rings);
}

static inlined struct book *next_book(struct event_ring *ring)
{
	return next_in(ring, &books);
}

static inlined void tell_lost_books(struct event_ring *ring, __u64 now)
{
	struct book *book;

	if (likely(!ring->lost) || !has_room(ring))
		return;
	book = next_book(ring);
	if (!book)
		return;
	__builtin_memset(book, 0, sizeof(*book));
	book->time_role = now << EVENT_KIND_BITS | BOOK_LOST;
	book->entity = ring->lost;
	ring->lost = 0;
	publish(ring);
}

static inlined struct task_struct *task_at(__u64 address)
{
	return bpf_rdonly_cast((void *)address, bpf_core_type_id_kernel(struct task_struct));
}

static inlined struct sched_entity___book *entity_at(__u64 address)
{
	return bpf_rdonly_cast((void *)address, bpf_core_type_id_kernel(struct sched_entity));
}

static inlined __u64 entity_in(__u64 task)
{
	return task + bpf_core_field_offset(struct task_struct___book, se);
}

/*
 * Writes the record of an entity; returns the address of its parent. It takes numbers only, so that the verifier looks
 * at it once, and not for each level of each task.
 */
verified_once __u64 write_book(__u64 address, __u64 tid, __u64 level, __u64 time_role)
{
	struct sched_entity___book *entity = entity_at(address);
	struct cfs_rq___book *queue = entity->cfs_rq;
	struct event_ring *ring = this_book_ring();
	struct untold *list = this_list();
	__u32 queued = queued_field(queue);
	struct book *book;
	__u64 parent;

	if (!ring || !list)
		return 0;
	parent = number_of(list, entity->parent);
	book = has_room(ring) ? next_book(ring) : 0;
	if (unlikely(!book)) {
		ring->lost++;
		return parent;
	}
	book->time_role = time_role;
	book->entity = address;
	book->parent = parent;
	book->queue = (__u64)queue;
	book->vruntime = entity->vruntime;
	book->deadline = entity->deadline;
	book->lag = lag_of(entity);
	book->slice = entity->slice;
	book->weight = entity->load.weight;
	book->tid = tid;
	book->queued = queued < 0xffff ? queued : 0xffff;
	book->level = level;
	book->flags = flags_of(entity);
	publish(ring);
	return parent;
}

/*
 * Writes the books of a task and of its groups, up to the group `told`, where that is given. The kernel's other classes
 * do not use them.
 */
static outlined int book_task(__u64 address, __u64 told, __u64 time_role)
{
	__u64 entity = entity_in(address), level;	/* of 64 bits: a smaller one in memory is not followed */
	struct task_struct *task = task_at(address);
	__u32 tid = task->pid;

	if (!tid || prio_field(task) < MAX_RT_PRIO)
		return 0;
	for (level = 0; level < BOOK_LEVELS; level++) {
		entity = write_book(entity, tid, level, time_role);
		if (!entity || entity == told)
			break;
	}
	return 0;
}

static inlined void book(struct task_struct *task, __u64 now, enum book_role role)
{
	struct event_ring *ring = this_book_ring();
	struct untold *list = this_list();

	if (!ring || !list)
		return;
	tell_lost_books(ring, now);
	book_task(number_of(list, task), 0, now << EVENT_KIND_BITS | role);
}

/* ---- tasks of which no event tells how they came to their queue ---- */

static inlined void add_untold(__u32 cpu, __u64 task, __u32 tid)
{
	struct untold *list = bpf_map_lookup_elem(&untold, &cpu);
	__u64 turn;

	if (!list)
		return;
	turn = __sync_fetch_and_add(&list->added, 1);
	list->tasks[turn & (UNTOLD - 1)].task = task;
	list->tasks[turn & (UNTOLD - 1)].tid = tid;
	__sync_lock_test_and_set(&list->tasks[turn & (UNTOLD - 1)].turn, turn + 1);
}

/* Tells of the next task on the list. Returns whether the list may have another one. */
static inlined bool tell_untold(struct event_ring *ring, struct untold *list, __u32 cpu, __u64 now)
{
	__u64 place = list->told & (UNTOLD - 1), turn = *(volatile __u64 *)&list->tasks[place].turn;
	struct task_struct *task;

	if (turn <= list->told)
		return false;		/* there is none, or it is being written */
	if (turn > list->told + 1) {	/* overwritten */
		ring->lost += turn - list->told - 1;
		list->told = turn - 1;
	}
	task = task_at(list->tasks[place].task);
	if ((__u32)task->pid == list->tasks[place].tid && cpu_field(task) == cpu) {
		if (task->on_rq == TASK_ON_RQ_MIGRATING)
			return false;	/* on its way */
		if (entity_of(task)->on_rq)
			book_task(list->tasks[place].task, 0, now << EVENT_KIND_BITS | BOOK_QUEUED);
	}
	list->told++;
	return true;
}

static inlined void book_untold(struct event_ring *ring, struct untold *list, __u32 cpu, __u64 now)
{
	int i;

	for (i = 0; i < UNTOLD_AT_ONCE; i++)
		if (!tell_untold(ring, list, cpu, now))
			break;
}

/* ---- what the programs call ---- */

/*
 * Those who wait come first: they were there when the scheduler chose. Where both tasks are in one group, its books are
 * told once, with the task that leaves.
 */
static inlined void book_switch(struct task_struct *prev, struct task_struct *next, __u64 now)
{
	struct event_ring *ring = this_book_ring();
	__u32 cpu = bpf_get_smp_processor_id();
	struct untold *list = this_list();
	__u64 told = 0;

	if (!ring || !list)
		return;
	tell_lost_books(ring, now);
	if (unlikely(list->came_tid && list->came_tid != (__u32)prev->pid))
		add_untold(cpu, list->came, list->came_tid);
	list->came = (__u64)next;
	list->came_tid = next->pid;
	book_untold(ring, list, cpu, now);
	book_task(number_of(list, prev), 0, now << EVENT_KIND_BITS | BOOK_LEAVES);
	if (prev->pid && prio_field(prev) >= MAX_RT_PRIO)
		told = number_of(list, entity_of(prev)->parent);
	book_task(number_of(list, next), told, now << EVENT_KIND_BITS | BOOK_COMES);
}

/* Before its CPU has had a switch that these programs saw, a task that is told may have run and gone by then. */
static inlined void book_wakeup(struct task_struct *task, __u64 now)
{
	__u32 cpu = cpu_field(task);
	struct untold *list = bpf_map_lookup_elem(&untold, &cpu);

	book(task, now, BOOK_WAKES);
	if (list && unlikely(!list->came))
		add_untold(cpu, (__u64)task, task->pid);
}

/* A task that was not queued is woken, and told of then. */
static inlined void book_migration(struct task_struct *task, __u32 to, __u64 now)
{
	book(task, now, BOOK_MIGRATES);
	if (task->on_rq == TASK_ON_RQ_MIGRATING)
		add_untold(to, (__u64)task, task->pid);
}

static inlined void book_alive(struct task_struct *task)
{
	if (task->on_rq == TASK_ON_RQ_QUEUED)
		add_untold(cpu_field(task), (__u64)task, task->pid);
}

#endif
