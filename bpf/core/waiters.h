/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who waited: a wait that is among the longest, and a task or its row, in; the entry with its names out.
 *
 * Hot programs get here with few waits of a window (machine/waits.h), and the flush with those that go on.
 */
#ifndef SCHEDTEL_CORE_WAITERS_H
#define SCHEDTEL_CORE_WAITERS_H

/*
 * The task that leaves the CPU is the current one. Where that is the task itself, its switch to the CPU was not
 * delivered (enter_unseen() in switch.h), and nothing tells which task it followed.
 */
static __always_inline void machine_name_wait(struct wait *kept, waiter who)
{
	struct task_struct *task = readable(who), *before = readable(bpf_get_current_task_btf());

	kept->start_boottime_ns = task->start_boottime;
	kept->tid = task->pid;
	kept->tgid = task->tgid;
	kept->cpu = bpf_get_smp_processor_id();
	kept->behind_tid = before->pid != task->pid ? before->pid : WAIT_TID_UNKNOWN;
	__builtin_memcpy(kept->comm, task->comm, COMM_LENGTH);
	__builtin_memcpy(kept->behind_comm, before->comm, COMM_LENGTH);
}

/*
 * Keeps the wait of a row that goes on past the window's end, if it is among the longest. since: when it began, or when
 * tracing did; cpu: where the task is queued. The collector knows who had that CPU.
 */
verified_once int keep_open_wait(struct longest_waits *waits, const struct task_record *record, __u64 since, __u64 end,
				 __u32 cpu)
{
	struct wait *kept;

	if (!waits || !record)
		return 0;
	kept = shortest_wait(waits);
	if (since >= end || end - since <= kept->wait_ns)
		return 0;
	kept->since_ns = record->open_wait_ns == OPEN_WAIT_UNKNOWN ? 0 : since;
	kept->wait_ns = end - since;
	kept->start_boottime_ns = record->start_boottime_ns;
	kept->tid = record->tid;
	kept->tgid = record->tgid;
	kept->behind_tid = WAIT_TID_UNKNOWN;
	kept->cpu = cpu;
	kept->goes_on = 1;
	__builtin_memcpy(kept->comm, record->comm, COMM_LENGTH);
	find_shortest_wait(waits);
	return 0;
}

/* When the wait began that a row has the age of at the window's end, as far as it is known. */
static inlined __u64 open_wait_since(const struct task_record *record, const struct task_state *state, __u64 end)
{
	return record->open_wait_ns == OPEN_WAIT_UNKNOWN ? state->alive_since_ns : end - record->open_wait_ns;
}

/* The collector asks who had a CPU at the window's end: the task of this row did. */
verified_once int note_occupant(const struct task_record *record, __u32 cpu)
{
	struct cpu_state *state = bpf_map_lookup_elem(&cpus, &cpu);

	if (!record || !state)
		return 0;
	state->occupant.window = record->window;
	state->occupant.tid = record->tid;
	__builtin_memcpy(state->occupant.comm, record->comm, COMM_LENGTH);
	return 0;
}

#endif
