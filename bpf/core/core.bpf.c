// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The core backend's programs: CO-RE, tp_btf, task storage, a task iterator. Scheduler events and visits to all tasks
 * in; rows of tasks, banks of CPUs and preemptions out.
 *
 * The hot programs (switch, wakeup) look a task's state up and pass the event to the state machine (machine/machine.h).
 * State is created at fork, and by the iterator for tasks older than tracing: in a slot of the task cache, or in task
 * storage where other tasks own the slots. At a window's end the collector has all tasks visited, and the flush writes
 * a row of every task that was active into a page. A task that exits reports itself through the ring, while the
 * iterator can still find it. Rows that a filter leaves out, and rows of exits that the ring has no room for, are
 * folded into `other`.
 *
 * It needs BTF and Linux 5.15 or later. It cannot work without task storage for tracing programs (before 5.11).
 *
 *   kernel_types.h   the few types of the kernel that the programs look into
 *   maps.h           what is shared with the collector
 *   hooks.h          what the state machine asks for
 *   losses.h         losses, by the window in which they happened
 *   task_cache.h     where the state of a task is
 *   moved_fields.h   fields of a task that moved between versions
 *   task_fields.h    fields of a task that need more than one access
 *   filter_fields.h  the filter, of a task_struct
 *   waiters.h        who waited, and behind whom
 *   rows.h           rows, and what a completed task reports
 *   preemptors.h     who preempted whom
 *   switch.h, queued.h, wakeup.h   the hot events
 *   lives.h          births, new names, deaths
 *   seed.h, flush.h  one task, visited
 *   hotplug.h        CPUs that go offline and come online
 */
#include "kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "../records.h"
#include "maps.h"
#include "hooks.h"
#include "../machine/machine.h"
#include "losses.h"
#include "task_cache.h"
#include "moved_fields.h"
#include "task_fields.h"
#include "filter_fields.h"
#include "waiters.h"
#include "rows.h"
#include "preemptors.h"
#include "switch.h"
#include "queued.h"
#include "wakeup.h"
#include "lives.h"
#include "hotplug.h"
#include "seed.h"
#include "flush.h"

/* ---- hot events ---- */

SEC("tp_btf/sched_switch")
int on_switch(__u64 *ctx)
{
	switch_tasks(ctx);
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(on_wakeup, struct task_struct *task)
{
	if (unlikely(!wake_fast_path(task)))
		wake_slow_path(task);
	return 0;
}

/* ---- births, new names, deaths ---- */

/*
 * task_newtask fires where sched_process_fork does, and for io_uring's and vhost's workers too, which
 * sched_process_fork leaves out (kernel/fork.c: create_io_thread() does not pass through kernel_clone()).
 */
SEC("tp_btf/task_newtask")
int BPF_PROG(on_newtask, struct task_struct *child)
{
	preemption_off();
	if (child->pid)
		begin_life(child, create_state(child));
	preemption_on();
	return 0;
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(on_arrival, struct task_struct *task)
{
	arrive(task);
	return 0;
}

/* Loaded only where the filter asks for what an exec changes. */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task)
{
	preemption_off();
	exec(task);
	preemption_on();
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_exit, struct task_struct *task)
{
	preemption_off();
	end_life(task);
	preemption_on();
	return 0;
}

/* ---- CPUs that go and come ---- */

/* On the way down, the kernel passes the same step towards a target below it. */
SEC("tp_btf/cpuhp_enter")
int BPF_PROG(on_cpu_step, unsigned int number, int target, int step)
{
	if (step == (int)bpf_core_enum_value(enum cpuhp_state, CPUHP_BRINGUP_CPU) && target > step)
		cpu_comes(number);
	return 0;
}

SEC("tp_btf/cpuhp_exit")
int BPF_PROG(on_cpu_step_done, unsigned int number, int state, int step, int result)
{
	if (step == (int)bpf_core_enum_value(enum cpuhp_state, CPUHP_TEARDOWN_CPU) && !result)
		cpu_dies(number);
	return 0;
}

/* ---- visits to all tasks ---- */

#ifndef OPEN_CODED_ITERATORS

SEC("iter/task")
int seed(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;

	if (task)
		seed_task(task);
	return 0;
}

/* Writing a byte returns control to the collector, which reads on after it has taken the rows. */
SEC("iter/task")
int flush(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	__u8 byte = 0;

	if (task && flush_task(task))
		bpf_seq_write(ctx->meta->seq, &byte, 1);
	return 0;
}

#else

extern int bpf_iter_task_new(struct bpf_iter_task *it, struct task_struct *task, unsigned int flags) __ksym;
extern struct task_struct *bpf_iter_task_next(struct bpf_iter_task *it) __ksym;
extern void bpf_iter_task_destroy(struct bpf_iter_task *it) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;

/* The kernel's list of tasks begins with the first CPU's idle task, which is not followed. */
#define for_each_task(task, iterator) \
	bpf_iter_task_new(iterator, 0, BPF_TASK_ITER_ALL_THREADS); \
	while ((task = bpf_iter_task_next(iterator))) \
		if (task->pid)

SEC("syscall")
int seed(void *ctx)
{
	struct bpf_iter_task iterator;
	struct task_struct *task;

	bpf_rcu_read_lock();
	for_each_task(task, &iterator)
		seed_task(task);
	bpf_iter_task_destroy(&iterator);
	bpf_rcu_read_unlock();
	return 0;
}

/* Not 0: the page is full. The collector takes the rows and runs it again, which passes over what has been claimed. */
SEC("syscall")
int flush(void *ctx)
{
	struct bpf_iter_task iterator;
	struct task_struct *task;
	int full = 0;

	bpf_rcu_read_lock();
	for_each_task(task, &iterator) {
		full = flush_task(task);
		if (full)
			break;
	}
	bpf_iter_task_destroy(&iterator);
	bpf_rcu_read_unlock();
	return full;
}

#endif

/* The kernel lets only programs under a GPL-compatible licence call its tracing helpers. */
char LICENSE[] SEC("license") = "Dual BSD/GPL";
