/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the programs of bcc.c read of their tracepoints, for a build that runs them in user space (replay/replay.c and
 * the tests). In the kernel, bcc makes these structs from the tracepoints' formats. The types s32, s64 and u64 must
 * exist.
 */
#ifndef SCHEDTEL_BCC_TRACEPOINT_ARGS_H
#define SCHEDTEL_BCC_TRACEPOINT_ARGS_H

struct tracepoint__sched__sched_switch {
	s32 prev_pid, prev_prio;
	s64 prev_state;
	s32 next_pid, next_prio;
};
struct tracepoint__sched__sched_wakeup { s32 pid, prio; };
struct tracepoint__sched__sched_wakeup_new { s32 pid, prio; };
struct tracepoint__task__task_newtask { s32 pid; u64 clone_flags; };
struct tracepoint__sched__sched_process_exec { s32 pid, old_pid; };
struct tracepoint__sched__sched_process_exit { s32 pid, prio; };
struct tracepoint__cpuhp__cpuhp_enter { u32 cpu; s32 target, idx; };
struct tracepoint__cpuhp__cpuhp_exit { u32 cpu; s32 idx, ret; };

#endif
