// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Short bursts first: a task that has used less than BURST_NS since it last slept is served before all that have used
 * more, and takes the CPU from one of these.
 *
 * Works well where short jobs come beside hogs: a job of less than 5 ms waits for its like only.
 * Fails where all jobs are longer than BURST_NS, which it then serves as `vtime` does, at a higher price; and where
 * short bursts fill the CPUs: long tasks then get one dispatch in PATIENCE.
 */
#include "ops.h"

char _license[] SEC("license") = "GPL";

#define BURST_NS (5 * MS)
/* After so many dispatches of short tasks on a CPU, a long one is next. */
#define PATIENCE 16
#define ENOMEM 12

enum { SHORT_QUEUE = 1, LONG_QUEUE = 2 };

/* The CPU time of a task since it last slept, and when it began to run. */
struct burst {
	u64 used_ns;
	u64 began_ns;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct burst);
} bursts SEC(".maps");

static u64 vtime_now;
static u32 short_in_a_row[MOST_CPUS];
static bool runs_long[MOST_CPUS];

static __always_inline struct burst *burst_of(struct task_struct *task)
{
	return bpf_task_storage_get(&bursts, task, 0, 0);
}

/* A CPU that runs a long task, and on which this one may run; -1: there is none. */
static __always_inline s32 cpu_of_a_long_one(struct task_struct *task)
{
	for (s32 cpu = 0; cpu < MOST_CPUS; cpu++)
		if (runs_long[cpu] && may_run_on(task, cpu))
			return cpu;
	return -1;
}

#ifdef SUB
static __always_inline s32 cpu_to_take(struct task_struct *task)
{
	return cpu_of_a_long_one(task);
}
#else
static __always_inline s32 cpu_to_take(struct task_struct *task)
{
	return scx_bpf_task_cpu(task); /* as ops.select_cpu chose it */
}

s32 OP(interactive_select_cpu, struct task_struct *task, s32 last, u64 wake_flags)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(task, last, wake_flags, &is_idle), of_a_long_one;

	if (is_idle) {
		scx_bpf_dsq_insert(task, SCX_DSQ_LOCAL, BURST_NS, 0);
		return cpu;
	}
	of_a_long_one = cpu_of_a_long_one(task);
	return of_a_long_one < 0 ? cpu : of_a_long_one;
}
#endif

void OP(interactive_enqueue, struct task_struct *task, u64 flags)
{
	struct burst *burst = burst_of(task);
	u64 earliest = vtime_now - SLICE_NS, vtime = task->scx.dsq_vtime;
	s32 cpu = cpu_to_take(task);

	know_arena();
	if (!burst || burst->used_ns >= BURST_NS) {
		queue_by_vtime(task, LONG_QUEUE, SLICE_NS, is_before(vtime, earliest) ? earliest : vtime, flags);
		return;
	}
	scx_bpf_dsq_insert(task, SHORT_QUEUE, BURST_NS, flags);
	if (cpu >= 0 && cpu < MOST_CPUS && runs_long[cpu])
		kick(cpu, SCX_KICK_PREEMPT);
}

void OP(interactive_dispatch, s32 cpu, struct task_struct *last)
{
	u32 here = cpu & (MOST_CPUS - 1);

	if (++short_in_a_row[here] <= PATIENCE && run_first_of(SHORT_QUEUE))
		return;
	short_in_a_row[here] = 0;
	if (!run_first_of(LONG_QUEUE))
		run_first_of(SHORT_QUEUE);
}

void OP(interactive_runnable, struct task_struct *task, u64 flags)
{
	struct burst *burst = burst_of(task);

	if (burst)
		burst->used_ns = 0; /* it slept */
}

void OP(interactive_running, struct task_struct *task)
{
	struct burst *burst = burst_of(task);
	u32 here = this_cpu() & (MOST_CPUS - 1);

	if (burst)
		burst->began_ns = bpf_ktime_get_ns();
	runs_long[here] = burst && burst->used_ns >= BURST_NS;
	if (!runs_long[here])
		shorten_slice(task, BURST_NS);
	if (is_before(vtime_now, task->scx.dsq_vtime))
		vtime_now = task->scx.dsq_vtime;
}

void OP(interactive_stopping, struct task_struct *task, bool is_runnable)
{
	struct burst *burst = burst_of(task);
	u64 ran_ns;

	runs_long[this_cpu() & (MOST_CPUS - 1)] = false;
	if (!burst)
		return;
	ran_ns = bpf_ktime_get_ns() - burst->began_ns;
	burst->used_ns += ran_ns;
	task->scx.dsq_vtime += ran_ns * WEIGHT_OF_NICE_0 / task->scx.weight;
}

void OP(interactive_enable, struct task_struct *task)
{
	task->scx.dsq_vtime = vtime_now;
}

s32 SLEEPABLE_OP(interactive_init_task, struct task_struct *task, struct scx_init_task_args *args)
{
	return bpf_task_storage_get(&bursts, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE) ? 0 : -ENOMEM;
}

s32 SLEEPABLE_OP(interactive_init)
{
	s32 error = scx_bpf_create_dsq(SHORT_QUEUE, -1);

	return error ? error : scx_bpf_create_dsq(LONG_QUEUE, -1);
}

SEC(".struct_ops.link")
struct OPERATIONS interactive = {
	SELECT_CPU(interactive_select_cpu)
	.enqueue = (void *)interactive_enqueue,
	.dispatch = (void *)interactive_dispatch,
	.runnable = (void *)interactive_runnable,
	.running = (void *)interactive_running,
	.stopping = (void *)interactive_stopping,
	.enable = (void *)interactive_enable,
	.init_task = (void *)interactive_init_task,
	.init = (void *)interactive_init,
	.timeout_ms = 5000,
	.name = "interactive",
};
