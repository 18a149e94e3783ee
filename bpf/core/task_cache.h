/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where core's programs keep the state of a task: a task in; its state, in a slot of the task cache or in BPF task
 * storage, out.
 *
 * A slot is an element of an array. Which two slots may be a task's is computed from the address of its task_struct,
 * which never changes, while a tid may. So an event finds the state without a call. A call would take a third of what a
 * switch costs besides its time stamp, where returns from calls are mispredicted (docs/performance.md). A task both of
 * whose slots others own has its state in task storage, for which there is no limit.
 *
 * A slot passes at once to a task at the same address: the kernel reuses that memory only when no program can hold a
 * pointer to the dead task any more. It passes to any other task after its owner's last switch, but not while a flush
 * may run: the flush may still read the state.
 */
#ifndef SCHEDTEL_CORE_TASK_CACHE_H
#define SCHEDTEL_CORE_TASK_CACHE_H

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
	__uint(max_entries, 1);		/* set to 1 << (32 - control.grid.cache_shift) before load */
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

/* The place of a task's first slot. That of its second is place ^ 1. */
static inlined __u32 place_of(__u64 identity)
{
	return (__u32)identity * 0x9E3779B1U >> *(volatile __u64 *)&control.grid.cache_shift;
}

static inlined struct cache_slot *slot_at(__u32 place)
{
	return bpf_map_lookup_elem(&task_cache, &place);
}

/* NULL where another task owns the slot. */
static outlined struct task_state *state_in_second(__u64 identity, __u32 place)
{
	struct cache_slot *slot = slot_at(place);

	return slot && slot->owner == identity ? &slot->state : 0;
}

/* The second slot is asked only where the first is another's. NULL for a task that owns neither. */
static inlined struct task_state *state_in_slot(__u64 identity)
{
	__u32 place = place_of(identity);
	struct cache_slot *slot = slot_at(place);

	return likely(slot && slot->owner == identity) ? &slot->state : state_in_second(identity, place ^ 1);
}

/* NULL for a task that has no state, or has it in task storage. */
static inlined struct task_state *cached_state_of(struct task_struct *task)
{
	return state_in_slot(identity_of(task));
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
	__u64 end = slot->state.completion_ns, now;
	__u8 flags = slot->state.seqcount.flags;

	if (!(flags & TASK_COMPLETED) || !end)
		return false;
	now = bpf_ktime_get_ns();
	return end + (flags & TASK_GONE ? 0 : COMPLETED_FOR_NS) < now &&
	       now < window_end(&control.grid, open_window(&control.grid));
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

/*
 * The slot that a task without state may claim: the one that a dead task at its address had, or else its first unless a
 * task that lives owns that.
 */
static inlined struct cache_slot *slot_to_claim(__u64 identity)
{
	__u32 place = place_of(identity);
	struct cache_slot *first = slot_at(place), *second = slot_at(place ^ 1);
	bool others;

	if (!first || !second)
		return 0;
	others = first->owner && first->owner != identity;
	if (second->owner == identity || (others && !(first->state.seqcount.flags & TASK_COMPLETED)))
		return second;
	return first;
}

/* Makes a task the owner of a slot, whose state is cleared. 0 where another task owns it. */
verified_once int claim_slot(struct cache_slot *slot, __u64 identity)
{
	__u64 before;
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
	return 1;
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

/*
 * New state for a task, in a slot where one is free.
 *
 * No task ever owns both of its slots, since no two programs claim for one task at once: its birth does while it is
 * TASK_NEW, and the seeding does after it has seen that the task is not TASK_NEW any more, and has then found no state.
 */
static inlined struct task_state *create_state(struct task_struct *task)
{
	__u64 identity = identity_of(task);
	struct cache_slot *slot = slot_to_claim(identity);

	return likely(slot && claim_slot(slot, identity)) ? &slot->state : create_storage(task);
}

/*
 * State for a task that arrives without any, since its birth was withheld or memory was short. The seeding may be
 * claiming a slot for it, so this claims none; it takes over the state of a dead task at the same address.
 */
static inlined struct task_state *make_up_state(struct task_struct *task)
{
	struct task_state *state = any_state_of(task);

	if (likely(!state))
		return create_storage(task);
	clear_state(state);
	return state;
}

#endif
