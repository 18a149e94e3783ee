/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tasks on a CPU: the tid that a switch or exit names in; the slot of the task that is on the CPU, after what was
 * missed before, out.
 */
#ifndef SCHEDTEL_BCC_SWITCH_H
#define SCHEDTEL_BCC_SWITCH_H

static inlined void takes_cpu(struct slot *slot, struct slot_cpu *cpu, struct moment at, struct cpu_bank *bank)
{
	u32 number = bpf_get_smp_processor_id();
	s64 wait = task_takes_cpu(&slot->state, at, number, bank, slot);

	if (settings.preemptions && wait >= 0)
		tell_preemption(preemptions.lookup(&number),
				slot->state.selected ? group_of(slot) : group_of_kind(GROUP_OTHER),
				&slot->state.preemptor, wait, cpu->cpu.window);
}

/*
 * The slot of the task that leaves a CPU. It is the one that came in, whatever became of its tid since: a task that
 * reaps itself runs on for a moment, and its tid may have a new owner by then. There are two exceptions. Switches may
 * have been missed. And during an exec by a thread that is not the leader, the thread and its dead leader have
 * exchanged their tids before any event tells of it.
 */
static inlined u32 leaving(struct slot_cpu *cpu, u32 tid)
{
	u32 index = cpu->slot, other, tgid;
	struct slot *slot = slot_at(index), *leader;

	if (likely(slot && slot->tid == tid))
		return index;
	other = index_of(tid);
	tgid = bpf_get_current_pid_tgid() >> 32;
	if (!slot || slot->tgid != tgid)
		return other;
	if (completed(slot))
		return index;
	leader = slot_at(other);
	if (tid != tgid || (leader && !completed(leader)))
		return other;
	take_over(slot, index, tid);
	return index;
}

/* ---- events that were not delivered ---- */

/* When they may have happened: after the last events of the task and of the CPU. */
static inlined struct moment unseen_moment(struct slot *slot, struct slot_cpu *cpu, const struct grid *grid)
{
	u64 since = window_start(grid, open_window(grid));

	if (since < slot->state.since_ns)
		since = slot->state.since_ns;
	if (since < cpu->cpu.since_ns)
		since = cpu->cpu.since_ns;
	return moment_of(grid, since);
}

/* A task is on this CPU, and no event brought it there; see core/switch.h. */
static inlined void enter_unseen(struct slot *slot, struct slot_cpu *cpu, const struct grid *grid)
{
	struct moment at = unseen_moment(slot, cpu, grid);
	struct cpu_bank *bank = account_cpu(&cpu->cpu, at);

	miss_event(at.now);
	cpu->cpu.seqcount.phase = CPU_BUSY;
	takes_cpu(slot, cpu, at, bank);
}

/*
 * The task that came in last is not the one that goes out: its own leaving was not delivered, and after that the CPU
 * may have done anything. The kernel may deliver no events while it runs a task that it protects from tracing. So the
 * time of the task itself cannot be told from what came after it, and all of it is untracked.
 */
static inlined void leave_unseen(struct slot *slot, struct slot_cpu *cpu, const struct grid *grid)
{
	struct moment at = unseen_moment(slot, cpu, grid);

	miss_event(at.now);
	task_blocks(&slot->state, at, 0, account_cpu(&cpu->cpu, at));
	cpu->cpu.seqcount.phase = CPU_UNTRACKED;
}

/* The slot of the task that is on this CPU and has this tid, after what was missed before. 0 where there is none. */
static inlined u32 occupant(struct slot_cpu *cpu, u32 tid, s32 prio, u64 now, const struct grid *grid)
{
	struct slot *before = slot_at(cpu->slot);
	u32 index = tid ? leaving(cpu, tid) : 0;

	if (unlikely(before && cpu->slot != index && followed(before) &&
		     before->state.seqcount.phase == PHASE_RUNNING &&
		     before->state.seqcount.cpu == (__u16)bpf_get_smp_processor_id()))
		leave_unseen(before, cpu, grid);
	if (unlikely(tid && !index))
		index = begin_late(cpu, tid, prio, now);
	before = slot_at(index);
	if (unlikely(before && followed(before) && !phase_on_cpu(before->state.seqcount.phase)))
		enter_unseen(before, cpu, grid);
	return index;
}

/* ---- the two halves of a switch ---- */

static inlined void leaves(struct slot *slot, struct moment at, s64 prev_state, s32 prio, struct cpu_bank *bank)
{
	int runnable = !prev_state || prev_state & RUNNABLE_STATES;

	if (unlikely(!runnable && prev_state & DEAD_STATES)) {
		slot->status |= SLOT_GONE;
		if (followed(slot)) {	/* its exit was not delivered: it completes now, its tear-down included */
			miss_event(slot->state.since_ns);
			refresh(slot, slot->state.window);
			task_completes(&slot->state, at, bank);
		}
	}
	if (unlikely(!followed(slot)))
		return;
	if (runnable)
		task_is_preempted(&slot->state, at);
	else
		task_blocks(&slot->state, at, 0, bank);
	if (unlikely(slot->refreshed != (u8)slot->state.window)) {
		slot->prio = prio;
		refresh(slot, slot->state.window);
	}
}

/* victim: the slot of the task that has just lost this CPU while runnable; NULL where there is none. */
static inlined void enters(struct slot_cpu *cpu, u32 index, struct slot *victim, struct moment at,
			   struct cpu_bank *bank)
{
	struct slot *slot = slot_at(index);

	cpu->slot = index;
	cpu->cpu.seqcount.phase = slot && completed(slot) ? CPU_TEARDOWN : CPU_UNTRACKED;
	if (victim)
		victim->state.preemptor = slot ? group_of(slot) : group_of_kind(GROUP_OTHER);
	if (likely(slot && followed(slot))) {
		cpu->cpu.seqcount.phase = CPU_BUSY;
		takes_cpu(slot, cpu, at, bank);
	}
}

/* ---- CPUs that go offline and come online; see core/hotplug.h ---- */

/* A CPU is dead. The task that came in last took it down, and no event tells that it has left. */
static inlined void cpu_dies(u32 number, struct control *control, u64 now)
{
	struct slot_cpu *cpu = cpus.lookup(&number);
	struct slot *slot;
	struct moment at;

	if (!cpu)
		return;
	write_begin(&cpu->cpu.seqcount);
	slot = slot_at(cpu->slot);
	if (slot && followed(slot) && slot->state.seqcount.phase == PHASE_RUNNING) {
		miss_event(slot->state.since_ns);
		at = not_reported(&slot->state, &control->grid, now);
		task_blocks(&slot->state, at, 0, account_cpu(&cpu->cpu, at));
	}
	account_cpu(&cpu->cpu, moment_of(&control->grid, now));
	cpu->slot = 0;
	cpu->cpu.seqcount.phase = CPU_OFFLINE;
	write_end(&cpu->cpu.seqcount);
}

/* The kernel is about to bring a CPU up, which is idle until its first event. */
static inlined void cpu_comes(u32 number, struct control *control, u64 now)
{
	struct slot_cpu *cpu = cpus.lookup(&number);

	if (!cpu || (cpu->cpu.seqcount.phase != CPU_OFFLINE && cpu->cpu.seqcount.phase != CPU_UNKNOWN))
		return;
	write_begin(&cpu->cpu.seqcount);
	account_cpu(&cpu->cpu, moment_of(&control->grid, now));
	cpu->cpu.seqcount.phase = CPU_IDLE;
	write_end(&cpu->cpu.seqcount);
}

#endif
