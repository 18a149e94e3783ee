// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Single events: switches, wakeups and migrations in; 16 bytes for each, in a ring of the CPU, out.
 *
 * These programs are an object of their own: nothing of them is loaded unless events are asked for, and they know
 * nothing of windows. They do as little as possible at an event. No name is looked up, nothing is kept of a task: a tid
 * and a time say which life it was, once the life events are read as well.
 *
 *   event_records.h   the contract with user space
 *   event_fields.h    fields of a task that only events ask for
 *   rings.h           the ring of a CPU
 *   selected.h        the filter
 *   lives.h           births, execs, names, exits
 *   books.h           the scheduler's books, in books.bpf.c only
 *
 * It needs what core needs: BTF and Linux 5.15 or later.
 */
#include "../core/kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "../machine/words.h"
#include "../records.h"
#include "event_records.h"

const volatile struct settings settings = {};

#include "../core/filter_fields.h"
#include "../core/moved_fields.h"
#include "event_fields.h"
#include "lives.h"
#include "rings.h"
#include "selected.h"
#ifdef WITH_BOOKS
#include "book_records.h"
#include "book_fields.h"
#include "books.h"
#else
static inlined void book_switch(struct task_struct *prev, struct task_struct *next, __u64 now) {}
static inlined void book_wakeup(struct task_struct *task, __u64 now) {}
static inlined void book_migration(struct task_struct *task, __u32 to, __u64 now) {}
static inlined void book_alive(struct task_struct *task) {}
#endif

/* ---- switches, wakeups, migrations ---- */

/* The arguments of sched_switch. */
enum { PREEMPT, PREV, NEXT };

/*
 * As the kernel reports it (__task_state_index(), include/linux/sched.h), but for the choice of the highest bit, which
 * the collector makes.
 */
static inlined __u64 state_left(struct task_struct *prev, __u64 preempted)
{
	__u32 state = state_field(prev);
	__u64 told;

	if (preempted)
		return STATE_PREEMPTED;
	told = (state | exit_state_field(prev)) & TASK_REPORT;
	if (state & TASK_NOLOAD)
		told |= STATE_IDLE;
	if (unlikely(state & (TASK_RTLOCK_WAIT | TASK_FROZEN)))
		told = TASK_UNINTERRUPTIBLE;
	return told;
}

static inlined __u64 task_and_prio(struct task_struct *task)
{
	return (__u64)(__u32)task->pid | (__u64)(__u8)prio_field(task) << BODY_PRIO;
}

/*
 * A task that came to its CPU selected also leaves it with an event, whatever has changed about it meanwhile. So a
 * switch whose leaving task is not the one that came in last shows that an event is missing. A task may also have come
 * in unseen: the kernel delivers no events while it runs a task that it protects from tracing, and so not the switch
 * from that task to this one.
 */
SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx)
{
	struct task_struct *prev = (struct task_struct *)ctx[PREV], *next = (struct task_struct *)ctx[NEXT];
	__u64 followed = is_selected(next), unseen, now;
	struct event_ring *ring = this_ring();

	if (!ring)
		return 0;
	unseen = !ring->follows && is_selected(prev);
	if (!followed && !ring->follows && !unseen)
		return 0;
	ring->follows = followed;
	now = put(ring, EVENT_SWITCH,
		  task_and_prio(next) | (__u64)(__u32)prev->pid << BODY_PREV |
			  state_left(prev, ctx[PREEMPT]) << BODY_STATE | followed << BODY_FOLLOWED |
			  unseen << BODY_UNSEEN);
	book_switch(prev, next, now);
	return 0;
}

static inlined int put_wakeup(struct task_struct *task, __u64 kind)
{
	struct event_ring *ring = this_ring();

	if (ring && is_selected(task))
		book_wakeup(task, put(ring, kind, task_and_prio(task) | (__u64)cpu_field(task) << BODY_CPU));
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	return put_wakeup(task, EVENT_WAKEUP);
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_arrival, struct task_struct *task)
{
	return put_wakeup(task, EVENT_WAKEUP_NEW);
}

SEC("tp_btf/sched_migrate_task")
int BPF_PROG(on_migrate, struct task_struct *task, int to)
{
	struct event_ring *ring = this_ring();
	__u64 now;

	if (!ring || !is_selected(task))
		return 0;
	now = put(ring, EVENT_MIGRATE,
		  task_and_prio(task) | (__u64)(__u16)cpu_field(task) << BODY_CPU |
			  (__u64)(__u16)to << BODY_TO_CPU);
	book_migration(task, to, now);
	return 0;
}

/* ---- lives ---- */

/* A child descends from the filter's processes if its parent does. The parent is the current task. */
SEC("tp_btf/task_newtask")
int BPF_PROG(on_newtask, struct task_struct *child)
{
	struct task_struct *parent = bpf_get_current_task_btf();

	if (settings.by_process && (is_chosen_process(child->tgid) || is_marked(parent)))
		mark(child);
	tell_life(child, LIFE_NEWTASK, parent->pid);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int tid_before)
{
	tell_life(task, LIFE_EXEC, tid_before);
	return 0;
}

SEC("tp_btf/task_rename")
int BPF_PROG(on_rename, struct task_struct *task, const char *name)
{
	tell_name(task, name);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	tell_life(task, LIFE_EXIT, 0);
	return 0;
}

/* Visits all tasks at attach: marks those that the filter's processes have made, and tells who is alive. */
SEC("iter/task")
int tell_alive(struct bpf_iter__task *ctx)
{
	struct life_event life = {};
	struct task_struct *task = ctx->task;

	if (!task)
		return 0;
	if (settings.by_process && descends(task))
		mark(task);
	book_alive(task);
	describe(&life, task, LIFE_ALIVE, 0);
	bpf_seq_write(ctx->meta->seq, &life, sizeof(life));
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
