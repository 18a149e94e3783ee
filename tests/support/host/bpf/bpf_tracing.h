/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Programs for the host: a program is a function of its tracepoint's arguments. */
#define BPF_PROG(name, arguments...) name(arguments)
