// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * core.bpf.c for kernels in which a program can walk all tasks by itself (6.7: c68a78ffe2cb, "bpf: Introduce task open
 * coded iterator kfuncs"). One run visits all tasks, for a quarter of what iter/task costs before it calls anything.
 *
 * It is an object of its own because libbpf before 0.6 opens no object with functions that the kernel does not have,
 * even in programs that are not loaded.
 */
#define OPEN_CODED_ITERATORS
#include "core.bpf.c"
