// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The bcc loader's programs: compiled on the machine that runs them, for kernels without BTF or too old for core.bpf.c.
 *
 * What they do: the same state machine (machine.h) over plain tracepoints and maps. They read the fields that the
 * tracepoints print, and look into no struct of the kernel, so the headers of any version will do. Of the task that is
 * current (the one that leaves its CPU, forks, execs or exits) they may also ask who it is. A task's state lives in a
 * slot of a mapped array; the collector reads the slots in place, so there is no flush program and no ring.
 *
 * When it works well: Linux 5.8 or later (mapped arrays 5.5, the boot clock 5.8). When it cannot: more tasks than
 * slots, which is counted. It differs in what tracepoints do not say: iowait, exit codes, the policy of short lives.
 *
 * The kernel runs no tracepoint program on a CPU on which another is running (trace_call_bpf(),
 * kernel/trace/bpf_trace.c). So nothing here can be interrupted by another of these programs, and what is this CPU's
 * needs no lock; and a wakeup in an interrupt that hits one of them is lost, which machine.h finds out and counts.
 *
 * The loader puts before this: `settings`, SLOTS, TIDS, CPUS, and what sched_switch prints for runnable and for dead.
 */
#undef likely
#undef unlikely
/* bcc knows no calls between functions. */
#define verified_once static inline __attribute__((always_inline))

#include "records.h"

#define CLONE_THREAD_FLAG 0x00010000	/* include/uapi/linux/sched.h */
#define KTHREADD 2			/* the parent of all kernel threads (init/main.c) */

struct slot;
static inline void machine_discard(void);
static inline void machine_lost(void);
static inline void machine_missed(void);

/* The collector's side orders what it reads (membarrier), where a machine reorders stores. */
static inline void machine_order(void)
{
	asm volatile("" ::: "memory");
}

/* As in core.bpf.c. */
static inline void machine_clear(void *memory, u32 size)
{
	bpf_probe_read_kernel(memory, size, 0);
}

#include "slots.h"

BPF_F_TABLE("array", u32, struct control, controls, 1, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct slot_cpu, cpus, CPUS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct slot, slots, SLOTS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct tid_entry, tids, TIDS, BPF_F_MMAPABLE);
BPF_F_TABLE("array", u32, struct preemptions, preemptions, PREEMPTION_CPUS, BPF_F_MMAPABLE);

static inlined struct control *the_control(void)
{
	u32 zero = 0;

	return controls.lookup(&zero);
}

static inlined void machine_discard(void)
{
	struct control *control = the_control();

	if (control)
		lock_xadd(&control->losses.samples_discarded, 1);
}

static inlined void machine_lost(void)
{
	struct control *control = the_control();

	if (control)
		lock_xadd(&control->losses.state_failed, 1);
}

static inlined void machine_missed(void)
{
	struct control *control = the_control();

	if (control)
		lock_xadd(&control->losses.events_missed, 1);
}

static inlined struct slot_cpu *this_cpu(void)
{
	u32 cpu = bpf_get_smp_processor_id();

	return cpus.lookup(&cpu);
}

static inlined struct slot *slot_at(u32 index)
{
	return index ? slots.lookup(&index) : 0;
}

/* ---- which slot is a task's ---- */

static inlined int completed(struct slot *slot)
{
	return slot->state.seqcount.flags & TASK_COMPLETED;
}

static inlined int followed(struct slot *slot)
{
	return !(slot->state.seqcount.flags & (TASK_HIDDEN | TASK_COMPLETED));
}

/* The index of a tid's slot, of a task that has completed too; 0 for a tid that nothing is known of. */
static inlined u32 index_of(u32 tid)
{
	struct tid_entry *entry = tids.lookup(&tid);
	struct slot *slot;
	u32 index;

	if (!entry)
		return 0;
	slot = slot_at(entry->slot);
	if (likely(slot && slot->tid == tid))
		return entry->slot;
	index = *(volatile u32 *)&entry->seeded;
	slot = slot_at(index);
	if (!slot || slot->tid != tid)
		return 0;
	entry->slot = index;
	entry->seeded = 0;
	return index;
}

/* A free slot, all zeroes; 0 when there is none. */
static inlined u32 take_slot(struct slot_cpu *cpu)
{
	u32 head = cpu->free_head;

	if (head == *(volatile u32 *)&cpu->free_tail)
		return 0;
	cpu->free_head = head + 1;
	return cpu->free[head & (FREE_SLOTS - 1)];
}

/* ---- who a task is ---- */

/* Only where the task is current. */
static inlined void refresh(struct slot *slot, u32 window)
{
	slot->refreshed = window;
	slot->tgid = bpf_get_current_pid_tgid() >> 32;
	slot->uid = bpf_get_current_uid_gid();
	slot->cgroup_id = bpf_get_current_cgroup_id();
	if (settings.by_cgroup)
		slot->in_cgroup = bpf_get_current_ancestor_cgroup_id(settings.cgroup_level) == settings.cgroup_id;
	bpf_get_current_comm(&slot->comm, sizeof(slot->comm));
}

static inlined int comm_matches(struct slot *slot)
{
	u64 comm[2];

	__builtin_memcpy(comm, slot->comm, sizeof(comm));
	return (comm[0] & settings.comm_mask[0]) == settings.comm_value[0] &&
	       (comm[1] & settings.comm_mask[1]) == settings.comm_value[1];
}

/* The same conditions as schedtel/kernel/bcc/slots.py: selected() has for the next window. */
static inlined int selects(struct slot *slot)
{
	if (settings.kernel_threads == KERNEL_THREADS_EXCLUDE && slot->kernel_thread)
		return 0;
	if (settings.kernel_threads == KERNEL_THREADS_ONLY && !slot->kernel_thread)
		return 0;
	if (settings.by_process && !slot->state.in_process)
		return 0;
	if (settings.by_tid && slot->tid != settings.tid)
		return 0;
	if (settings.by_uid && slot->uid != settings.uid)
		return 0;
	if (settings.by_comm && !comm_matches(slot))
		return 0;
	if (settings.by_cgroup && !slot->in_cgroup)
		return 0;
	return 1;
}

/* ---- slots taken ---- */

/* Makes a slot findable: by its tid, and for the flush. */
static inlined void publish(struct slot *slot, struct tid_entry *entry, u32 index, u32 tid)
{
	machine_order();
	*(volatile u32 *)&slot->tid = tid;
	*(volatile u32 *)&entry->slot = index;
}

/* The end of this life was not delivered, and its tid has a new owner: it ended some time before now. */
static inlined void bury(struct slot *slot, struct moment at)
{
	machine_missed();
	write_begin(&slot->state.seqcount);
	account(&slot->state, at);
	slot->state.burst_since_ns = 0;
	slot->state.completion_ns = at.now;
	slot->state.seqcount.flags |= TASK_COMPLETED;
	slot->state.seqcount.phase = PHASE_NOT_ALIVE;
	slot->status |= SLOT_GONE;
	write_end(&slot->state.seqcount);
}

/*
 * At a fork: current is the parent, and its child is what it is, but for its tid. Only kthreadd has kernel threads for
 * children: helpers in user mode are forked by workers (kernel/umh.c).
 */
static inlined struct slot *begin_life(struct slot_cpu *cpu, u32 tid, u64 clone_flags, struct moment at)
{
	struct tid_entry *entry = tids.lookup(&tid);
	struct slot *slot = slot_at(index_of(tid)), *parent = slot_at(cpu->slot);
	u64 current = bpf_get_current_pid_tgid();
	u32 index;

	if (!entry)
		return 0;
	if (unlikely(slot && !completed(slot)))
		bury(slot, at);
	index = take_slot(cpu);
	slot = slot_at(index);
	if (unlikely(!slot)) {
		entry->slot = 0;	/* whoever had this tid before is not this task */
		return 0;
	}
	slot->state.flushed = (u32)at.epoch - 1;	/* nothing is owed of what was before it */
	refresh(slot, (u32)at.epoch - 1);
	slot->tgid = clone_flags & CLONE_THREAD_FLAG ? current >> 32 : tid;
	slot->kernel_thread = current >> 32 == KTHREADD;
	slot->start_boottime_ns = bpf_ktime_get_boot_ns();
	slot->state.seqcount.phase = PHASE_NOT_ALIVE;
	slot->state.fork_ns = at.now;
	slot->state.in_process = slot->tgid == settings.tgid;
	if (likely(parent && parent->tid == (u32)current)) {
		slot->policy = parent->policy;
		slot->state.in_process |= parent->state.in_process;
	}
	slot->tid = tid;
	slot->state.selected = selects(slot);
	publish(slot, entry, index, tid);
	return slot;
}

/* A task that is older than its first event: left-censored, and the collector knows more of it. */
static inlined u32 begin_late(struct slot_cpu *cpu, u32 tid, s32 prio, u64 now)
{
	struct tid_entry *entry = tids.lookup(&tid);
	u32 index = entry ? take_slot(cpu) : 0;
	struct slot *slot = slot_at(index);

	if (!slot || !entry)
		return 0;
	slot->anonymous = 1;
	slot->tgid = tid;
	slot->prio = prio;
	slot->state.left_censored = 1;
	slot->state.first_cpu_ns = FIRST_CPU_BEFORE_TRACING;
	slot->state.arrival_ns = now;
	slot->tid = tid;
	slot->state.selected = selects(slot);
	publish(slot, entry, index, tid);
	return index;
}

/* On exec, a thread that was not the leader takes over its leader's tid. */
static inlined void take_over(struct slot *slot, u32 index, u32 tid)
{
	struct tid_entry *entry = tids.lookup(&tid);

	if (!entry)
		return;
	slot->state.first_tid = slot->tid;
	publish(slot, entry, index, tid);
}

/*
 * ---- who preempted whom: by what the slots know, which is as of each task's first switch-out in a window ----
 *
 * Of a task that is older than tracing and has not left a CPU yet, they know nothing.
 */

static inlined struct group group_of(struct slot *slot)
{
	struct group group = {};

	if (settings.preemptions == PREEMPTIONS_BY_COMM)
		__builtin_memcpy(&group, slot->comm, sizeof(group));
	else
		group.words[0] = slot->cgroup_id;
	return group.words[0] ? group : group_of_kind(GROUP_OTHER);
}

static inlined void takes_cpu(struct slot *slot, struct slot_cpu *cpu, struct moment at, struct cpu_bank *bank)
{
	u32 number = bpf_get_smp_processor_id();
	s64 wait = task_takes_cpu(&slot->state, at, number, bank);

	if (settings.preemptions && wait >= 0)
		tell_preemption(preemptions.lookup(&number),
				slot->state.selected ? group_of(slot) : group_of_kind(GROUP_OTHER),
				&slot->state.preemptor, wait, cpu->cpu.window);
}

/* ---- hot programs ---- */

/*
 * The task that leaves a CPU is the one that came in, whatever became of its tid since: a task that reaps itself runs
 * on for a moment, and its tid may have a new owner by then. Not so where switches were missed, nor during an exec by
 * a thread that is not the leader, when it and the leader, who is dead, have exchanged their tids and no event has told.
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

/* When something that was missed may have happened: after the last events of the task and of the CPU. */
static inlined struct moment unseen_moment(struct slot *slot, struct slot_cpu *cpu, const struct grid *grid)
{
	u64 since = window_start(grid, open_window(grid));

	if (since < slot->state.since_ns)
		since = slot->state.since_ns;
	if (since < cpu->cpu.since_ns)
		since = cpu->cpu.since_ns;
	return moment_of(grid, since);
}

/* A task is on this CPU and no event brought it there; see core.bpf.c. */
static inlined void enter_unseen(struct slot *slot, struct slot_cpu *cpu, const struct grid *grid)
{
	struct moment at = unseen_moment(slot, cpu, grid);
	struct cpu_bank *bank = account_cpu(&cpu->cpu, at);

	machine_missed();
	cpu->cpu.seqcount.phase = CPU_BUSY;
	takes_cpu(slot, cpu, at, bank);
}

/*
 * The task that came in last is not the one that goes out: nobody told that it left, and after that the CPU may have
 * done anything. The kernel may deliver no events while it runs a task that it protects from tracing, so there the
 * task's own time cannot be told from what came after it; all of it is untracked.
 */
static inlined void leave_unseen(struct slot *slot, struct slot_cpu *cpu, const struct grid *grid)
{
	struct moment at = unseen_moment(slot, cpu, grid);

	machine_missed();
	task_blocks(&slot->state, at, 0, account_cpu(&cpu->cpu, at));
	cpu->cpu.seqcount.phase = CPU_UNTRACKED;
}

/* The slot of the task that is on this CPU and has this tid, after whatever was missed before it; 0: there is none. */
static inlined u32 occupant(struct slot_cpu *cpu, u32 tid, s32 prio, u64 now, const struct grid *grid)
{
	struct slot *before = slot_at(cpu->slot);
	u32 index = tid ? leaving(cpu, tid) : 0;

	if (unlikely(before && cpu->slot != index && followed(before) && before->state.seqcount.phase == PHASE_RUNNING &&
		     before->state.seqcount.cpu == (__u16)bpf_get_smp_processor_id()))
		leave_unseen(before, cpu, grid);
	if (unlikely(tid && !index))
		index = begin_late(cpu, tid, prio, now);
	before = slot_at(index);
	if (unlikely(before && followed(before) && !phase_on_cpu(before->state.seqcount.phase)))
		enter_unseen(before, cpu, grid);
	return index;
}

static inlined void leaves(struct slot *slot, struct slot_cpu *cpu, struct moment at, s64 prev_state, s32 prio,
			   struct cpu_bank *bank)
{
	int runnable = !prev_state || prev_state & RUNNABLE_STATES;

	if (unlikely(!runnable && prev_state & DEAD_STATES)) {
		slot->status |= SLOT_GONE;
		if (followed(slot)) {	/* its exit was not delivered: it completes now, its tear-down included */
			machine_missed();
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
		leaves(slot, cpu, at, prev_state, args->prev_prio, bank);
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
		slot = slot_at(index);
		cpu->slot = index;
		cpu->cpu.seqcount.phase = slot && completed(slot) ? CPU_TEARDOWN : CPU_UNTRACKED;
		if (victim)
			victim->state.preemptor = slot ? group_of(slot) : group_of_kind(GROUP_OTHER);
		if (likely(slot && followed(slot))) {
			cpu->cpu.seqcount.phase = CPU_BUSY;
			takes_cpu(slot, cpu, at, bank);
		}
	}
	write_end(&cpu->cpu.seqcount);
	return 0;
}

/* Of a task that nothing is known of yet, a wakeup says that it was asleep. */
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
	if (likely(slot && followed(slot)) && (wakeup_matters(&slot->state) || slot->state.seqcount.phase == PHASE_UNKNOWN))
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

/* Still the parent's doing: where there was no slot at the fork, or it was not delivered, this is the second chance. */
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
		machine_lost();
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

/* The last row is the collector's to make: the slot stays as it is until it has been read. */
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
