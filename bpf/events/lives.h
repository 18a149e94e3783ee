/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who a tid is: births, execs, new names and exits in; a life event for each out.
 *
 * They are rare beside switches, and they have names, so they go another way: a BPF ring buffer, which any task may
 * write at any time. At fork, exec and exit interrupts are on, so a wakeup could interrupt them in the middle of a CPU's
 * ring of events.
 */
#ifndef SCHEDTEL_EVENTS_LIVES_H
#define SCHEDTEL_EVENTS_LIVES_H

struct event_totals totals = {};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);	/* set before load */
} lives SEC(".maps");

/* A function of its own, so that the object's BTF has the type of its argument, which no map names. */
static outlined int describe(struct life_event *life, struct task_struct *task, __u8 kind, __u32 other)
{
	life->time_ns = bpf_ktime_get_ns();
	life->start_boottime_ns = task->start_boottime;
	life->tid = task->pid;
	life->tgid = task->tgid;
	life->other = other;
	life->exit_code = kind == LIFE_EXIT ? task->exit_code : 0;
	life->prio = prio_field(task);
	life->kind = kind;
	life->kernel_thread = (task->flags & PF_KTHREAD) != 0;
	life->cpu = bpf_get_smp_processor_id();
	__builtin_memcpy(life->comm, task->comm, COMM_LENGTH);
	return 0;
}

/* NULL, and a loss counted, where the ring is full. */
static inlined struct life_event *new_life_event(void)
{
	struct life_event *life = bpf_ringbuf_reserve(&lives, sizeof(*life), 0);

	if (!life)
		__sync_fetch_and_add(&totals.lives_lost, 1);
	return life;
}

static inlined void tell_life(struct task_struct *task, __u8 kind, __u32 other)
{
	struct life_event *life = new_life_event();

	if (!life)
		return;
	describe(life, task, kind, other);
	bpf_ringbuf_submit(life, BPF_RB_NO_WAKEUP);
}

/* The task still has its old name. The new one may be shorter than the field, and what follows it is not ours. */
static inlined void tell_name(struct task_struct *task, const char *name)
{
	struct life_event *life = new_life_event();

	if (!life)
		return;
	describe(life, task, LIFE_RENAME, 0);
	__builtin_memset(life->comm, 0, COMM_LENGTH);
	bpf_probe_read_kernel_str(life->comm, COMM_LENGTH, name);
	bpf_ringbuf_submit(life, BPF_RB_NO_WAKEUP);
}

#endif
