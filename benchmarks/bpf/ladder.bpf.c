// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The ladder: four scheduler events in; nothing but time spent out.
 *
 * Each rung does one thing more than the rung before, so the difference of two rungs is the price of that thing. It is
 * compiled once for each rung, with -DRUNG=n. What a rung does has the kind and the size of what schedtel does; no
 * telemetry comes out of it.
 *
 *   1 empty       attached, and nothing else: what the kernel takes to call a program
 *   2 timestamp   and one bpf_ktime_get_ns(): the floor of anything that measures time
 *   3 storage     and the task's state: two lookups at a switch, one at a wakeup or exit, one allocation at a fork
 *   4 accounting  and the CPU's state, sequence counts, the time since the last event added to a bank
 *   5 histogram   and log-linear buckets, the task's and the CPU's; at an exit, a record in the ring
 *
 * The top of the ladder is schedtel itself. Its sizes are given at compilation as well: RECORD_BYTES and STATE_BYTES.
 */
#include "../../bpf/core/kernel_types.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

enum { EMPTY = 1, TIMESTAMP, STORAGE, ACCOUNTING, HISTOGRAM };

#define inlined inline __attribute__((always_inline))
#define CPUS 4096
#define TASK_BUCKETS 56
#define FINE_BUCKETS 448

/* As large as schedtel's, and what an event touches is in the same cache lines. */
struct state {
	__u32 seq;
	__u32 phase;
	__u64 since_ns;
	__u64 wait_since_ns;
	__u64 reserved[12];
	__u64 time_ns[8];
	__u32 switches;
	__u32 wakeups;
	__u32 histogram[TASK_BUCKETS];
	__u8 rest[STATE_BYTES - 416];
};

struct cpu_state {
	__u32 seq;
	__u32 phase;
	__u64 since_ns;
	__u64 time_ns[8];
	__u64 sum_ns;
	__u64 max_ns;
	__u32 histogram[FINE_BUCKETS];
};

__u64 sink;

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct state);
} states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, CPUS);
	__type(key, __u32);
	__type(value, struct cpu_state);
} cpus SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} ring SEC(".maps");

static inlined __u32 log2_floor(__u32 x)
{
	__u32 result = 0;

	if (x >> 16) { result = 16; x >>= 16; }
	if (x >> 8) { result += 8; x >>= 8; }
	if (x >> 4) { result += 4; x >>= 4; }
	if (x >> 2) { result += 2; x >>= 2; }
	return result + (x >> 1);
}

static inlined __u32 bucket_of(__u64 ns)
{
	__u64 units = ns >> 6;
	__u32 exponent, bucket = FINE_BUCKETS - 1;

	if (units < 16) {
		bucket = units;
	} else if (!(units >> 31)) {
		exponent = log2_floor(units) - 4;
		bucket = exponent * 16 + (units >> exponent);
	}
	asm volatile("" : "+r"(bucket));	/* the verifier needs to see the check that clang could drop */
	return bucket < FINE_BUCKETS ? bucket : FINE_BUCKETS - 1;
}

static inlined void begin(__u32 *seq)
{
	*(volatile __u32 *)seq = *seq + 1;
}

static inlined struct state *state_of(struct task_struct *task)
{
	return bpf_task_storage_get(&states, task, 0, 0);
}

static inlined void account(struct state *state, __u64 now, __u32 phase)
{
	begin(&state->seq);
	state->time_ns[state->phase & 7] += now - state->since_ns;
	state->since_ns = now;
	state->phase = phase;
	begin(&state->seq);
}

static inlined void account_cpu(struct cpu_state *cpu, __u64 now, __u32 phase)
{
	begin(&cpu->seq);
	cpu->time_ns[cpu->phase & 7] += now - cpu->since_ns;
	cpu->since_ns = now;
	cpu->phase = phase;
	begin(&cpu->seq);
}

static inlined void sample(struct state *state, struct cpu_state *cpu, __u64 ns)
{
	__u32 bucket = bucket_of(ns);

	state->histogram[bucket >> 3]++;
	cpu->histogram[bucket]++;
	cpu->sum_ns += ns;
	if (ns > cpu->max_ns)
		cpu->max_ns = ns;
}

static inlined struct cpu_state *this_cpu(void)
{
	__u32 number = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&cpus, &number);
}

SEC("tp_btf/sched_switch")
int rung_switch(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1], *next = (void *)ctx[2];
	struct state *from, *to;
	struct cpu_state *cpu;
	__u64 now;

	if (RUNG < TIMESTAMP)
		return 0;
	now = bpf_ktime_get_ns();
	if (RUNG < STORAGE) {
		sink = now;
		return 0;
	}
	from = prev->pid ? state_of(prev) : 0;
	to = next->pid ? state_of(next) : 0;
	if (RUNG < ACCOUNTING || !(cpu = this_cpu())) {
		if (from)
			from->since_ns = now;
		if (to)
			to->since_ns = now;
		return 0;
	}
	account_cpu(cpu, now, !!to);
	if (from) {
		account(from, now, 1);
		from->switches++;
		if (RUNG >= HISTOGRAM)
			sample(from, cpu, now - from->wait_since_ns);
	}
	if (to) {
		if (RUNG >= HISTOGRAM)
			sample(to, cpu, now - to->since_ns);
		account(to, now, 2);
	}
	return 0;
}

SEC("tp_btf/sched_wakeup")
int BPF_PROG(rung_wakeup, struct task_struct *task)
{
	struct state *state;
	__u64 now;

	if (RUNG < TIMESTAMP)
		return 0;
	now = bpf_ktime_get_ns();
	if (RUNG < STORAGE) {
		sink = now;
		return 0;
	}
	state = state_of(task);
	if (!state)
		return 0;
	state->wait_since_ns = now;
	if (RUNG >= ACCOUNTING) {
		account(state, now, 3);
		state->wakeups++;
	}
	return 0;
}

SEC("tp_btf/task_newtask")
int BPF_PROG(rung_fork, struct task_struct *task)
{
	struct state *state;
	__u64 now;

	if (RUNG < TIMESTAMP)
		return 0;
	now = bpf_ktime_get_ns();
	if (RUNG < STORAGE) {
		sink = now;
		return 0;
	}
	state = bpf_task_storage_get(&states, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (state)
		state->since_ns = state->wait_since_ns = now;
	return 0;
}

/* An exit has nothing to put into a histogram: the last rung sends a record as large as schedtel's. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(rung_exit, struct task_struct *task)
{
	struct state *state;
	void *record;
	__u64 now;

	if (RUNG < TIMESTAMP)
		return 0;
	now = bpf_ktime_get_ns();
	if (RUNG < STORAGE) {
		sink = now;
		return 0;
	}
	state = state_of(task);
	if (!state)
		return 0;
	state->since_ns = now;
	if (RUNG >= ACCOUNTING)
		account(state, now, 4);
	if (RUNG < HISTOGRAM)
		return 0;
	record = bpf_ringbuf_reserve(&ring, RECORD_BYTES, 0);
	if (!record)
		return 0;
	__builtin_memcpy(record, state->time_ns, RECORD_BYTES);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
