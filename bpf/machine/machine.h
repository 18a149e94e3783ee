/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The state machine: scheduler events in, exact accounting per task, CPU and window out.
 *
 * It calls nothing of BPF, so every backend includes it and the tests compile it for the host. The including file
 * declares four hooks first:
 *   machine_order()      orders the stores before it against those after it, for a reader on another CPU
 *   machine_lose()       counts a loss that happened between a moment and now, by count_loss()
 *   machine_clear()      sets so many bytes to zero; too many for stores, each of which the BPF verifier would check
 *   machine_name_wait()  puts down who a task is that gets a CPU at this moment, and which task leaves that CPU
 * and a type, `waiter`: a pointer to what it has of a task beside the task's state.
 *
 * Windows need no reset. The grid says which window is open and when it ends. Every task has two banks; window w writes
 * bank w & 1. The first event of a task past the edge *rolls* the task: the time up to the edge is accounted to the old
 * bank, which is never written again, and the other bank is cleared and opened. So all tasks share the same edges to
 * the nanosecond, however late the collector reads the frozen banks, and no writer ever waits. A task without an event
 * since the edge has not rolled; the reader adds the time up to the edge itself.
 *
 * A task's state has one writer at a time. sched_switch and sched_wakeup hold the run-queue lock of the task's CPU.
 * fork, exec and exit run where no switch or wakeup of that task can change it (a wakeup of a running task is ignored).
 *
 *   words.h        what the rest is written in: inlined, likely and the like
 *   losses.h       a loss in; counters of the windows that it may belong to out
 *   seqcount.h     one writer, many readers: sections that change a seqcount
 *   histogram.h    a duration in; a bucket, counted for a CPU and for a task, out
 *   moment.h       the grid in; one event's time and window out
 *   bank.h         a task's two banks: opened, closed, rolled, accounted to
 *   waits.h        a wait in; the longest of a CPU's waits, with names, out
 *   task.h         one event of a task in; its state and its open bank changed
 *   cpu.h          the same for a CPU
 *   preemption.h   a wait that followed a preemption in; an entry of a CPU's table out
 */
#ifndef SCHEDTEL_MACHINE_H
#define SCHEDTEL_MACHINE_H

#include "words.h"
#include "../records.h"
#include "losses.h"
#include "seqcount.h"
#include "histogram.h"
#include "moment.h"
#include "bank.h"
#include "waits.h"
#include "task.h"
#include "cpu.h"
#include "preemption.h"

#endif
