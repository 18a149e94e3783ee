/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Write sections of a seqcount: odd inside, one step further afterwards.
 *
 * A reader takes the seqcount, reads, and takes it again. If both are the same even number, no writer came in between.
 */
#ifndef SCHEDTEL_MACHINE_SEQCOUNT_H
#define SCHEDTEL_MACHINE_SEQCOUNT_H

static inlined void write_begin(union seqcount *seqcount)
{
	*(volatile __u32 *)&seqcount->seq = seqcount->seq + 1;
	machine_order();
}

static inlined void write_end(union seqcount *seqcount)
{
	machine_order();
	*(volatile __u32 *)&seqcount->seq = seqcount->seq + 1;
}

#endif
