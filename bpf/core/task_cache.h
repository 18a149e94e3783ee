/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where core's programs keep the state of a task: a task in; its state, in its slot of the task cache or in BPF task
 * storage, out.
 *
 * A slot is an element of an array. Which slot is a task's is computed from the address of its task_struct, which never
 * changes, while a tid may. So an event finds the state without a call. A call would take a third of what a switch
 * costs besides its time stamp, where returns from calls are mispredicted (docs/performance.md). A task whose slot
 * another one owns has its state in task storage, for which there is no limit.
 *
 * A slot passes at once to a task at the same address: the kernel reuses that memory only when no program can hold a
 * pointer to the dead task any more. It passes to any other task after its owner's last switch, but not while a flush
 * may run: the flush may still read the state.
 */
#ifndef SCHEDTEL_CORE_TASK_CACHE_H
#define SCHEDTEL_CORE_TASK_CACHE_H

#ifndef TASK_CACHE_BITS
#define TASK_CACHE_BITS 12
#endif
#define TASK_CACHE_SLOTS (1 << TASK_CACHE_BITS)
/* When the slot of a completed task whose last switch has not been seen may be reused. */
#define COMPLETED_FOR_NS 10000000000ULL
/* An owner that is no task's identity, since tasks are aligned: the slot is being handed over. */
#define SLOT_CLAIMED 1

struct cache_slot {
	__u64 owner;			/* identity of the task whose state this is; 0: never used */
	struct task_state state;
};

_Static_assert(sizeof(struct cache_slot) % 64 == 0, "states begin at the same place of a cache line");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);	/* never mapped, but such an array begins at a page's start */
	__uint(max_entries, TASK_CACHE_SLOTS);
	__type(key, __u32);
	__type(value, struct cache_slot);
} task_cache SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct task_state);
} tasks SEC(".maps");

/* The address of a task, as a distance: to the verifier, a difference of pointers is a number. */
static inlined __u64 identity_of(struct task_struct *task)
{
	__u64 identity = (__u64)task - (__u64)&control;

	asm volatile("" : "+r"(identity));	/* else clang goes on calculating with the pointers */
	return identity;
}

static inlined struct cache_slot *cache_slot_of(__u64 identity)
{
	__u32 place = identity * 0x9E3779B97F4A7C15ULL >> (64 - TASK_CACHE_BITS);

	return bpf_map_lookup_elem(&task_cache, &place);
}

/* NULL for a task that has no state, or has it in task storage. */
static inlined struct task_state *cached_state_of(struct task_struct *task)
{
	__u64 identity = identity_of(task);
	struct cache_slot *slot = cache_slot_of(identity);

	return likely(slot && slot->owner == identity) ? &slot->state : 0;
}

/* The state of a task, of a completed one too. NULL for a task that has none. */
static inlined struct task_state *any_state_of(struct task_struct *task)
{
	struct task_state *state = cached_state_of(task);

	return likely(state) ? state : bpf_task_storage_get(&tasks, task, 0, 0);
}

/* NULL for a task that is not seeded yet, one that the iterator does not reach, and one that has completed. */
static inlined struct task_state *state_of(struct task_struct *task)
{
	struct task_state *state = any_state_of(task);

	return state && likely(!(state->seqcount.flags & (TASK_HIDDEN | TASK_COMPLETED))) ? state : 0;
}

/*
 * Whether another task may have the slot. A flush runs only after the open window's edge. So before the edge no flush
 * reads this state, and a flush that begins later finds that its owner has completed.
 */
static inlined bool may_be_reused(struct cache_slot *slot)
{
	__u64 end = slot->state.completion_ns, now = bpf_ktime_get_ns();
	__u64 after = slot->state.seqcount.flags & TASK_GONE ? 0 : COMPLETED_FOR_NS;
	bool flushing = now >= window_end(&control.grid, open_window(&control.grid));

	return (slot->state.seqcount.flags & TASK_COMPLETED) && end && end + after < now && !flushing;
}

/*
 * Clears all but the seqcount's number, which goes on so that a reader of the old state notices, and the banks, which
 * are cleared when they are opened.
 */
static inlined void clear_state(struct task_state *state)
{
	/* Odd, whatever the last writer left. */
	*(volatile __u32 *)&state->seqcount.seq = (state->seqcount.seq + 1) | 1;
	machine_order();
	state->seqcount.phase = PHASE_UNKNOWN;
	state->seqcount.flags = 0;
	state->seqcount.cpu = 0;
	__builtin_memset(&state->window, 0, __builtin_offsetof(struct task_state, bank) -
						    __builtin_offsetof(struct task_state, window));
	write_end(&state->seqcount);
}

/* Makes a task the owner of its slot. NULL where another task owns it. */
static inlined struct task_state *claim_slot(struct task_struct *task)
{
	__u64 identity = identity_of(task), before;
	struct cache_slot *slot = cache_slot_of(identity);
	bool others;

	if (!slot)
		return 0;
	before = slot->owner;
	others = before && before != identity;
	if (before == SLOT_CLAIMED || (others && !may_be_reused(slot)))
		return 0;
	if (__sync_val_compare_and_swap(&slot->owner, before, SLOT_CLAIMED) != before)
		return 0;
	if (unlikely(others && !may_be_reused(slot))) {	/* a task at the owner's address claimed it in between */
		slot->owner = before;
		return 0;
	}
	clear_state(&slot->state);
	machine_order();
	slot->owner = identity;
	return &slot->state;
}

/*
 * The allocator hands out what lies ready on this CPU and refills it from an interrupt. A storm of forks can empty it,
 * and it is the failed attempt that calls for the refill, so a second attempt right behind it succeeds.
 */
static inlined struct task_state *create_storage(struct task_struct *task)
{
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	return likely(state) ? state : bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* New state for a task, in its slot where that is free. */
static inlined struct task_state *create_state(struct task_struct *task)
{
	struct task_state *state = claim_slot(task);

	return likely(state) ? state : create_storage(task);
}

#endif
