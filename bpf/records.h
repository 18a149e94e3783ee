/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between kernel and user space: every struct that crosses the ring or a mapped page.
 *
 * schedtel/records/layout.py declares the same layout for numpy. The core backend compares the two through the object's
 * BTF, the bcc backend through assertions in the compiled text; both refuse to start when the two differ. Fields have a
 * fixed size, padding is explicit, and there are no pointers.
 */
#ifndef SCHEDTEL_RECORDS_H
#define SCHEDTEL_RECORDS_H

/*
 * Histograms are log-linear over units of 64 ns: 16 linear buckets below 1.024 us, then 16 buckets an octave up to 137
 * s. A task's own histogram has 2 buckets an octave. Its bucket is bucket_of(ns) >> TASK_BUCKET_SHIFT, so that each of
 * them is the exact sum of 8 fine ones.
 */
#define FINE_BUCKETS 448
#define TASK_BUCKET_SHIFT 3
#define TASK_BUCKETS (FINE_BUCKETS >> TASK_BUCKET_SHIFT)

#define COMM_LENGTH 16

/* What a task is doing. UNKNOWN is 0, so zeroed storage is a task whose state no event has established yet. */
enum phase {
	PHASE_UNKNOWN,
	PHASE_RUNNING,
	PHASE_WAKEUP_WAIT,
	PHASE_PREEMPT_WAIT,
	PHASE_BLOCKED,
	PHASE_IOWAIT,
	PHASE_NOT_ALIVE,	/* forked but not yet arrived, or completed */
	PHASES = 8,		/* a power of two, so that an index is masked */
};

enum sample_kind { SAMPLE_WAKEUP_WAIT, SAMPLE_PREEMPT_WAIT, SAMPLE_BURST_TAT, SAMPLE_KINDS };

enum task_flag {
	TASK_COMPLETED = 1,	/* sched_process_exit has passed */
	TASK_HIDDEN = 2,	/* not followed: the task iterator does not reach it (another pid namespace) */
	TASK_GONE = 4,		/* completed, and its last switch has passed as well */
};

/* What is accounted to a task, or to several together, in one window. The first cache line holds the times. */
#define BANK_FIELDS \
	__u64 time_ns[PHASES]; \
	__u64 burst_tat_sum_ns; \
	__u64 max_wait_ns; \
	__u32 voluntary_switches; \
	__u32 involuntary_switches; \
	__u32 wakeups; \
	__u32 migrations; \
	__u32 bursts; \
	__u32 waits_unfinished;		/* waits, and bursts, that go on past the window's edge: 0 or 1 for a task */ \
	__u32 bursts_unfinished

/*
 * A task's histograms count in 16 bits, since 32 would double the memory of a task. A bucket that overflows begins
 * again at 0, and a spill records it: the bucket's number, counted through both histograms, and how often it
 * overflowed.
 */
#define SPILLS 12

struct spill {
	__u16 bucket;
	__u16 times;			/* 65,536 samples each; 0: this entry is free, and so are all after it */
};

/* What one task did in one window. Its size is a multiple of a cache line. */
struct bank {
	BANK_FIELDS;
	__u32 spilled;			/* spills in use */
	__u16 wait_histogram[TASK_BUCKETS];
	__u16 burst_tat_histogram[TASK_BUCKETS];
	struct spill spills[SPILLS];
};

/* What several tasks did together in one window. */
struct wide_bank {
	BANK_FIELDS;
	__u32 reserved;
	__u32 wait_histogram[TASK_BUCKETS];
	__u32 burst_tat_histogram[TASK_BUCKETS];
};

/* The age of a wait that goes on past the window's edge, where it began before tracing. */
#define OPEN_WAIT_UNKNOWN (~0ULL)

/*
 * One row of the tasks table, as it crosses the flush's page or the ring. In the ring, with the header of 8 bytes, a
 * record is 8 cache lines.
 */
struct task_record {
	__u32 window;
	__u32 tid;
	__u32 tgid;
	__u32 previous_tid;		/* the tid it had before an exec took over its leader's, or 0 */
	__u64 start_boottime_ns;
	__u64 fork_ns;			/* this time and those below are 0 where unknown, or still to come */
	__u64 arrival_ns;
	__u64 first_cpu_ns;
	__u64 completion_ns;
	__u64 alive_ns;
	__u64 total_cpu_ns;
	__u64 open_wait_ns;		/* see open_wait() */
	__u64 cgroup_id;
	__u32 uid;
	__u32 weight;
	__s32 exit_code;		/* as wait(2) reports it */
	__u8 policy;
	__s8 nice;
	__u8 kernel_thread;
	__u8 left_censored;
	char comm[COMM_LENGTH];
	struct bank bank;
};

/* The sum of tasks that have no row of their own, because of a filter, inactivity or a full ring. */
struct folded {
	__u64 alive_ns;
	__u64 tasks;
	__u64 open_wait_ns;		/* the longest of which the start is known */
	struct wide_bank bank;
};

/* How a CPU is told that is not known, and the tid of a task that is not. */
#define WAIT_CPU_UNKNOWN 0xffff
#define WAIT_TID_UNKNOWN (~0U)

/* One wait, and who it was that waited. A wait that has ended did so on its CPU; one that goes on is queued there. */
struct wait {
	__u64 since_ns;			/* 0: it began before tracing, and wait_ns is the part of it since then */
	__u64 wait_ns;			/* up to the window's end where it goes on; 0: the entry is free */
	__u64 start_boottime_ns;
	__u32 tid;
	__u32 tgid;
	__u32 behind_tid;		/* the task that had the CPU right before; 0: none, it was idle */
	__u16 cpu;
	__u8 goes_on;			/* past the window's end */
	__u8 padding;
	char comm[COMM_LENGTH];
	char behind_comm[COMM_LENGTH];
};

/* Of each kind of wait so many are kept, in no order: the longest of a CPU or of a window. */
#define LONGEST_WAITS 8			/* a power of two */
#define WAIT_KINDS 2			/* the first of enum sample_kind */

struct longest_waits {
	struct wait kept[LONGEST_WAITS];
	__u32 shortest;			/* the place of the shortest of them, which a longer wait replaces */
	__u32 padding;
};

/*
 * Samples of one kind. A wait of up to kept_ns is none of the longest, and so is not the longest either: one comparison
 * tells that there is nothing to keep. It is max_ns for tasks that the filter leaves out, and 0 for bursts.
 */
struct samples {
	__u64 sum_ns;
	__u64 max_ns;
	__u64 kept_ns;
	__u32 histogram[FINE_BUCKETS];
};

enum cpu_phase {
	CPU_UNKNOWN,
	CPU_BUSY,
	CPU_IDLE,
	CPU_UNTRACKED,		/* busy with a task without state: hidden from the iterator, or memory was short */
	CPU_TEARDOWN,		/* busy with a task that has completed */
	CPU_OFFLINE,
	CPU_PHASES = 8,
};

/* What one CPU did in one window. samples[0] are of tasks that the filter leaves out, samples[1] of selected tasks. */
struct cpu_bank {
	__u64 time_ns[CPU_PHASES];
	__u64 switches;
	struct samples samples[2][SAMPLE_KINDS];
	struct folded other;
	struct longest_waits waits[WAIT_KINDS];		/* of selected tasks */
	__u64 padding[2];
};

/*
 * A sequence count and a phase in 64 bits. One compare-and-swap of the whole tells a reader that nothing has happened
 * since it read. seq is odd while a writer is inside.
 */
union seqcount {
	struct {
		__u32 seq;
		__u8 phase;
		__u8 flags;
		__u16 cpu;
	};
	__u64 whole;
};

/* How far the clock of a CPU's run queue is behind CLOCK_MONOTONIC: see core/queued.h. */
struct queue_clock {
	__u64 measured_at;		/* when, by the run queue's clock */
	__s64 distance_ns;		/* the least of the last round, or of a later measurement */
	__s64 least_ns;			/* the least of the current round */
	__s64 least_before_ns;		/* the least of the round before it */
	__u16 measurements;		/* in the current round */
	__u8 rounds;			/* 1: least_before_ns is known */
	__u8 agreed;			/* the last two rounds agreed, so distance_ns may be used */
	__u32 padding;
};

/* The task that was on a CPU at the end of a window. Only the flush writes it. */
struct occupant {
	__u32 window;
	__u32 tid;
	char comm[COMM_LENGTH];
	__u64 padding[5];
};

struct cpu_state {
	union seqcount seqcount;
	__u32 window;			/* the window its open bank belongs to */
	__u32 flushed;			/* window - 1, so that both compare with grid.epoch as a task's two do */
	__u64 since_ns;			/* time up to here is in the bank */
	struct queue_clock clock;
	struct cpu_bank bank[2];
	struct occupant occupant;
};

/* What a group of a preemption is: the tasks of one cgroup, or those of one command name. */
enum preempted_by { PREEMPTIONS_OFF, PREEMPTIONS_BY_CGROUP, PREEMPTIONS_BY_COMM };

/* The kind of a group, in its last byte. */
enum group_kind {
	GROUP_NAMED,
	GROUP_OTHER,		/* victims that the filter leaves out, and pairs that the table has no room for */
	GROUP_IDLE,		/* the CPU went idle instead, as it does when a bandwidth limit stops the victim */
};

/*
 * A group of tasks in 16 bytes. The first 8 are a cgroup's id, or all of them are a comm; a comm ends with a 0, so the
 * last byte is free for enum group_kind.
 */
struct group {
	__u64 words[2];
};

/* One group that took a CPU from another, on one CPU in one window. Its waits are those that ended in the window. */
struct preemption {
	struct group victim;
	struct group preemptor;
	__u64 wait_ns;
	__u64 max_wait_ns;
	__u32 count;
	__u32 window;			/* the entry is free in every other window */
};

/*
 * Who preempted whom on one CPU: two banks, each an open-addressed hash table with one writer. Nothing is cleared,
 * since an entry names its window. A pair that finds no entry within PREEMPTION_PROBES of its place is folded.
 */
#define PREEMPTION_PAIRS 256		/* a power of two */
#define PREEMPTION_PROBES 8

struct preemptions {
	struct preemption pairs[2][PREEMPTION_PAIRS];
	struct preemption folded[2];
	__u32 latest;			/* the place of the newest sample, which is most often the next one's too */
	__u32 padding[15];
};

/* The window grid: window w is [edge_ns[(w - 1) & 3], edge_ns[w & 3]). Only the collector writes it. */
struct grid {
	/*
	 * The low 32 bits are the open window, the high 32 bits the window before it, which has been flushed. `window`
	 * and `flushed` of a task or CPU, read as one, are equal to it once that has had an event in the open window.
	 * So one comparison tells that there is nothing to roll.
	 */
	__u64 epoch;
	__u64 edge_ns[4];
	/*
	 * With core, a task's hash, shifted right by this, is its place in the task cache. It is here and not in `settings`
	 * since each page that a program reads costs it a nanosecond, and every program reads this one.
	 */
	__u64 cache_shift;
	__u64 reserved[2];
};

/* The counters of struct losses, in its order. */
enum loss { ROW_DROPPED, STATE_FAILED, SAMPLE_DISCARDED, EVENT_MISSED };

/* Every loss is counted in the window in which it happened, by window & 1. */
struct losses {
	__u64 ring_dropped[2];		/* rows folded because the ring was full */
	__u64 state_failed[2];		/* task state that could not be allocated or read */
	__u64 samples_discarded[2];	/* samples whose duration was negative */
	__u64 events_missed[2];		/* events that must have happened and reached no program */
};

/* The page that the collector shares with the programs. */
struct control {
	struct grid grid;		/* hot, and read-only for the programs: a cache line of its own, and a bit */
	struct losses losses;
	__u64 fence;			/* target of the atomic that stands in for a memory barrier */
	__u64 is_eevdf;			/* the fair class of this kernel; set by core's seeding */
	__u64 reserved;
	/* Only the flush writes these. The collector resets them before it, and `rows` when it has read the rows. */
	__u64 rows;			/* rows of the page that hold a task's record */
	__u64 tasks_busy;		/* tasks that changed while they were read: the collector flushes again */
	__u64 tasks_unknown;		/* tasks without an established state: the collector seeds again */
	struct folded other;
	struct longest_waits open_waits[WAIT_KINDS];
};

/* The most values of one condition of the filter. A task that has one of them meets the condition. */
#define FILTER_VALUES 8

enum kernel_threads { KERNEL_THREADS_INCLUDE, KERNEL_THREADS_EXCLUDE, KERNEL_THREADS_ONLY };

/* Load-time constants. To the verifier, code of a setting that is off is dead code: it is removed and costs nothing. */
struct settings {
	__u64 cgroup_id[FILTER_VALUES];
	__u64 comm_value[FILTER_VALUES][2];
	__u64 comm_mask[FILTER_VALUES][2];
	__u64 min_activity_ns;		/* least running and waiting of a row; with 0, sleepers have a row too */
	__u64 wakeup_bytes;		/* a ring filled so far wakes the collector */
	__u64 page_rows;		/* rows that the flush's page has room for */
	__u32 cgroup_level[FILTER_VALUES];
	__u32 tgid[FILTER_VALUES];
	__u32 tid[FILTER_VALUES];
	__u32 uid[FILTER_VALUES];
	__u8 by_cgroup;			/* how many values there are, here and below; 0: no such condition */
	__u8 by_process;		/* the processes tgid and their descendants */
	__u8 by_tid;
	__u8 by_uid;
	__u8 by_comm;
	__u8 kernel_threads;
	__u8 disable_preemption;	/* programs at fork, exec and exit may be preempted: see preemption_off() */
	__u8 preemptions;		/* enum preempted_by */
};

#endif
