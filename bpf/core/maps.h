/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What core's programs share with the collector: settings in; the control page, CPU banks, preemptions and rows out.
 *
 * Where the state of a task lies is not shared: see task_cache.h.
 */
#ifndef SCHEDTEL_CORE_MAPS_H
#define SCHEDTEL_CORE_MAPS_H

const volatile struct settings settings = {};

struct control control = {};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* set to the number of possible CPUs before load */
	__type(key, __u32);
	__type(value, struct cpu_state);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* likewise, unless preemptions are off */
	__type(key, __u32);
	__type(value, struct preemptions);
} preemptions SEC(".maps");

/* Rows of tasks that complete. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);	/* set to the ring's size before load */
} ring SEC(".maps");

/*
 * Rows of the flush. The flush has one writer and a reader that waits for it, so its rows need no ring: they save two
 * atomics a row, and they use the same memory in every window where a ring's lines have left the cache by its next
 * turn.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* set to settings.page_rows before load */
	__type(key, __u32);
	__type(value, struct task_record);
} page SEC(".maps");

static __always_inline struct cpu_state *this_cpu(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&cpus, &cpu);
}

#endif
