/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPUs that go offline and come online: a step of the kernel's CPU hotplug in; the CPU's state, and that of the last
 * task that ran there, changed.
 *
 * The kernel delivers no tracepoint on a CPU that is not online (cpu_online() is a condition of every tracepoint). So
 * the last switch on a CPU reaches no program. It leads from the stopper, which takes the CPU down (take_cpu_down(),
 * kernel/cpu.c), to the idle task. The programs here make up for it. They run on another CPU while this one is dead,
 * when no other program can write its state or the stopper's.
 */
#ifndef SCHEDTEL_CORE_HOTPLUG_H
#define SCHEDTEL_CORE_HOTPLUG_H

/*
 * A CPU's stopper, the kernel thread "migration/<CPU>". A program at a step of CPU hotplug has no pointer to that task.
 * It finds the state by the task's identity, if the state is in the task cache.
 */
struct stopper {
	__u64 identity;			/* 0: not seen yet */
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);		/* set to the number of possible CPUs before load */
	__type(key, __u32);
	__type(value, struct stopper);
} stoppers SEC(".maps");

/* A comparison of the whole name would become a call. No other kernel thread of this policy has these letters there. */
static inlined bool is_stopper(struct task_struct *task)
{
	return task->policy == SCHED_FIFO && task->flags & PF_KTHREAD && task->comm[0] == 'm' &&
	       task->comm[1] == 'i' && task->comm[8] == 'n' && task->comm[9] == '/';
}

/* Stoppers are met by the seeding, and those of CPUs that come online for the first time by the flush. */
static inlined void note_stopper(struct task_struct *task)
{
	__u32 number = cpu_field(task);
	struct stopper *stopper;

	if (likely(!is_stopper(task)))
		return;
	stopper = bpf_map_lookup_elem(&stoppers, &number);
	if (stopper)
		stopper->identity = identity_of(task);
}

/* NULL where it is not in the task cache. */
static inlined struct task_state *stopper_of(__u32 number)
{
	struct stopper *stopper = bpf_map_lookup_elem(&stoppers, &number);

	return stopper && stopper->identity ? state_in_slot(stopper->identity) : 0;
}

/*
 * The stopper has left its CPU, at a time. Where the switch that brought it in was not delivered either, it is
 * accounted as on the CPU from its wakeup on.
 */
verified_once int stopper_leaves(struct task_state *state, struct cpu_state *cpu, __u32 number, __u64 time)
{
	struct cpu_bank *bank;
	struct moment at;

	if (!state || !cpu)
		return 0;
	if (state->seqcount.flags & (TASK_HIDDEN | TASK_COMPLETED) || phase_blocked(state->seqcount.phase))
		return 0;
	miss_event(state->since_ns);
	if (state->seqcount.phase != PHASE_RUNNING) {
		at = not_reported(state, &control.grid, state->since_ns);
		bank = account_cpu(cpu, at);
		cpu->seqcount.phase = CPU_BUSY;
		task_takes_cpu(state, at, number, bank, 0);
	}
	at = not_reported(state, &control.grid, time);
	task_blocks(state, at, 0, account_cpu(cpu, at));
	return 0;
}

/*
 * A CPU is dead: it runs nothing until it is brought up again. Its stopper's last slice was the kernel's work of taking
 * it down, which has just been done, so that slice ends now.
 */
static outlined int cpu_dies(__u32 number)
{
	struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &number);
	struct task_state *state = stopper_of(number);
	__u64 now = bpf_ktime_get_ns();

	if (!cpu)
		return 0;
	write_begin(&cpu->seqcount);
	stopper_leaves(state, cpu, number, now);
	account_cpu(cpu, moment_of(&control.grid, now));
	cpu->seqcount.phase = CPU_OFFLINE;
	write_end(&cpu->seqcount);
	return 0;
}

/* The kernel is about to bring a CPU up, which is idle until its first event. */
static outlined int cpu_comes(__u32 number)
{
	struct cpu_state *cpu = bpf_map_lookup_elem(&cpus, &number);

	if (!cpu || (cpu->seqcount.phase != CPU_OFFLINE && cpu->seqcount.phase != CPU_UNKNOWN))
		return 0;
	write_begin(&cpu->seqcount);
	account_cpu(cpu, moment_of(&control.grid, bpf_ktime_get_ns()));
	cpu->seqcount.phase = CPU_IDLE;
	write_end(&cpu->seqcount);
	return 0;
}

/*
 * A task is on a CPU that is dead: it is a stopper whose state is in task storage, so that cpu_dies() has not found it.
 * It left when the CPU died. No event of it is delivered before the CPU is brought up; if one comes now all the same,
 * the compare-and-swap fails, and the next flush looks again.
 */
verified_once int leave_dead_cpu(struct task_state *state)
{
	union seqcount seen, opened;
	struct cpu_state *cpu;
	__u32 number;

	if (!state)
		return 0;
	opened.whole = seen.whole = *(volatile __u64 *)&state->seqcount.whole;
	number = seen.cpu;
	cpu = bpf_map_lookup_elem(&cpus, &number);
	if (!cpu || cpu->seqcount.phase != CPU_OFFLINE || seen.phase != PHASE_RUNNING || (seen.seq & 1))
		return 0;
	opened.seq++;
	if (__sync_val_compare_and_swap(&state->seqcount.whole, seen.whole, opened.whole) != seen.whole)
		return 0;
	machine_order();
	miss_event(state->since_ns);
	account(state, not_reported(state, &control.grid, cpu->since_ns))->voluntary_switches++;
	state->seqcount.phase = PHASE_BLOCKED;
	state->burst_since_ns = 0;	/* its CPU's bank may be closed, so the burst becomes no sample */
	write_end(&state->seqcount);
	return 0;
}

#endif
