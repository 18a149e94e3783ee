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

#define OP(name, args...) SEC("struct_ops/" #name) BPF_PROG(name, ##args)
#define SLEEPABLE_OP(name, args...) SEC("struct_ops.s/" #name) BPF_PROG(name, ##args)
#define MS 1000000ULL

/* How long a task keeps its CPU, unless it sleeps or is preempted before. */
#define SLICE_NS (20 * MS)

/* What a load weight is relative to: nice 0 has 100 (kernel/sched/ext.c). */
#define WEIGHT_OF_NICE_0 100

static __always_inline bool is_before(u64 vtime, u64 other)
{
	return (s64)(vtime - other) < 0;
}

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
