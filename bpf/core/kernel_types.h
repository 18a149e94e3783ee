/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The few kernel types that core's programs look into: names of fields in; offsets of the running kernel out.
 *
 * preserve_access_index makes every access a CO-RE relocation, so only the names matter and offsets come from the
 * running kernel's BTF. A type with a "___" suffix is the type's shape in other versions.
 */
#ifndef SCHEDTEL_CORE_KERNEL_TYPES_H
#define SCHEDTEL_CORE_KERNEL_TYPES_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

typedef int pid_t;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[0];
};

/* Before 6.1 (7f203bc89eb6, "cgroup: Replace cgroup->ancestor_ids[] with ->ancestors[]"). */
struct cgroup___ids {
	__u64 ancestor_ids[0];
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

typedef struct {
	unsigned int val;
} kuid_t;

struct cred {
	kuid_t uid;
};

struct load_weight {
	unsigned long weight;
};

struct sched_entity {
	struct load_weight load;
	__u64 sum_exec_runtime;
	__u64 prev_sum_exec_runtime;
	__s64 vlag;			/* since 6.6: EEVDF */
	unsigned char sched_delayed;	/* since 6.12: queued, but only until its lag is spent */
};

struct sched_info {
	unsigned long long last_queued;
};

struct thread_info {
	__u32 cpu;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int __state;
	unsigned int flags;
	unsigned int on_cpu;		/* int up to 7.1, u8 in 7.2: libbpf makes a load fit where both are unsigned */
	unsigned int on_rq;
	int static_prio;
	unsigned int policy;
	int exit_code;
	pid_t pid;
	pid_t tgid;
	unsigned in_iowait : 1;
	struct task_struct *real_parent;
	__u64 start_time;
	__u64 start_boottime;
	const struct cred *cred;
	char comm[16];
	struct css_set *cgroups;
	struct sched_entity se;
	struct sched_info sched_info;
};

/* Only x86 kernels have this type. */
struct cpuinfo_x86 {
	unsigned char x86;
};

/* Before 5.14 (2f064a59a11f, "sched: Change task_struct::state"). */
struct task_struct___state {
	volatile long state;
};

/* Before 5.16 (bcf9033e5449, "sched: move CPU field back into thread_info if THREAD_INFO_IN_TASK=y"). */
struct task_struct___cpu {
	unsigned int cpu;
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 session_id;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

/* kernel/bpf/task_iter.c. The iterator is on the program's stack. */
struct bpf_iter_task {
	__u64 __opaque[3];
} __attribute__((aligned(8)));

enum { BPF_TASK_ITER_ALL_THREADS = 1 };

/* include/linux/cpuhotplug.h. The values are those of the running kernel. */
enum cpuhp_state {
	CPUHP_BRINGUP_CPU,
	CPUHP_TEARDOWN_CPU,
};

/* include/linux/sched.h */
#define SCHED_FIFO 1
#define SCHED_RR 2
#define SCHED_DEADLINE 6
#define TASK_UNINTERRUPTIBLE 0x00000002
#define TASK_REPORT 0x0000007f
#define TASK_DEAD 0x00000080
#define TASK_NOLOAD 0x00000400
#define TASK_NEW 0x00000800
#define TASK_RTLOCK_WAIT 0x00001000
#define TASK_FROZEN 0x00008000
#define PF_EXITING 0x00000004
#define PF_KTHREAD 0x00200000
#define PRIO_OF_NICE_0 120

#endif
