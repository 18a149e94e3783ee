/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Lives in slots: a fork, a first event of an older task, or an exec in; a slot taken, and found by its tid, out.
 */
#ifndef SCHEDTEL_BCC_LIVES_H
#define SCHEDTEL_BCC_LIVES_H

#define CLONE_THREAD_FLAG 0x00010000	/* include/uapi/linux/sched.h */
#define KTHREADD 2			/* the parent of all kernel threads (init/main.c) */

/* Makes a slot known, under its tid and to the flush. */
static inlined void publish(struct slot *slot, struct tid_entry *entry, u32 index, u32 tid)
{
	machine_order();
	*(volatile u32 *)&slot->tid = tid;
	*(volatile u32 *)&entry->slot = index;
}

/* The end of this life was not delivered, and its tid has a new owner: the life ended at some time before now. */
static inlined void end_unseen(struct slot *slot, struct moment at)
{
	miss_event(slot->state.since_ns);
	write_begin(&slot->state.seqcount);
	account(&slot->state, at);
	slot->state.burst_since_ns = 0;
	slot->state.completion_ns = at.now;
	slot->state.seqcount.flags |= TASK_COMPLETED;
	slot->state.seqcount.phase = PHASE_NOT_ALIVE;
	slot->status |= SLOT_GONE;
	write_end(&slot->state.seqcount);
}

/*
 * A fork. The current task is the parent, and its child has its identity, except for the tid. The children of kthreadd
 * are the kernel threads: helpers in user mode are forked by workers (kernel/umh.c).
 */
static inlined struct slot *begin_life(struct slot_cpu *cpu, u32 tid, u64 clone_flags, struct moment at)
{
	struct tid_entry *entry = tids.lookup(&tid);
	struct slot *slot = slot_at(index_of(tid)), *parent = slot_at(cpu->slot);
	u64 current = bpf_get_current_pid_tgid();
	u32 index;

	if (!entry)
		return 0;
	if (unlikely(slot && !completed(slot)))
		end_unseen(slot, at);
	index = take_slot(cpu);
	slot = slot_at(index);
	if (unlikely(!slot)) {
		entry->slot = 0;	/* the slot there is of an earlier task with this tid */
		return 0;
	}
	slot->state.flushed = (u32)at.epoch - 1;	/* no window before its birth is owed */
	refresh(slot, (u32)at.epoch - 1);
	slot->tgid = clone_flags & CLONE_THREAD_FLAG ? current >> 32 : tid;
	slot->kernel_thread = current >> 32 == KTHREADD;
	slot->start_boottime_ns = bpf_ktime_get_boot_ns();
	slot->state.seqcount.phase = PHASE_NOT_ALIVE;
	slot->state.fork_ns = at.now;
	slot->state.in_process = is_chosen_process(slot->tgid);
	if (likely(parent && parent->tid == (u32)current)) {
		slot->policy = parent->policy;
		slot->state.in_process |= parent->state.in_process;
	}
	slot->tid = tid;
	slot->state.selected = selects(slot);
	publish(slot, entry, index, tid);
	return slot;
}

/* A task that is older than its first event: it is left-censored, and the collector knows more of it. */
static inlined u32 begin_late(struct slot_cpu *cpu, u32 tid, s32 prio, u64 now)
{
	struct tid_entry *entry = tids.lookup(&tid);
	u32 index = entry ? take_slot(cpu) : 0;
	struct slot *slot = slot_at(index);

	if (!slot || !entry)
		return 0;
	slot->anonymous = 1;
	slot->tgid = tid;
	slot->prio = prio;
	slot->state.left_censored = 1;
	slot->state.first_cpu_ns = FIRST_CPU_BEFORE_TRACING;
	slot->state.arrival_ns = now;
	slot->tid = tid;
	slot->state.selected = selects(slot);
	publish(slot, entry, index, tid);
	return index;
}

/* On exec, a thread that is not the leader takes over its leader's tid. */
static inlined void take_over(struct slot *slot, u32 index, u32 tid)
{
	struct tid_entry *entry = tids.lookup(&tid);

	if (!entry)
		return;
	slot->state.first_tid = slot->tid;
	publish(slot, entry, index, tid);
}

#endif
