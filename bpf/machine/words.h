/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Words for the compiler: how a function is called, which way a condition mostly goes.
 */
#ifndef SCHEDTEL_MACHINE_WORDS_H
#define SCHEDTEL_MACHINE_WORDS_H

#define unlikely(condition) __builtin_expect(!!(condition), 0)
#define likely(condition) __builtin_expect(!!(condition), 1)
#define inlined inline __attribute__((always_inline))
#ifndef outlined
#define outlined __attribute__((noinline))
#endif
/*
 * Before a loop over constants: each turn then has constants of its own. bcc's programs can have no others. The verifier
 * would follow a loop as well, but takes three times as long for it.
 */
#ifdef __clang__
#define unrolled _Pragma("clang loop unroll(full)")
#else
#define unrolled
#endif
/* A global function. The BPF verifier checks it once, and not again on every path that leads to it. */
#ifndef verified_once
#define verified_once __attribute__((noinline))
#endif

#endif
