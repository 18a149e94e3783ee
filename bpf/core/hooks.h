/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The hooks of the state machine (machine/machine.h), as core's programs have them.
 */
#ifndef SCHEDTEL_CORE_HOOKS_H
#define SCHEDTEL_CORE_HOOKS_H

/*
 * x86 keeps stores in order, so there a compiler barrier is enough. Elsewhere an atomic with a result is the only full
 * barrier that BPF has. The kernel's types tell which machine it is, so the choice is a constant in the loaded code.
 */
static __always_inline void machine_order(void)
{
	__u64 none = 0, seen;

	if (!bpf_core_type_exists(struct cpuinfo_x86)) {
		asm volatile("" : "+r"(none));	/* else clang, which knows that nothing changes, drops the result */
		seen = __sync_fetch_and_add(&control.fence, none);
		asm volatile("" : : "r"(seen));
	}
	barrier();
}

int machine_lose(__u64 loss, __u64 since);

typedef struct task_struct *waiter;

static __always_inline void machine_name_wait(struct wait *kept, waiter who);

/* There is nothing to read at address 0, and this helper leaves zeros where it cannot read. */
static __always_inline void machine_clear(void *memory, __u32 size)
{
	bpf_probe_read_kernel(memory, size, 0);
}

#endif
