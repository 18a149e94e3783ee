/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The helpers that bpf/core/ calls, declared for the host: host_machine.c defines them over a simulated machine. This
 * file stands in for libbpf's header on the include path.
 */
#ifndef HOST_BPF_HELPERS_H
#define HOST_BPF_HELPERS_H

#include <linux/bpf.h>
#include <linux/types.h>

#define SEC(name)
#define __uint(name, value) int (*name)[value]
#define __type(name, type) __typeof__(type) *name
#undef __always_inline
#define __always_inline inline __attribute__((always_inline))
#define barrier() asm volatile("" ::: "memory")

static __u64 bpf_ktime_get_ns(void);
static __u32 bpf_get_smp_processor_id(void);
static void *bpf_get_current_task_btf(void);
static void *bpf_task_storage_get(void *map, void *task, void *value, __u64 flags);
static void *bpf_map_lookup_elem(void *map, void *key);
static void *bpf_ringbuf_reserve(void *ring, __u64 size, __u64 flags);
static void bpf_ringbuf_submit(void *record, __u64 flags);
static __u64 bpf_ringbuf_query(void *ring, __u64 flags);
static long bpf_probe_read_kernel(void *to, __u32 size, void *from);
static long bpf_seq_write(void *seq, void *bytes, __u32 length);

#endif
