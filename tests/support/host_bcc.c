/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The bcc backend's programs on the host: scheduler events of a simulated machine in; pages of slots, CPUs and
 * preemptions out.
 *
 * It includes bpf/bcc/bcc.c itself. Macros make up for what bcc adds to C: a table is an array with a lookup function,
 * and a tracepoint's arguments are a struct.
 */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <linux/types.h>

typedef __u8 u8;
typedef __u32 u32;
typedef __s32 s32;
typedef __u64 u64;
typedef __s64 s64;

#define SLOTS 128
#define TIDS 1024
#define CPUS 16
#define PREEMPTION_CPUS CPUS
#define RUNNABLE_STATES 0x100
#define DEAD_STATES 0x30
#define CPU_UP_STEP 83
#define CPU_DOWN_STEP 144
#define BPF_F_MMAPABLE 0

#define BPF_F_TABLE(kind, key, leaf, name, entries, flags) \
	static leaf name##_pages[entries]; \
	static leaf *name##_lookup(key *index) \
	{ \
		return *index < entries ? &name##_pages[*index] : 0; \
	} \
	static struct { leaf *(*lookup)(key *); } name = { name##_lookup }

#include "../../bpf/records.h"

static struct settings settings;

#include "../../bpf/bcc/tracepoint_args.h"

/* A task's identity, by its tid: what helpers say of the current task. */
struct identity { u32 tgid, uid; char comm[16]; };

static struct {
	u64 now;
	u32 cpu, current;
	struct identity tasks[TIDS];
} host;

static u64 bpf_ktime_get_ns(void) { return host.now; }
static void bpf_probe_read_kernel(void *to, u32 size, const void *from) { memset(to, 0, size); }
static u64 bpf_ktime_get_boot_ns(void) { return host.now; }
static u32 bpf_get_smp_processor_id(void) { return host.cpu; }
static u64 bpf_get_current_cgroup_id(void) { return 1; }
static u64 bpf_get_current_ancestor_cgroup_id(int level) { return 1; }

static u64 bpf_get_current_pid_tgid(void)
{
	return (u64)host.tasks[host.current].tgid << 32 | host.current;
}

static u64 bpf_get_current_uid_gid(void)
{
	return host.tasks[host.current].uid;
}

static void bpf_get_current_comm(void *to, u32 size)
{
	memcpy(to, host.tasks[host.current].comm, size);
}

#include "../../bpf/bcc/bcc.c"

/* ---- the machine, for ctypes; a task is named by its tid, and the idle task by 0 ---- */

void bcc_reset(void)
{
	memset(&host, 0, sizeof(host));
	memset(controls_pages, 0, sizeof(controls_pages));
	memset(cpus_pages, 0, sizeof(cpus_pages));
	memset(slots_pages, 0, sizeof(slots_pages));
	memset(tids_pages, 0, sizeof(tids_pages));
	memset(preemptions_pages, 0, sizeof(preemptions_pages));
	memset(&settings, 0, sizeof(settings));
}

void bcc_task(u32 tid, u32 tgid, u32 uid, char *comm)
{
	host.tasks[tid].tgid = tgid;
	host.tasks[tid].uid = uid;
	strncpy(host.tasks[tid].comm, comm, sizeof(host.tasks[tid].comm) - 1);
}

static void happens(u64 now, u32 cpu, u32 current)
{
	host.now = now;
	host.cpu = cpu;
	host.current = current;
}

void bcc_fork(u64 now, u32 cpu, u32 parent, u32 tid, u64 clone_flags)
{
	struct tracepoint__task__task_newtask args = { tid, clone_flags };

	happens(now, cpu, parent);
	on_newtask(&args);
}

void bcc_arrive(u64 now, u32 cpu, u32 tid)
{
	struct tracepoint__sched__sched_wakeup_new args = { tid, 120 };

	happens(now, cpu, 0);
	on_arrival(&args);
}

void bcc_wake(u64 now, u32 cpu, u32 tid)
{
	struct tracepoint__sched__sched_wakeup args = { tid, 120 };

	happens(now, cpu, 0);
	on_wakeup(&args);
}

void bcc_exec(u64 now, u32 cpu, u32 tid, u32 old_tid)
{
	struct tracepoint__sched__sched_process_exec args = { tid, old_tid };

	happens(now, cpu, tid);
	on_exec(&args);
}

void bcc_exit(u64 now, u32 cpu, u32 tid)
{
	struct tracepoint__sched__sched_process_exit args = { tid, 120 };

	happens(now, cpu, tid);
	on_exit(&args);
}

void bcc_switch(u64 now, u32 cpu, u32 prev, u32 next, s64 prev_state)
{
	struct tracepoint__sched__sched_switch args = { prev, 120, prev_state, next, 120 };

	happens(now, cpu, prev);
	on_switch(&args);
}

void bcc_cpu_dies(u64 now, u32 cpu)
{
	struct tracepoint__cpuhp__cpuhp_exit args = { cpu, CPU_DOWN_STEP, 0 };
	struct tracepoint__cpuhp__cpuhp_enter further = { cpu, 0, CPU_UP_STEP };

	host.now = now;
	on_cpu_step_done(&args);
	on_cpu_step(&further);		/* its teardown, as the kernel goes on */
}

void bcc_cpu_comes(u64 now, u32 cpu)
{
	struct tracepoint__cpuhp__cpuhp_enter args = { cpu, CPU_UP_STEP + 1, CPU_UP_STEP };

	host.now = now;
	on_cpu_step(&args);
}

void *bcc_controls(void) { return controls_pages; }
void *bcc_cpus(void) { return cpus_pages; }
void *bcc_slots(void) { return slots_pages; }
void *bcc_tids(void) { return tids_pages; }
void *bcc_preemptions(void) { return preemptions_pages; }
void *bcc_settings(void) { return &settings; }
