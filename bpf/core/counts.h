/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The contract between the programs that count perf events and user space, as records.h is that of all others.
 * schedtel/records/layout.py declares the same layout for numpy.
 */
#ifndef SCHEDTEL_CORE_COUNTS_H
#define SCHEDTEL_CORE_COUNTS_H

/* The most events at a time. */
#define COUNTERS 8

/* What a perf event has counted, and the time in which it was wanted and in which it counted: as the kernel tells it. */
struct reading {
	__u64 count;
	__u64 enabled_ns;
	__u64 running_ns;
};

/* Whose counts they are. A task that takes over its leader's tid by an exec has two keys, one for each tid. */
struct counted_task {
	__u64 start_boottime_ns;
	__u32 tid;
	__u32 padding;
};

/* What one task counted in one window, an entry for each event. */
struct counted {
	struct reading events[COUNTERS];
};

/* Written by the CPU itself. The collector clears `other`, in the bank that no program writes. */
struct counting_cpu {
	__u64 since_ns;			/* when the events were read last; 0: not yet */
	struct counted last;		/* what they told then */
	struct counted growth;		/* since the reading before, as far as it is no task's yet */
	struct counted other[2];	/* of tasks that the table had no room for, by window & 1 */
	__u64 padding[7];		/* up to whole cache lines */
};

/* Load-time constants of the programs that count. */
struct counter_settings {
	__u32 events;
	__u32 cpus;			/* possible CPUs: an event has so many places one behind the other */
};

#endif
