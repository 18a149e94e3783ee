/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the core loader's programs keep the state of a task: in its slot, or else in task storage.
 *
 * A home is an element of an array, and which one is computed from where the kernel keeps the task; that never
 * changes, as a tid may. So what every event asks for is found without a call: a third of what a switch costs besides
 * its time stamp, where returns from calls are mispredicted (docs/performance.md). A task whose home is taken lives
 * in task storage, for which there is no limit.
 *
 * A home changes hands at once for a task at the same address: the kernel uses that memory again only when nobody can
 * be looking at the dead one any more. For any other task it does so after its owner's last switch, but not while a
 * flush may be under way: that may be looking still.
 */
#ifndef SCHEDTEL_TASK_CACHE_H
#define SCHEDTEL_TASK_CACHE_H

#ifndef TASK_CACHE_BITS
#define TASK_CACHE_BITS 12
#endif
#define TASK_CACHE_SLOTS (1 << TASK_CACHE_BITS)
/* After its completion, of a task whose last switch has not been seen. */
#define COMPLETED_FOR_NS 10000000000ULL
/* An owner that nobody is: tasks are aligned. */
#define SLOT_CLAIMED 1

struct cache_slot {
	__u64 owner;			/* identity of the task that lives here; 0: nobody has yet */
	struct task_state state;
};

_Static_assert(sizeof(struct cache_slot) % 64 == 0, "states begin at the same place of a cache line");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);	/* nobody maps it: such an array begins with a page */
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

/* Where the kernel keeps a task: as a distance, since a difference of pointers is a number to the verifier. */
static inlined __u64 identity_of(struct task_struct *task)
{
	__u64 identity = (__u64)task - (__u64)&control;

	asm volatile("" : "+r"(identity));	/* or clang goes on calculating with the pointers */
	return identity;
}

static inlined struct cache_slot *cache_slot_of(__u64 identity)
{
	__u32 place = identity * 0x9E3779B97F4A7C15ULL >> (64 - TASK_CACHE_BITS);

	return bpf_map_lookup_elem(&task_cache, &place);
}

/* NULL: it has none, or not at home. */
static inlined struct task_state *cached_state_of(struct task_struct *task)
{
	__u64 identity = identity_of(task);
	struct cache_slot *slot = cache_slot_of(identity);

	return likely(slot && slot->owner == identity) ? &slot->state : 0;
}

/* Of one that has completed, too. NULL: it has none. */
static inlined struct task_state *any_state_of(struct task_struct *task)
{
	struct task_state *state = cached_state_of(task);

	return likely(state) ? state : bpf_task_storage_get(&tasks, task, 0, 0);
}

/* Who completed before now, and now is before the edge, has completed to a flush that begins after the edge. */
static inlined bool may_be_reused(struct cache_slot *slot)
{
	__u64 end = slot->state.completion_ns, now = bpf_ktime_get_ns();
	__u64 after = slot->state.seqcount.flags & TASK_GONE ? 0 : COMPLETED_FOR_NS;
	bool flushing = now >= window_end(&control.grid, open_window(&control.grid));

	return (slot->state.seqcount.flags & TASK_COMPLETED) && end && end + after < now && !flushing;
}

/* All but the sequence number, so that whoever still looks notices, and the banks, which are cleared when opened. */
static inlined void clear_state(struct task_state *state)
{
	*(volatile __u32 *)&state->seqcount.seq = (state->seqcount.seq + 1) | 1;	/* odd, whatever its last writer left behind */
	machine_order();
	state->seqcount.phase = PHASE_UNKNOWN;
	state->seqcount.flags = 0;
	state->seqcount.cpu = 0;
	__builtin_memset(&state->window, 0, __builtin_offsetof(struct task_state, bank) -
						    __builtin_offsetof(struct task_state, window));
	write_end(&state->seqcount);
}

/* Moves into a task's slot, if it is free. */
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
	if (unlikely(others && !may_be_reused(slot))) {	/* a task at its owner's address came first */
		slot->owner = before;
		return 0;
	}
	clear_state(&slot->state);
	machine_order();
	slot->owner = identity;
	return &slot->state;
}

/*
 * The allocator hands out what lies ready on this CPU and refills it from an interrupt: a storm of forks can empty it,
 * and the attempt that failed is what calls for the refill. So the second attempt, right behind it, finds something.
 */
static inlined struct task_state *create_storage(struct task_struct *task)
{
	struct task_state *state = bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

	return likely(state) ? state : bpf_task_storage_get(&tasks, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
}

/* At home if it is free, or where there is always room. */
static inlined struct task_state *create_state(struct task_struct *task)
{
	struct task_state *state = claim_slot(task);

	return likely(state) ? state : create_storage(task);
}

#endif
