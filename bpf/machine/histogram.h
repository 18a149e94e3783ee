/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Histograms: a duration in; its bucket, and one sample more in it, out.
 *
 * A CPU counts in 32 bits and fine buckets. A task counts in 16 bits and in the coarser buckets of records.h; where
 * such a count overflows, a spill keeps it.
 */
#ifndef SCHEDTEL_MACHINE_HISTOGRAM_H
#define SCHEDTEL_MACHINE_HISTOGRAM_H

/* floor(log2(x)) of each x below 16, in 4 bits. */
#define LOG2_BELOW_16 0x3333333322221100ULL

/*
 * floor(log2(x)) by halving, since BPF has no instruction for it. There is no branch: durations vary, and one
 * mispredicted branch costs more than all of this. The sign bit of a difference is a step's bit of the result.
 */
static inlined __u64 log2_floor(__u64 x)
{
	__u64 step, result;

	result = (0xffff - x) >> 63 << 4;
	x >>= result;
	step = (0xff - x) >> 63 << 3;
	x >>= step;
	result += step;
	step = (0xf - x) >> 63 << 2;
	x >>= step;
	return result + step + (LOG2_BELOW_16 >> (x << 2 & 63) & 3);
}

/*
 * The fine bucket of a duration. Below 32 units the exponent is 0, so a bucket is one unit. log2_floor() ends at 2^31
 * units; from there on, a bucket's number would be FINE_BUCKETS or more, and the last bucket counts.
 *
 * All is 64 bits wide. In an instruction set without 32-bit instructions, as bcc's, the verifier loses a bound where a
 * value is truncated to 32 bits.
 */
static inlined __u64 bucket_of(__u64 ns)
{
	__u64 units = ns >> 6, exponent = (log2_floor(units | 16) - 4) & 63;
	__u64 bucket = exponent * 16 + (units >> exponent);

	/* Clang can prove the bound and would drop the check that the BPF verifier needs to see. */
	asm volatile("" : "+r"(bucket));
	return bucket < FINE_BUCKETS ? bucket : FINE_BUCKETS - 1;
}

/* Adds one sample to a CPU's samples, but for the longest, which the caller sees to. */
static inlined void add_sample(struct samples *samples, __u64 bucket, __u64 ns)
{
	samples->sum_ns += ns;
	samples->histogram[bucket]++;
}

/*
 * The slow path of count_sample(): a task's bucket has reached 65,536 and begun again at 0. Where no spill is free, the
 * sample is discarded and the bucket stays at its maximum.
 */
verified_once int spill(struct bank *bank, __u32 bucket)
{
	int i;

	if (!bank)
		return 0;
	for (i = 0; i < SPILLS; i++) {
		if (!bank->spills[i].times)
			bank->spilled = i + 1;
		else if (bank->spills[i].bucket != bucket)
			continue;
		bank->spills[i].bucket = bucket;
		bank->spills[i].times++;
		return 0;
	}
	discard_sample();
	if (bucket < TASK_BUCKETS)
		bank->wait_histogram[bucket] = 0xffff;
	else if (bucket < 2 * TASK_BUCKETS)
		bank->burst_tat_histogram[bucket - TASK_BUCKETS] = 0xffff;
	return 0;
}

/* Adds one sample to a task's bank. counts: one of the bank's two histograms, whose buckets are numbered from first. */
static inlined void count_sample(struct bank *bank, __u16 *counts, __u32 first, __u64 bucket)
{
	__u16 count = counts[bucket] + 1;

	counts[bucket] = count;
	if (unlikely(!count))
		spill(bank, first + bucket);
}

#endif
