/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Wakeups: a woken task in; when it became runnable, by the stamp that the scheduler has just given it, out.
 *
 * To queue a task, the scheduler writes its run queue's clock into sched_info.last_queued (kernel/sched/stats.h:
 * sched_info_enqueue()). Reading that stamp costs nothing. Asking for the time costs a third of a wakeup's program, and
 * the answer is 0.1 to 4 us late, since the task has been queued by then, perhaps with nothing in the caches.
 *
 * But the stamp is of another clock, whose distance to CLOCK_MONOTONIC changes as NTP steers the latter. What can be
 * measured is now less the stamp: that distance and the delay together. So the least of many measurements counts, and
 * only while successive rounds of measurements agree. Where they do not agree (a clock is slewed, or not stable), and
 * where wakeups are too rare for any gain, each wakeup asks for the time.
 *
 * Each CPU measures for the tasks that are queued where they are woken. Its memory is its own, and a difference between
 * the clocks of two CPUs does not matter.
 */
#ifndef SCHEDTEL_CORE_QUEUED_H
#define SCHEDTEL_CORE_QUEUED_H

/* How long a measurement is valid: steered by 50 ppm, the distance changes by 7 ns in this time. */
#define MEASURED_FOR_NS (1 << 17)
/* A round is so many measurements, each at most SOON_NS after the one before. */
#define ROUND 16
#define SOON_NS (1 << 18)
/* What two rounds may differ by: steering, and delays in caches that were cold. */
#define AGREEMENT_NS 500

static inlined __u64 stamp_of(struct task_struct *task)
{
	return bpf_core_field_exists(task->sched_info.last_queued) ? task->sched_info.last_queued : 0;
}

/* Asks for the time, and measures the distance. Returns the time of the wakeup. */
static outlined __u64 measure_distance(struct queue_clock *clock, __u64 queued_at)
{
	__u64 now = bpf_ktime_get_ns();
	__s64 distance = now - queued_at, apart;

	if (!queued_at)		/* it was not queued, since it still has its CPU */
		return now;
	if (queued_at - clock->measured_at >= SOON_NS)
		clock->measurements = clock->rounds = clock->agreed = 0;
	clock->measured_at = queued_at;
	if (!clock->measurements || distance < clock->least_ns)
		clock->least_ns = distance;
	if (distance < clock->distance_ns)
		clock->distance_ns = distance;
	if (++clock->measurements == ROUND) {
		apart = clock->least_ns - clock->least_before_ns;
		clock->agreed = clock->rounds && apart < AGREEMENT_NS && apart > -AGREEMENT_NS;
		clock->distance_ns = clock->least_before_ns = clock->least_ns;
		clock->measurements = 0;
		clock->rounds = 1;
	}
	return clock->agreed ? queued_at + clock->distance_ns : now;
}

/* The time of a task's wakeup. since_ns: when its sleep began, or the window if that began later; never before it. */
static inlined __u64 woken_at(struct task_struct *task, __u64 since_ns)
{
	__u32 number = bpf_get_smp_processor_id();
	struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &number);
	__u64 queued_at = stamp_of(task), woken;

	if (unlikely(!cpu || cpu_field(task) != number))
		return bpf_ktime_get_ns();
	if (likely(cpu->clock.agreed && queued_at - cpu->clock.measured_at < MEASURED_FOR_NS))
		woken = queued_at + cpu->clock.distance_ns;
	else
		woken = measure_distance(&cpu->clock, queued_at);
	return likely(woken > since_ns) ? woken : since_ns;
}

#endif
