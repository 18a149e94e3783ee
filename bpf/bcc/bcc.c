// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The bcc backend's programs, for kernels without BTF or too old for core.bpf.c: tracepoints in; slots of tasks, banks
 * of CPUs and preemptions, in mapped arrays, out. They are compiled on the machine that runs them.
 *
 * They run the same state machine (machine/machine.h) over plain tracepoints and maps. They read the fields that the
 * tracepoints print and look into no struct of the kernel, so headers of any version will do. Of the current task
 * (which leaves its CPU, forks, execs or exits) they may also ask the identity. A task's state is in a slot of a mapped
 * array; the collector reads the slots in place, so there is no flush program and no ring.
 *
 * It needs Linux 5.8 or later (mapped arrays 5.5, the boot clock 5.8). It cannot follow more tasks than there are
 * slots; the losses count those. It differs from core in what tracepoints do not say: iowait, exit codes, the policy of
 * short lives.
 *
 * The kernel runs no tracepoint program on a CPU on which another is running (trace_call_bpf(),
 * kernel/trace/bpf_trace.c). So none of these programs can be interrupted by another one, and a CPU's own memory needs
 * no lock. But a wakeup in an interrupt that hits one of them is lost; the state machine notices that later, and counts
 * it.
 *
 * The backend puts before this: `settings`, SLOTS, TIDS, CPUS, PREEMPTION_CPUS, what sched_switch prints for runnable
 * and for dead (RUNNABLE_STATES, DEAD_STATES), and the steps of CPU hotplug (CPU_UP_STEP, CPU_DOWN_STEP). It passes one text to bcc, with all of these files in it
 * (schedtel/kernel/bcc/sources.py), since bcc rewrites lookups in tables in the main file alone.
 */
#undef likely
#undef unlikely
/* bcc knows no calls between functions. */
#define verified_once static inline __attribute__((always_inline))
#define outlined inline __attribute__((always_inline))

#include "../records.h"
#include "tables.h"
#include "identity.h"
#include "lives.h"
#include "switch.h"

/* ---- hot programs ---- */

int on_switch(struct tracepoint__sched__sched_switch *args)
{
	u32 prev = args->prev_pid, next = args->next_pid, index;
	s64 prev_state = args->prev_state;
	u64 now = bpf_ktime_get_ns();
	struct slot_cpu *cpu = this_cpu();
	struct control *control = the_control();
	struct slot *slot, *victim = 0;
	struct cpu_bank *bank;
	struct moment at;

	if (!cpu || !control)
		return 0;
	write_begin(&cpu->cpu.seqcount);
	slot = slot_at(occupant(cpu, prev, args->prev_prio, now, &control->grid));
	at = moment_of(&control->grid, now);
	bank = account_cpu(&cpu->cpu, at);
	bank->switches++;
	if (slot)
		leaves(slot, at, prev_state, args->prev_prio, bank);
	if (settings.preemptions && slot && slot->state.seqcount.phase == PHASE_PREEMPT_WAIT) {
		victim = slot;
		victim->state.preemptor = group_of_kind(GROUP_IDLE);
	}
	cpu->slot = 0;
	cpu->cpu.seqcount.phase = CPU_IDLE;
	if (next) {
		index = index_of(next);
		if (unlikely(!index))
			index = begin_late(cpu, next, args->next_prio, now);
		enters(cpu, index, victim, at, bank);
	}
	write_end(&cpu->cpu.seqcount);
	return 0;
}

/* Of a task without a phase yet, a wakeup says that it was asleep. */
int on_wakeup(struct tracepoint__sched__sched_wakeup *args)
{
	u32 tid = args->pid, index = index_of(tid);
	u64 now = bpf_ktime_get_ns();
	struct slot_cpu *cpu = this_cpu();
	struct control *control = the_control();
	struct slot *slot;

	if (!cpu || !control)
		return 0;
	if (unlikely(!index))
		index = begin_late(cpu, tid, args->prio, now);
	slot = slot_at(index);
	if (likely(slot && followed(slot)) &&
	    (wakeup_matters(&slot->state) || slot->state.seqcount.phase == PHASE_UNKNOWN))
		task_wakes(&slot->state, moment_of(&control->grid, now));
	return 0;
}

/* ---- births, new names, deaths ---- */

int on_newtask(struct tracepoint__task__task_newtask *args)
{
	struct slot_cpu *cpu = this_cpu();
	struct control *control = the_control();

	if (cpu && control && args->pid)
		begin_life(cpu, args->pid, args->clone_flags, moment_of(&control->grid, bpf_ktime_get_ns()));
	return 0;
}

/* The parent is still the current task. If the fork found no slot, or was not delivered, the life begins here. */
int on_arrival(struct tracepoint__sched__sched_wakeup_new *args)
{
	struct slot_cpu *cpu = this_cpu();
	struct control *control = the_control();
	struct slot *slot = slot_at(index_of(args->pid));
	struct moment at;

	if (!cpu || !control)
		return 0;
	at = moment_of(&control->grid, bpf_ktime_get_ns());
	if (unlikely(!slot || completed(slot) || slot->state.seqcount.phase != PHASE_NOT_ALIVE)) {
		slot = begin_life(cpu, args->pid, 0, at);
		if (slot)
			slot->anonymous = 1;
	}
	if (unlikely(!slot)) {
		lose_task();
		return 0;
	}
	slot->prio = args->prio;
	task_arrives(&slot->state, at);
	return 0;
}

int on_exec(struct tracepoint__sched__sched_process_exec *args)
{
	u32 tid = args->pid, index = index_of(args->old_pid);
	struct control *control = the_control();
	struct slot *slot = slot_at(index);

	if (slot && tid != slot->tid && !completed(slot))
		take_over(slot, index, tid);
	slot = slot_at(index_of(tid));
	if (!slot || !control || !followed(slot))
		return 0;
	refresh(slot, slot->state.window);
	slot->state.selected = selects(slot);
	return 0;
}

/* The collector makes the last row: the slot stays as it is until it has been read. */
int on_exit(struct tracepoint__sched__sched_process_exit *args)
{
	u64 now = bpf_ktime_get_ns();
	struct slot_cpu *cpu = this_cpu();
	struct control *control = the_control();
	struct slot *slot;
	struct moment at;
	u32 index;

	if (!cpu || !control)
		return 0;
	write_begin(&cpu->cpu.seqcount);
	index = occupant(cpu, args->pid, args->prio, now, &control->grid);
	slot = slot_at(index);
	if (slot && followed(slot)) {
		refresh(slot, slot->state.window);
		at = moment_of(&control->grid, now);
		task_completes(&slot->state, at, account_cpu(&cpu->cpu, at));
		cpu->slot = index;
		cpu->cpu.seqcount.phase = CPU_TEARDOWN;
	}
	write_end(&cpu->cpu.seqcount);
	return 0;
}

/* ---- CPUs that go and come ---- */

/* The kernel's numbers of the two steps. Without them, and in replays, there is no CPU hotplug. */
#ifdef CPU_UP_STEP

/* On the way down, the kernel passes the same step towards a target below it. */
int on_cpu_step(struct tracepoint__cpuhp__cpuhp_enter *args)
{
	u32 number = args->cpu;
	struct control *control = the_control();

	if (control && args->idx == (int)CPU_UP_STEP && args->target > args->idx)
		cpu_comes(number, control, bpf_ktime_get_ns());
	return 0;
}

int on_cpu_step_done(struct tracepoint__cpuhp__cpuhp_exit *args)
{
	u32 number = args->cpu;
	struct control *control = the_control();

	if (control && args->idx == (int)CPU_DOWN_STEP && !args->ret)
		cpu_dies(number, control, bpf_ktime_get_ns());
	return 0;
}

#endif
