// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * events.bpf.c with the scheduler's own books at each event, for those who ask for them.
 *
 * It is an object of its own, so that events without books cost nothing more, and since it asks for a kernel with EEVDF
 * (6.6) and bpf_rdonly_cast().
 */
#define WITH_BOOKS
#include "events.bpf.c"
