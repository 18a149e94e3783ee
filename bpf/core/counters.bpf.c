// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Counters: perf events of each CPU in; how much each of them counted while a task was on a CPU, by window, out.
 *
 * These programs are an object of their own, beside core's. They are loaded and attached only where counters are asked
 * for, so core's programs are the same with them and without. They share core's control page, and so its window grid.
 *
 * At each switch the events of the CPU are read. What they have grown by since the last reading is the leaving task's.
 * The collector has the events read on each CPU right after a window's end as well, by an interrupt that runs count_now
 * there: then no program writes the bank of that window any more. Where an edge lies between two readings, the growth is
 * shared between the windows by time, as if it had been even. So sums over the windows are exact, and so is each window
 * but for a part of the one stretch on each CPU that its edge cuts.
 *
 * A CPU's readings are in order: switches have interrupts off, and count_now runs in an interrupt or, on the collector's
 * own CPU, with preemption off. The table of a window is one of two, `window & 1`. A task's entry has one writer, since a
 * task is on one CPU at a time. The entry stays when the task ends, until the collector takes the table.
 */
#include "kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "../machine/words.h"
#include "../records.h"
#include "counts.h"

int machine_lose(__u64 loss, __u64 since);	/* a hook of losses.h that nothing here calls */

#include "../machine/losses.h"
#include "../machine/moment.h"

const volatile struct counter_settings settings = {};

/* Core's control page; its map is put in this one's place before load. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct control);
} controls SEC(".maps");

/* A perf event of each CPU: event 0 of CPUs 0, 1, ..., then event 1, and so on. */
struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(max_entries, 1);		/* set to events * possible CPUs before load */
	__type(key, __u32);
	__type(value, __u32);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);		/* set to the number of possible CPUs before load */
	__type(key, __u32);
	__type(value, struct counting_cpu);
} counting_cpus SEC(".maps");

/* Counts of tasks in windows of an even number, and of an odd one. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);		/* set before load, here and below */
	__type(key, struct counted_task);
	__type(value, struct counted);
} even SEC(".maps"), odd SEC(".maps");

/* ---- a task's entry ---- */

static outlined struct counted *new_entry(void *table, const struct counted_task *key)
{
	struct counted none = {};

	bpf_map_update_elem(table, key, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(table, key);
}

static inlined struct counted *entry_in(void *table, const struct counted_task *key)
{
	struct counted *entry = bpf_map_lookup_elem(table, key);

	return likely(entry) ? entry : new_entry(table, key);
}

/* NULL where the table is full. */
static inlined struct counted *entry_of(struct task_struct *task, __u32 window)
{
	struct counted_task key = { .start_boottime_ns = task->start_boottime, .tid = task->pid };

	return window & 1 ? entry_in(&odd, &key) : entry_in(&even, &key);
}

/* ---- readings ---- */

/*
 * What an event of this CPU has grown by since the last reading. It has been opened anew, and begun at 0, where its CPU
 * was offline in between. Where there is none, the helper leaves zeros, and the next one counts from 0.
 */
static inlined void read_event(struct reading *last, struct reading *growth, __u32 place)
{
	struct bpf_perf_event_value now;

	bpf_perf_event_read_value(&events, place, &now, sizeof(now));
	if (unlikely(now.enabled < last->enabled_ns))
		*last = (struct reading){};
	growth->count = now.counter - last->count;
	growth->enabled_ns = now.enabled - last->enabled_ns;
	growth->running_ns = now.running - last->running_ns;
	last->count = now.counter;
	last->enabled_ns = now.enabled;
	last->running_ns = now.running;
}

/* growth * part / whole, rounded to the nearest; parts of a time, which is no longer than 39 hours, in ns. */
static inlined __u64 share_of(__u64 growth, __u64 part, __u64 whole)
{
	if (whole >> 32) {
		part >>= 16;
		whole >>= 16;
	}
	return growth / whole * part + (growth % whole * part + whole / 2) / whole;
}

static inlined void move_share(__u64 *sum, __u64 *growth, __u64 part, __u64 whole)
{
	__u64 share = likely(part == whole) ? *growth : share_of(*growth, part, whole);

	*sum += share;
	*growth -= share;
}

/* Moves the part of the growth that is of a window to the task's entry. */
static inlined void credit(struct counting_cpu *cpu, struct control *control, struct task_struct *task, __u32 window,
			   __u64 part, __u64 whole)
{
	struct counted *entry = entry_of(task, window);
	struct reading *growth;
	__u32 event;

	if (unlikely(!entry)) {
		count_loss(&control->losses, &control->grid, STATE_FAILED, JUST_NOW, cpu->since_ns);
		entry = &cpu->other[window & 1];
	}
	for (event = 0; event < COUNTERS && event < settings.events; event++) {
		growth = &cpu->growth.events[event];
		move_share(&entry->events[event].count, &growth->count, part, whole);
		move_share(&entry->events[event].enabled_ns, &growth->enabled_ns, part, whole);
		move_share(&entry->events[event].running_ns, &growth->running_ns, part, whole);
	}
}

/* Reads the events of this CPU; what they have grown by is the task's, unless it is the idle task. */
static inlined int count_for(struct task_struct *task)
{
	__u32 number = bpf_get_smp_processor_id(), zero = 0, window, event;
	struct counting_cpu *cpu = bpf_map_lookup_elem(&counting_cpus, &number);
	struct control *control = bpf_map_lookup_elem(&controls, &zero);
	__u64 now = bpf_ktime_get_ns(), since, edge;

	if (!cpu || !control)
		return 0;
	since = cpu->since_ns;
	cpu->since_ns = now;
	for (event = 0; event < COUNTERS && event < settings.events; event++)
		read_event(&cpu->last.events[event], &cpu->growth.events[event], event * settings.cpus + number);
	if (!since || !task->pid)
		return 0;
	window = open_window(&control->grid);
	edge = window_end(&control->grid, window);
	if (likely(since < edge))
		credit(cpu, control, task, window, (now < edge ? now : edge) - since, now - since);
	if (unlikely(now >= edge))
		credit(cpu, control, task, window + 1, 1, 1);
	return 0;
}

/* The arguments of sched_switch. */
enum { PREEMPT, PREV, NEXT };

SEC("tp_btf/sched_switch")
int count_switch(__u64 *ctx)
{
	return count_for((struct task_struct *)ctx[PREV]);
}

/* Not attached: the collector runs it on each CPU, where it meets the task that is there. */
SEC("raw_tp/sched_switch")
int count_now(void *ctx)
{
	return count_for(bpf_get_current_task_btf());
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
