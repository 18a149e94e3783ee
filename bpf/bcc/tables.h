/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bcc backend's mapped tables, and the hooks of the state machine (machine/machine.h) over them: an index, or a
 * tid, in; the slot or CPU there out.
 */
#ifndef SCHEDTEL_BCC_TABLES_H
#define SCHEDTEL_BCC_TABLES_H

struct slot;
typedef struct slot *waiter;

static inline void machine_lose(u64 loss, u64 since);
static inline void machine_name_wait(struct wait *kept, waiter who);

/* Where a machine reorders stores, the collector's side orders what it reads (membarrier). */
static inline void machine_order(void)
{
	asm volatile("" ::: "memory");
}

/* There is nothing to read at address 0, and this helper leaves zeros where it cannot read. */
static inline void machine_clear(void *memory, u32 size)
{
	bpf_probe_read_kernel(memory, size, 0);
}

#include "slots.h"

BPF_F_TABLE("array", u32, struct control, controls, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct slot_cpu, cpus, CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct slot, slots, SLOTS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct tid_entry, tids, TIDS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct preemptions, preemptions, PREEMPTION_CPUS, BPF_F_MMAPABLE);

static inlined struct control *the_control(void)
{
	u32 zero = 0;

	return controls.lookup(&zero);
}

static inline void machine_lose(u64 loss, u64 since)
{
	struct control *control = the_control();

	if (control)
		count_loss(&control->losses, &control->grid, loss, since, bpf_ktime_get_ns());
}

static inlined struct slot_cpu *this_cpu(void)
{
	u32 cpu = bpf_get_smp_processor_id();

	return cpus.lookup(&cpu);
}

static inlined struct slot *slot_at(u32 index)
{
	return index ? slots.lookup(&index) : 0;
}

/* The index of a tid's slot, of a completed task too. 0 for a tid that has none. */
static inlined u32 index_of(u32 tid)
{
	struct tid_entry *entry = tids.lookup(&tid);
	struct slot *slot;
	u32 index;

	if (!entry)
		return 0;
	slot = slot_at(entry->slot);
	if (likely(slot && slot->tid == tid))
		return entry->slot;
	index = *(volatile u32 *)&entry->seeded;
	slot = slot_at(index);
	if (!slot || slot->tid != tid)
		return 0;
	entry->slot = index;
	entry->seeded = 0;
	return index;
}

/* A free slot, all zeros; 0 when there is none. */
static inlined u32 take_slot(struct slot_cpu *cpu)
{
	u32 head = cpu->free_head;

	if (head == *(volatile u32 *)&cpu->free_tail)
		return 0;
	cpu->free_head = head + 1;
	return cpu->free[head & (FREE_SLOTS - 1)];
}

static inlined int completed(struct slot *slot)
{
	return slot->state.seqcount.flags & TASK_COMPLETED;
}

static inlined int followed(struct slot *slot)
{
	return !(slot->state.seqcount.flags & (TASK_HIDDEN | TASK_COMPLETED));
}

#endif
