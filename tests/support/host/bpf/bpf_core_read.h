/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* CO-RE reads for the host: a field in; its value out. Every field of kernel_types.h exists, and a read is a load. */
#define HOST_READ_2(from, a) ((from)->a)
#define HOST_READ_3(from, a, b) ((from)->a->b)
#define HOST_READ_PICK(_1, _2, _3, name, ...) name
#define BPF_CORE_READ(arguments...) HOST_READ_PICK(arguments, HOST_READ_3, HOST_READ_2, unused)(arguments)
#define BPF_CORE_READ_BITFIELD(from, field) ((from)->field)
#define bpf_core_read(to, size, from) (__builtin_memcpy(to, from, size), 0)
#define bpf_core_field_exists(field) 1
#define bpf_core_type_exists(type) 1
#define bpf_core_enum_value(type, value) (value)
