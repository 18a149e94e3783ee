// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Producers that do nothing but fill a ring: a run in; a batch of records as large as schedtel's (-DRECORD_BYTES=n)
 * out.
 *
 * Several CPUs that run it contend for the ring's lock and for nothing else.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define BATCH 4096

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 26);
} ring SEC(".maps");

static long send(__u32 number, __u32 *sent)
{
	volatile __u64 *record = bpf_ringbuf_reserve(&ring, RECORD_BYTES, 0);
	int i;

	if (!record)
		return 1;
	for (i = 0; i < RECORD_BYTES / 8; i++)
		record[i] = number;
	bpf_ringbuf_submit((void *)record, BPF_RB_NO_WAKEUP);
	(*sent)++;
	return 0;
}

SEC("syscall")
int produce(void *ctx)
{
	__u32 sent = 0;

	bpf_loop(BATCH, send, &sent, 0);
	return sent;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
