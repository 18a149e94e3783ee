/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What bcc and the kernel give to the programs of bcc.c, for a build in user space: a table is an array of the caller's
 * (struct replay), and a helper answers from the current event.
 */
#ifndef SCHEDTEL_REPLAY_KERNEL_H
#define SCHEDTEL_REPLAY_KERNEL_H

static __thread struct replay *machine;

#define CPUS machine->cpu_count
#define SLOTS machine->slot_count
#define TIDS machine->tid_count
#define PREEMPTION_CPUS machine->cpu_count
#define RUNNABLE_STATES 0x100
#define DEAD_STATES 0x10
#define SLEEPING_STATE 1
#define BPF_F_MMAPABLE 0

#define BPF_F_TABLE(kind, key, leaf, name, entries, flags) \
	static inline leaf *name##_lookup(key *index) \
	{ \
		return *index < (entries) ? &machine->name[*index] : 0; \
	} \
	static const struct { leaf *(*lookup)(key *); } name = { name##_lookup }

/* There is no filter, and no trace tells of cgroups. */
static const struct settings settings = { .preemptions = PREEMPTIONS_BY_COMM };

#include "../bcc/tracepoint_args.h"

static u32 current_tid(void);
static u32 current_tgid(void);

static inline u64 bpf_ktime_get_ns(void) { return machine->event->time_ns; }
static inline u64 bpf_ktime_get_boot_ns(void) { return 0; }
static inline u32 bpf_get_smp_processor_id(void) { return machine->event->cpu; }
static inline u64 bpf_get_current_cgroup_id(void) { return 0; }
static inline u64 bpf_get_current_ancestor_cgroup_id(int level) { (void)level; return 0; }
static inline u64 bpf_get_current_uid_gid(void) { return 0; }
static inline u64 bpf_get_current_pid_tgid(void) { return (u64)current_tgid() << 32 | current_tid(); }

static inline void bpf_get_current_comm(void *to, u32 size)
{
	__builtin_memcpy(to, machine->event->comm, size);
}

/* The programs call it only to read at address 0, where it leaves zeros. */
static inline void bpf_probe_read_kernel(void *to, u32 size, const void *from)
{
	(void)from;
	__builtin_memset(to, 0, size);
}

#endif
