/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The core backend's programs on the host: scheduler events of a simulated machine in; records and banks out.
 *
 * It includes bpf/core/core.bpf.c itself, and with it the state machine. The test sets the time, the CPU and what the
 * scheduler did. The programs run as they would in the kernel, and the records that they submit are drained from a ring
 * of chosen size. The page of the flush has room for as many.
 */
#include <string.h>

/* So few slots that most tests have tasks in the task cache and others in task storage. */
#define TASK_CACHE_SLOTS 4

/* The settings are constants to the verifier alone; a test changes them from one case to the next. */
#define const
#include "../../bpf/core/core.bpf.c"
#undef const

#define MOST_TASKS 256
#define MOST_CPUS 16
#define MOST_RECORDS 4096
#define IDLE (-1)

struct host_task {
	struct task_struct task;	/* first: the programs hold a pointer to it */
	struct task_state state;
	bool has_state;
	bool released;			/* unhashed, so the iterator does not reach it */
	struct cred cred;
};

/* Where a program is held up while another CPU acts: it asks for room, has looked in task storage, asks for the time. */
enum place { AT_ROOM, AT_LOOKUP, AT_CLOCK };

static struct {
	__u64 now;
	__u32 cpu, cpus, tasks;
	int refusals;			/* how many more allocations of task storage fail */
	struct cpu_state cpu_state[MOST_CPUS];
	struct preemptions preemptions[MOST_CPUS];
	struct stopper stoppers[MOST_CPUS];
	struct cache_slot task_cache[TASK_CACHE_SLOTS];
	bool cache_full;		/* from now on no task gets a slot */
	struct host_task task[MOST_TASKS];
	struct task_struct idle;
	struct task_struct *current;
	struct kernfs_node node;
	struct cgroup cgroup;
	struct cgroup *ancestors[1];	/* of cgroup: its flexible array */
	struct css_set cgroups;

	struct task_record record[MOST_RECORDS], page[MOST_RECORDS];
	__u32 reserved, ring_records;
	bool wants_room;
	bool turned_back;		/* the next switch's prev_state is stale: a signal kept its task running */

	/* What another CPU does when a program is at a place. It runs once. */
	void (*meanwhile)(void);
	enum place held_up;
} host;

/* ---- helpers ---- */

static void meanwhile(enum place place)
{
	void (*then)(void) = host.meanwhile;
	__u64 now = host.now;
	__u32 cpu = host.cpu;

	if (then && host.held_up == place) {
		host.meanwhile = 0;
		then();
		host.now = now;
		host.cpu = cpu;
	}
}

static __u64 bpf_ktime_get_ns(void)
{
	meanwhile(AT_CLOCK);
	return host.now;
}

static __u32 bpf_get_smp_processor_id(void)
{
	return host.cpu;
}

static void *bpf_get_current_task_btf(void)
{
	return host.current;
}

static void *bpf_task_storage_get(void *map, void *task, void *value, __u64 flags)
{
	struct host_task *of = task;
	struct task_state *found;

	if (task == &host.idle)
		return 0;
	if (!of->has_state && (flags & BPF_LOCAL_STORAGE_GET_F_CREATE)) {
		if (host.refusals > 0) {
			host.refusals--;
			return 0;
		}
		memset(&of->state, 0, sizeof(of->state));
		of->has_state = true;
	}
	found = of->has_state ? &of->state : 0;
	meanwhile(AT_LOOKUP);
	return found;
}

/* No program clears a row before it is used again, so the earlier contents are still there. */
static struct task_record *stale(struct task_record *record)
{
	return memset(record, 0xAA, sizeof(*record));
}

static void *bpf_map_lookup_elem(void *map, void *key)
{
	__u32 index = *(__u32 *)key;

	if (map == (void *)&page) {
		meanwhile(AT_ROOM);
		return index < host.ring_records ? stale(&host.page[index]) : 0;
	}
	if (map == (void *)&task_cache)
		return host.cache_full ? 0 : &host.task_cache[index];
	if (index >= host.cpus)
		return 0;
	if (map == (void *)&stoppers)
		return &host.stoppers[index];
	return map == (void *)&preemptions ? (void *)&host.preemptions[index] : &host.cpu_state[index];
}

static void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags)
{
	meanwhile(AT_ROOM);
	return host.reserved < host.ring_records ? stale(&host.record[host.reserved++]) : 0;
}

static void bpf_ringbuf_submit(void *record, __u64 flags)
{
}

static __u64 bpf_ringbuf_query(void *ring, __u64 flags)
{
	return host.reserved * sizeof(struct task_record);
}

/* The programs call it only to read at address 0, where it leaves zeros. */
static long bpf_probe_read_kernel(void *to, __u32 size, void *from)
{
	memset(to, 0, size);
	return -1;
}

static long bpf_seq_write(void *seq, void *bytes, __u32 length)
{
	host.wants_room = true;
	return 0;
}

/* ---- the machine, for ctypes ---- */

static struct task_struct *task_of(int task)
{
	return task == IDLE ? &host.idle : &host.task[task].task;
}

void host_reset(__u32 cpus, __u32 ring_records, __u64 first_edge)
{
	memset(&host, 0, sizeof(host));
	memset(&control, 0, sizeof(control));
	memset((void *)&settings, 0, sizeof(settings));
	host.cpus = cpus;
	host.ring_records = ring_records;
	host.cgroup.kn = &host.node;
	host.node.id = 1;
	host.cgroup.ancestors[0] = &host.cgroup;
	host.cgroups.dfl_cgrp = &host.cgroup;
	memset(control.grid.edge_ns, 0xFF, sizeof(control.grid.edge_ns));
	control.grid.edge_ns[0] = 0;
	control.grid.edge_ns[1] = first_edge;
	control.grid.epoch = 1;
}

/* A task as the kernel has it before any event, and as the iterator sees one that is older than tracing. */
void host_task(int task, int tid, int tgid, __u64 start_time, __u32 uid, char *comm)
{
	struct host_task *of = &host.task[task];

	memset(of, 0, sizeof(*of));
	of->cred.uid.val = uid;
	of->task.pid = tid;
	of->task.tgid = tgid;
	of->task.start_time = of->task.start_boottime = start_time;
	of->task.cred = &of->cred;
	of->task.cgroups = &host.cgroups;
	of->task.static_prio = PRIO_OF_NICE_0;
	of->task.se.load.weight = 1024 << 10;
	strncpy(of->task.comm, comm, sizeof(of->task.comm) - 1);
	if (task >= (int)host.tasks)
		host.tasks = task + 1;
}

/* What a task older than tracing is doing. */
void host_standing(int task, int on_cpu, __u32 cpu, int on_rq, __u32 state, int in_iowait, __u64 cpu_ns)
{
	struct task_struct *of = task_of(task);

	of->on_cpu = on_cpu;
	of->thread_info.cpu = cpu;
	of->on_rq = on_rq;
	of->__state = state;
	of->in_iowait = in_iowait;
	of->se.sum_exec_runtime = cpu_ns;
}

void host_kernel_thread(int task)
{
	task_of(task)->flags |= PF_KTHREAD;
}

/* The kernel thread that takes its CPU down. */
void host_stopper(int task)
{
	host_kernel_thread(task);
	task_of(task)->policy = SCHED_FIFO;
}

/* The kernel has taken a CPU down, at a step that another CPU takes. */
void host_cpu_dies(__u64 now, __u32 cpu)
{
	host.now = now;
	on_cpu_step_done(cpu, 0, CPUHP_TEARDOWN_CPU, 0);
	on_cpu_step(cpu, -1, CPUHP_BRINGUP_CPU);	/* its teardown, as the kernel goes on */
}

/* The kernel is about to bring a CPU up. */
void host_cpu_comes(__u64 now, __u32 cpu)
{
	host.now = now;
	on_cpu_step(cpu, CPUHP_TEARDOWN_CPU, CPUHP_BRINGUP_CPU);
}

void host_slice(int task, __u64 ns)
{
	task_of(task)->se.prev_sum_exec_runtime = 0;
	task_of(task)->se.sum_exec_runtime = ns;
}

void host_fork(__u64 now, int parent, int child)
{
	host.now = now;
	host.current = task_of(parent);
	task_of(child)->start_time = now;
	on_newtask(task_of(child));
}

void host_arrive(__u64 now, int task)
{
	host.now = now;
	on_arrival(task_of(task));
}

/* What the kernel writes to a task that it queues: the CPU, and the time by that run queue's clock. */
void host_queue(int task, __u32 cpu, __u64 stamp)
{
	task_of(task)->thread_info.cpu = cpu;
	task_of(task)->sched_info.last_queued = stamp;
}

/* The time that a wakeup would have. */
__u64 host_woken_at(__u64 now, __u32 cpu, int task, __u64 since)
{
	host.now = now;
	host.cpu = cpu;
	return woken_at(task_of(task), since);
}

void host_wake(__u64 now, int task)
{
	host.now = now;
	on_wakeup(task_of(task));
}

void host_exec(__u64 now, int task, char *comm)
{
	host.now = now;
	strncpy(task_of(task)->comm, comm, COMM_LENGTH - 1);
	on_exec(task_of(task));
}

void host_exit(__u64 now, __u32 cpu, int task)
{
	host.now = now;
	host.cpu = cpu;
	host.current = task_of(task);
	task_of(task)->flags |= PF_EXITING;
	on_exit(task_of(task));
}

void host_switch(__u64 now, __u32 cpu, int prev, int next, int preempt, __u32 prev_state, int iowait)
{
	__u64 ctx[4] = { preempt, (unsigned long)task_of(prev), (unsigned long)task_of(next), prev_state };

	host.now = now;
	host.cpu = task_of(prev)->thread_info.cpu = task_of(next)->thread_info.cpu = cpu;
	host.current = task_of(prev);
	task_of(prev)->__state = host.turned_back ? 0 : prev_state;
	host.turned_back = false;
	task_of(prev)->in_iowait = iowait;
	on_switch(ctx);
}

/* The iterators, from a task on. Returns the task to go on with once there is room, or -1 at the end. */
int host_iterate(int flushing, __u64 now, int from)
{
	struct bpf_iter_meta meta = {};
	struct bpf_iter__task ctx = { .meta = &meta };
	int task;

	host.now = now;
	for (task = from; task < (int)host.tasks; task++) {
		if (!host.task[task].task.pid || host.task[task].released)
			continue;
		ctx.task = task_of(task);
		if (flushing)
			flush(&ctx);
		else
			seed(&ctx);
		if (host.wants_room) {
			host.wants_room = false;
			return task + 1;
		}
	}
	return -1;
}

/* Empties the ring. Returns how many records it has copied. */
__u32 host_drain(struct task_record *to)
{
	__u32 count = host.reserved;

	memcpy(to, host.record, count * sizeof(*to));
	host.reserved = 0;
	return count;
}

/* Reaped and unhashed: the iterator no longer reaches the task, which may still have to leave its CPU. */
void host_release(int task)
{
	host.task[task].released = true;
}

void host_turn_back(void)
{
	host.turned_back = true;
}

/* How many states a writer is inside of; between two events there is none. */
int host_unfinished(void)
{
	int count = 0, i;

	for (i = 0; i < (int)host.tasks; i++)
		count += host.task[i].state.seqcount.seq & 1;
	for (i = 0; i < TASK_CACHE_SLOTS; i++)
		count += host.task_cache[i].state.seqcount.seq & 1;
	for (i = 0; i < (int)host.cpus; i++)
		count += host.cpu_state[i].seqcount.seq & 1;
	return count;
}

/* The place of a task's first slot in the task cache. That of its second is place ^ 1. */
int host_first_slot(int task)
{
	return place_of(identity_of(task_of(task)));
}

/* The slots that a task owns, a bit each: none or one of its two. */
int host_owned_slots(int task)
{
	int owned = 0, i;

	for (i = 0; i < TASK_CACHE_SLOTS; i++)
		owned |= (host.task_cache[i].owner == identity_of(task_of(task))) << i;
	return owned;
}

/* Whether the programs find a task's state in the task cache. */
int host_is_cached(int task)
{
	return cached_state_of(task_of(task)) != 0;
}

/* How many tasks own both of their slots. */
int host_own_both(void)
{
	struct cache_slot *slot = host.task_cache;
	int count = 0;

	for (; slot < host.task_cache + TASK_CACHE_SLOTS; slot += 2)
		count += slot[0].owner && slot[0].owner == slot[1].owner;
	return count;
}

/* Whether an event at this moment finds the bank of a task, or of a CPU, open, so that there is nothing to roll. */
int host_task_is_open(__u64 now, int task)
{
	return is_open(&any_state_of(task_of(task))->window, moment_of(&control.grid, now));
}

/* Which events of a task would take the fast path at this moment: 1 to leave its CPU, 2 to take one, 4 to wake. */
int host_fast_paths(__u64 now, int task)
{
	struct task_state *state = any_state_of(task_of(task));
	struct moment at = moment_of(&control.grid, now);

	if (!is_open(&state->window, at) || now < state->since_ns)
		return 0;
	return can_leave_fast(state, at) | can_take_cpu_fast(state, at) << 1 | can_wake_fast(state) << 2;
}

int host_cpu_is_open(__u64 now, __u32 cpu)
{
	return is_open(&host.cpu_state[cpu].window, moment_of(&control.grid, now));
}

void host_refuse_allocations(int count)
{
	host.cache_full = true;
	host.refusals = count;
}

void *host_page(void)
{
	return host.page;
}

void *host_control(void)
{
	return &control;
}

void *host_cpus(void)
{
	return host.cpu_state;
}

void *host_preemptions(void)
{
	return host.preemptions;
}

void *host_settings(void)
{
	return (void *)&settings;
}

void host_exiting(int task)
{
	task_of(task)->flags |= PF_EXITING;
}

void host_meanwhile(void (*meanwhile)(void), int place)
{
	host.meanwhile = meanwhile;
	host.held_up = place;
}

/* ---- pure parts ---- */

__u32 host_bucket_of(__u64 ns)
{
	return bucket_of(ns);
}

void host_buckets_of(__u64 *ns, __u32 *buckets, __u64 count)
{
	__u64 i;

	for (i = 0; i < count; i++)
		buckets[i] = bucket_of(ns[i]);
}

/* Adds so many samples to a bucket. kind: 0 is the histogram of waits, 1 that of bursts. */
void host_count(struct bank *bank, int kind, __u64 bucket, __u64 samples)
{
	while (samples--)
		count_sample(bank, kind ? bank->burst_tat_histogram : bank->wait_histogram, kind * TASK_BUCKETS,
			     bucket);
}

void host_fold(struct wide_bank *into, struct bank *bank)
{
	fold_bank(into, bank);
}
