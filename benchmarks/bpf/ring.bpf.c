// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Producers that do nothing but fill a ring: each run sends a batch of records as large as schedtel's (-DRECORD_BYTES), so that several
 * CPUs meet at the ring's lock and nowhere else.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

#define BATCH 256

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 24);
} ring SEC(".maps");

SEC("syscall")
int produce(void *ctx)
{
	__u32 sent = 0;
	void *record;
	int i, word;

	for (i = 0; i < BATCH; i++) {
		record = bpf_ringbuf_reserve(&ring, RECORD_BYTES, 0);
		if (!record)
			continue;
		for (word = 0; word < RECORD_BYTES / 8; word++)
			((volatile __u64 *)record)[word] = i;
		bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
		sent++;
	}
	return sent;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
