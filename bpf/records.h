/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between kernel and user space: every struct that crosses the ring or a mapped page.
 *
 * schedtel/records/layout.py declares the same layout for numpy; the loader compares the two through the object's BTF
 * and refuses to start when they differ. Only fixed-size fields, explicit padding, no pointers.
 */
#ifndef SCHEDTEL_RECORDS_H
#define SCHEDTEL_RECORDS_H

/*
 * Histograms are log-linear over units of 64 ns: 16 linear buckets below 1.024 us, then 16 an octave up to 137 s.
 * A task's own histogram keeps 2 an octave: bucket_of(ns) >> TASK_BUCKET_SHIFT, so that the two nest exactly.
 */
#define FINE_BUCKETS 448
#define TASK_BUCKET_SHIFT 3
#define TASK_BUCKETS (FINE_BUCKETS >> TASK_BUCKET_SHIFT)

#define COMM_LENGTH 16

/* What a task is doing. UNKNOWN is 0: zeroed storage is a task whose state has not been seen yet. */
enum phase {
	PHASE_UNKNOWN,
	PHASE_RUNNING,
	PHASE_WAKEUP_WAIT,
	PHASE_PREEMPT_WAIT,
	PHASE_BLOCKED,
	PHASE_IOWAIT,
	PHASE_NOT_ALIVE,	/* forked but not yet arrived, or completed */
	PHASES = 8,		/* a power of two: masked, not divided */
};

enum sample_kind { SAMPLE_WAKEUP_WAIT, SAMPLE_PREEMPT_WAIT, SAMPLE_BURST_TAT, SAMPLE_KINDS };

enum task_flag {
	TASK_COMPLETED = 1,	/* sched_process_exit has passed */
	TASK_HIDDEN = 2,	/* the iterator does not reach it (another pid namespace): not followed */
	TASK_GONE = 4,		/* completed, and its last switch has passed as well */
};

/* What is counted of a task, or of several together, in one window; the first cache line is all times. */
#define BOOKS \
	__u64 time_ns[PHASES]; \
	__u64 burst_tat_sum_ns; \
	__u64 max_wait_ns; \
	__u32 voluntary_switches; \
	__u32 involuntary_switches; \
	__u32 wakeups; \
	__u32 migrations; \
	__u32 bursts; \
	__u32 waits_unfinished;		/* a wait, a burst that goes on past the window's edge: 0 or 1 for a task */ \
	__u32 bursts_unfinished

/*
 * A task's histograms count in 16 bits, or the memory of a task would be twice as much. A bucket that overflows begins
 * again at 0, and a spill says so: which bucket, of the two histograms one behind the other, and how many times.
 */
#define SPILLS 12

struct spill {
	__u16 bucket;
	__u16 times;			/* of 65,536 samples each; 0: free, and so are those behind it */
};

/* What one task did in one window: multiples of a cache line. */
struct bank {
	BOOKS;
	__u32 spilled;			/* spills in use */
	__u16 wait_histogram[TASK_BUCKETS];
	__u16 burst_tat_histogram[TASK_BUCKETS];
	struct spill spills[SPILLS];
};

/* What several tasks did together. */
struct wide_bank {
	BOOKS;
	__u32 reserved;
	__u32 wait_histogram[TASK_BUCKETS];
	__u32 burst_tat_histogram[TASK_BUCKETS];
};

/* One row of the tasks table, as it crosses the page or the ring. */
struct task_record {
	__u32 window;
	__u32 tid;
	__u32 tgid;
	__u32 previous_tid;		/* 0, or the tid it had before an exec took over its leader's */
	__u64 start_boottime_ns;
	__u64 fork_ns;			/* times are 0 where they are not known or have not happened */
	__u64 arrival_ns;
	__u64 first_cpu_ns;
	__u64 completion_ns;
	__u64 alive_ns;
	__u64 total_cpu_ns;
	__u64 cgroup_id;
	__u32 uid;
	__u32 weight;
	__s32 exit_code;		/* as wait(2) reports it */
	__u32 policy;
	__s32 nice;
	__u8 kernel_thread;
	__u8 left_censored;
	__u8 padding[2];
	char comm[COMM_LENGTH];
	struct bank bank;
};

/* Tasks that a filter, inactivity or a full ring left without a row of their own. */
struct folded {
	__u64 alive_ns;
	__u64 tasks;
	struct wide_bank bank;
};

struct samples {
	__u64 sum_ns;
	__u64 max_ns;
	__u32 histogram[FINE_BUCKETS];
};

enum cpu_phase {
	CPU_UNKNOWN,
	CPU_BUSY,
	CPU_IDLE,
	CPU_UNTRACKED,		/* busy with a task that has no state: hidden from the iterator, or out of memory */
	CPU_TEARDOWN,		/* busy with a task that has completed */
	CPU_PHASES = 8,
};

/* What one CPU did in one window; samples[0] are of the tasks a filter leaves out, samples[1] of the selection. */
struct cpu_bank {
	__u64 time_ns[CPU_PHASES];
	__u64 switches;
	struct samples samples[2][SAMPLE_KINDS];
	struct folded other;
	__u64 padding[3];
};

/*
 * A writer's sequence number and phase in one word, so that a reader can claim "nothing happened since I looked".
 * seq is odd while a writer is inside.
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

/* How far the clock of a CPU's run queue is behind CLOCK_MONOTONIC: see queued.h. */
struct queue_clock {
	__u64 measured_at;		/* by the run queue's clock */
	__s64 distance_ns;		/* the least of the last round, or less */
	__s64 least_ns;			/* of the round that goes on */
	__s64 least_before_ns;
	__u16 measurements;
	__u8 rounds;			/* 1: there is one before */
	__u8 agreed;			/* the last two rounds did, so the distance may be used */
	__u32 padding;
};

struct cpu_state {
	union seqcount seqcount;
	__u32 window;			/* that its open bank belongs to */
	__u32 flushed;			/* always the one before: as in struct task_state, compared in one go */
	__u64 since_ns;
	struct queue_clock clock;
	struct cpu_bank bank[2];
};

/* What who preempted whom is told by: cgroups, or command names. */
enum preempted_by { PREEMPTIONS_OFF, PREEMPTIONS_BY_CGROUP, PREEMPTIONS_BY_COMM };

/* The last byte of a group. */
enum group_kind {
	GROUP_NAMED,
	GROUP_OTHER,		/* victims that the filter leaves out, and pairs that the table has no room for */
	GROUP_IDLE,		/* nobody: the CPU went idle, as it does when a bandwidth limit stops the victim */
};

/* A group of tasks in 16 bytes: the id of a cgroup in the first 8, or a comm, which ends with a 0; the last is its kind. */
struct group {
	__u64 words[2];
};

/* One group that took the CPU from another, on one CPU in one window. The waits are those that ended in the window. */
struct preemption {
	struct group victim;
	struct group preemptor;
	__u64 wait_ns;
	__u64 max_wait_ns;
	__u32 count;
	__u32 window;			/* an entry of another window is free */
};

/*
 * Who preempted whom on one CPU, in two banks: open-addressed hash tables of one writer. Nothing is cleared, since an
 * entry names its window. A pair that finds no entry within PREEMPTION_PROBES of its place is folded.
 */
#define PREEMPTION_PAIRS 256		/* a power of two */
#define PREEMPTION_PROBES 8

struct preemptions {
	struct preemption pairs[2][PREEMPTION_PAIRS];
	struct preemption folded[2];
	__u32 latest;			/* the place of the newest sample: most often the next one's, too */
	__u32 padding[15];
};

/* The window grid: window w is [edge_ns[(w - 1) & 3], edge_ns[w & 3]). Written by the collector alone. */
struct grid {
	/*
	 * The window that is open, and above 32 bits the one before it, which has been flushed: what the books of all that
	 * have had an event in the open window begin with. So one comparison says that there is nothing to roll.
	 */
	__u64 epoch;
	__u64 edge_ns[4];
	__u64 reserved[3];
};

struct losses {
	__u64 ring_dropped[2];		/* rows folded because the ring was full, of windows by window & 1 */
	__u64 state_failed;		/* task state that could not be allocated or read */
	__u64 samples_discarded;	/* negative durations */
	__u64 events_missed;		/* events that must have happened and reached no program */
};

/* The page the collector shares with the programs. */
struct control {
	struct grid grid;		/* hot and read-only for the programs: a cache line and a bit of its own */
	struct losses losses;
	__u64 fence;			/* target of the atomic that stands in for a memory barrier */
	__u64 is_eevdf;			/* the fair class of this kernel; told by the seeding of core */
	__u64 reserved;
	/* Written by the flush alone, reset by the collector before each one, and `rows` when it has taken them. */
	__u64 rows;			/* of the page, that hold a task's record */
	__u64 tasks_busy;		/* in the middle of a change while being read: asks for another pass */
	__u64 tasks_unknown;		/* state not established yet: asks for another pass while seeding */
	struct folded other;
};

enum kernel_threads { KERNEL_THREADS_INCLUDE, KERNEL_THREADS_EXCLUDE, KERNEL_THREADS_ONLY };

/* Load-time constants: what is off is dead code to the verifier and costs nothing. */
struct settings {
	__u64 cgroup_id;
	__u64 comm_value[2];
	__u64 comm_mask[2];
	__u64 min_activity_ns;		/* running and waiting, at least; 0 gives sleepers a row too */
	__u64 wakeup_bytes;		/* ring fill that wakes the collector */
	__u64 page_rows;		/* room for rows in the flush's page */
	__u32 cgroup_level;
	__u32 tgid;
	__u32 tid;
	__u32 uid;
	__u8 by_cgroup;
	__u8 by_process;		/* the process tgid and its descendants */
	__u8 by_tid;
	__u8 by_uid;
	__u8 by_comm;
	__u8 kernel_threads;
	__u8 disable_preemption;	/* births and deaths may be preempted by others: see preemption_off() */
	__u8 preemptions;		/* enum preempted_by */
};

#endif
