/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A CPU's state and its two banks: a moment in; the bank that is open at it, with the time up to it accounted, out.
 *
 * A CPU rolls as a task does. The programs on that CPU write its state; the seeding changes its phase, by
 * compare-and-swap.
 */
#ifndef SCHEDTEL_MACHINE_CPU_H
#define SCHEDTEL_MACHINE_CPU_H

static inlined void open_cpu_bank(struct cpu_state *cpu, __u32 window)
{
	machine_clear(&cpu->bank[window & 1], sizeof(struct cpu_bank));
	cpu->flushed = window - 1;
	machine_order();
	*(volatile __u32 *)&cpu->window = window;
}

/* The slow path of account_cpu(): the CPU's first event in a window, or one past the edge. */
verified_once int roll_cpu(struct cpu_state *cpu, const struct grid *grid, __u32 open, __u64 now)
{
	__u64 start, end;

	if (!cpu || !grid)
		return 0;
	start = window_start(grid, open);
	end = window_end(grid, open);
	if (cpu->window < open) {
		open_cpu_bank(cpu, open);
		if (cpu->since_ns < start)
			cpu->since_ns = start;
	}
	if (cpu->window == open && now >= end) {
		if (cpu->since_ns < end) {
			cpu->bank[open & 1].time_ns[cpu->seqcount.phase & (CPU_PHASES - 1)] += end - cpu->since_ns;
			cpu->since_ns = end;
		}
		open_cpu_bank(cpu, open + 1);
	}
	return 0;
}

static inlined void account_cpu_time(struct cpu_state *cpu, struct cpu_bank *bank, __u64 now)
{
	__s64 elapsed = now - cpu->since_ns;

	if (elapsed > 0) {
		bank->time_ns[cpu->seqcount.phase & (CPU_PHASES - 1)] += elapsed;
		cpu->since_ns = now;
	}
}

/* Accounts the time up to now, and returns the CPU's open bank. */
static inlined struct cpu_bank *account_cpu(struct cpu_state *cpu, struct moment at)
{
	struct cpu_bank *bank;

	if (unlikely(!is_open(&cpu->window, at)))
		roll_cpu(cpu, at.grid, at.epoch, at.now);
	bank = &cpu->bank[cpu->window & 1];
	account_cpu_time(cpu, bank, at.now);
	return bank;
}

/*
 * The CPU's phase from now on. Time is accounted only where the phase changes: a CPU that runs one task after another
 * stays busy.
 */
static inlined void turn_cpu(struct cpu_state *cpu, struct cpu_bank *bank, __u8 phase, __u64 now)
{
	if (likely(cpu->seqcount.phase == phase))
		return;
	account_cpu_time(cpu, bank, now);
	cpu->seqcount.phase = phase;
}

#endif
