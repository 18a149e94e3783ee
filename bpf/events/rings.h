/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A ring of events for each CPU: an event in; 16 bytes in the memory that the collector has mapped out.
 *
 * The rings are parts of one mmapable array, beside an array of their heads, so that their size is chosen at load. Both
 * look-ups are of arrays, which the kernel's JIT writes out as code. A BPF ring buffer would cost two calls, a lock and
 * 8 bytes of header for each event, and it is one for all CPUs.
 *
 * The caller has interrupts off, as the kernel has at all four tracepoints (it holds a run queue's lock, or p->pi_lock).
 * So no event of this CPU comes between the steps of another, and times rise within a ring.
 */
#ifndef SCHEDTEL_EVENTS_RINGS_H
#define SCHEDTEL_EVENTS_RINGS_H

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* set to the number of possible CPUs before load */
	__type(key, __u32);
	__type(value, struct event_ring);
} rings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* set to the size of all rings before load */
	__type(key, __u32);
	__type(value, struct event);
} events SEC(".maps");

/* This CPU's value in an array. NULL never happens, but the verifier wants to be told so. */
static inlined void *own_in(void *array)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(array, &cpu);
}

static inlined struct event_ring *this_ring(void)
{
	return own_in(&rings);
}

/* Where the ring's next record goes in the array that has the records of all rings. */
static inlined void *next_in(struct event_ring *ring, void *records)
{
	__u32 place = ring->first + (ring->head & (ring->size - 1));

	return bpf_map_lookup_elem(records, &place);
}

static inlined int has_room(struct event_ring *ring)
{
	return ring->head - *(volatile __u64 *)&ring->tail < ring->size;
}

/*
 * Lets the collector see an event, after its bytes. x86 keeps stores in order. Elsewhere an atomic with a result is the
 * only full barrier that BPF has.
 */
static inlined void publish(struct event_ring *ring)
{
	__u64 none = 0, seen;

	if (!bpf_core_type_exists(struct cpuinfo_x86)) {
		asm volatile("" : "+r"(none));	/* else clang, which knows that nothing changes, drops the result */
		seen = __sync_fetch_and_add(&ring->fence, none);
		asm volatile("" : : "r"(seen));
	}
	barrier();
	*(volatile __u64 *)&ring->head = ring->head + 1;
}

static inlined void append(struct event_ring *ring, __u64 now, __u64 kind, __u64 body)
{
	struct event *event = next_in(ring, &events);

	if (unlikely(!event))
		return;
	event->time_kind = now << EVENT_KIND_BITS | kind;
	event->body = body;
	publish(ring);
}

/* The first event after a loss has another one before it, which tells how many were lost. */
static outlined int tell_loss(struct event_ring *ring, __u64 now)
{
	if (!ring || !has_room(ring))
		return 0;
	append(ring, now, EVENT_LOST, ring->lost);
	ring->lost = 0;
	return 0;
}

/* Returns the time of the event. */
static inlined __u64 put(struct event_ring *ring, __u64 kind, __u64 body)
{
	__u64 now = bpf_ktime_get_ns();

	if (unlikely(ring->lost))
		tell_loss(ring, now);
	if (likely(has_room(ring)))
		append(ring, now, kind, body);
	else
		ring->lost++;
	return now;
}

#endif
