/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the schedulers of the lab share: how the kernel's operations are written, and kfuncs that have changed.
 *
 * vmlinux.h is that of Debian's linux-bpf-dev, which declares the kfuncs, too. They are weak: an object loads where the
 * newer of two is missing. clang before 19 writes no BTF for them.
 */
#ifndef SCHEDTEL_SCHED_EXT_OPS_H
#define SCHEDTEL_SCHED_EXT_OPS_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* A scheduler for one cgroup is another form of object (since 7.2), whose operations name CPUs by their place in the
 * topology, the cid (struct sched_ext_ops_cid). With SUB, the same source is compiled to that form. It has no
 * ops.select_cpu: the kernel then does as idle_cpu_or_last() does, with a slice of SLICE_NS (kernel/sched/ext.c).
 */
#ifdef SUB
#define OPERATIONS sched_ext_ops_cid
#define SELECT_CPU(function)
#else
#define OPERATIONS sched_ext_ops
#define SELECT_CPU(function) .select_cpu = (void *)function,
#endif

#define OP(name, args...) SEC("struct_ops/" #name) BPF_PROG(name, ##args)
#define SLEEPABLE_OP(name, args...) SEC("struct_ops.s/" #name) BPF_PROG(name, ##args)
#define MS 1000000ULL
/* What is kept for each CPU is for so many. */
#define MOST_CPUS 64

/* How long a task keeps its CPU, unless it sleeps or is preempted before. */
#define SLICE_NS (20 * MS)

/* What a load weight is relative to: nice 0 has 100 (kernel/sched/ext.c). */
#define WEIGHT_OF_NICE_0 100

static __always_inline bool is_before(u64 vtime, u64 other)
{
	return (s64)(vtime - other) < 0;
}

/* What has another name where CPUs have cids. */
#ifdef SUB
/* The kernel refuses an object of this form whose programs know no arena, in which it would keep masks for them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16);
} arena SEC(".maps");

static __always_inline void know_arena(void)
{
	asm volatile("" ::"r"(&arena));
}

static __always_inline u32 this_cpu(void)
{
	return scx_bpf_this_cid();
}

static __always_inline bool may_run_on(struct task_struct *task, s32 cid)
{
	return bpf_cpumask_test_cpu(scx_bpf_cid_to_cpu(cid), task->cpus_ptr);
}

static __always_inline void kick(s32 cid, u64 flags)
{
	scx_bpf_kick_cid(cid, flags);
}

/* A task that the kernel has put on an idle CPU has the slice of all. */
static __always_inline void shorten_slice(struct task_struct *task, u64 slice)
{
	if (task->scx.slice > slice)
		scx_bpf_task_set_slice(task, slice);
}
#else
static __always_inline void know_arena(void)
{
}

static __always_inline u32 this_cpu(void)
{
	return bpf_get_smp_processor_id();
}

static __always_inline bool may_run_on(struct task_struct *task, s32 cpu)
{
	return bpf_cpumask_test_cpu(cpu, task->cpus_ptr);
}

static __always_inline void kick(s32 cpu, u64 flags)
{
	scx_bpf_kick_cpu(cpu, flags);
}

static __always_inline void shorten_slice(struct task_struct *task, u64 slice)
{
}
#endif

/* Take the first task of a queue. Since 7.1 the kfunc has flags, as ___v2 in vmlinux.h. */
static __always_inline bool run_first_of(u64 queue)
{
	if (bpf_ksym_exists(scx_bpf_dsq_move_to_local___v2))
		return scx_bpf_dsq_move_to_local___v2(queue, 0);
	return scx_bpf_dsq_move_to_local(queue);
}

/* Queue a task by its virtual time. Since 6.19 the kfunc takes a struct, before it took five arguments. */
static __always_inline void queue_by_vtime(struct task_struct *task, u64 queue, u64 slice, u64 vtime, u64 flags)
{
	if (bpf_core_type_exists(struct scx_bpf_dsq_insert_vtime_args)) {
		struct scx_bpf_dsq_insert_vtime_args args = {
			.dsq_id = queue,
			.slice = slice,
			.vtime = vtime,
			.enq_flags = flags,
		};
		__scx_bpf_dsq_insert_vtime(task, &args);
		return;
	}
	scx_bpf_dsq_insert_vtime(task, queue, slice, vtime, flags);
}

/* A woken task goes to an idle CPU at once, if there is one. */
static __always_inline s32 idle_cpu_or_last(struct task_struct *task, s32 last, u64 wake_flags, u64 slice)
{
	bool is_idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(task, last, wake_flags, &is_idle);

	if (is_idle)
		scx_bpf_dsq_insert(task, SCX_DSQ_LOCAL, slice, 0);
	return cpu;
}

#endif
