// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A producer of events that never happened: a run in; a batch of switches, in the ring of the CPU that it runs on, out.
 *
 * It writes into the rings of a recorder that runs, by the recorder's own code, as fast as it can. The recorder must
 * select no task of this CPU: a ring has one writer.
 */
#include "../../bpf/core/kernel_types.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "../../bpf/machine/words.h"
#include "../../bpf/records.h"
#include "../../bpf/events/event_records.h"
#include "../../bpf/events/rings.h"

#define BATCH 4096
#define TASKS 64
#define FIRST_TID 1000
#define PRIO 120

struct progress {
	__u64 random;
	__u64 tid;
};

struct progress progress = {.random = 1};

/* Among some tasks, in no order, as on a busy CPU: the generator is Marsaglia's xorshift64. */
static long switch_to_another(__u32 number, void *unused)
{
	struct event_ring *ring = this_ring();
	__u64 random = progress.random, tid;

	if (!ring)
		return 1;
	random ^= random << 13;
	random ^= random >> 7;
	random ^= random << 17;
	tid = FIRST_TID + random % TASKS;
	put(ring, EVENT_SWITCH,
	    tid | (__u64)PRIO << BODY_PRIO | progress.tid << BODY_PREV | 1ULL << BODY_FOLLOWED |
		    (__u64)(random >> 62 ? 1 : STATE_PREEMPTED) << BODY_STATE);
	progress.random = random;
	progress.tid = tid;
	return 0;
}

SEC("syscall")
int produce(void *ctx)
{
	return bpf_loop(BATCH, switch_to_another, NULL, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
