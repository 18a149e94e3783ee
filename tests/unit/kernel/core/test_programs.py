"""The compiled objects that ship: which atomic instructions they hold, and how large a task cache they get."""

import struct

import pytest

from schedtel.kernel.core.programs import cache_bits, object_image


def instructions(image: bytes):
    """(code, immediate) of each instruction in an ELF object's sections of programs."""
    table, size, count = (*struct.unpack_from("<Q", image, 40), *struct.unpack_from("<HH", image, 58))
    for header in range(table, table + size * count, size):
        kind, flags = struct.unpack_from("<IQ", image, header + 4)
        start, length = struct.unpack_from("<QQ", image, header + 24)
        if kind == 1 and flags & 4:  # SHT_PROGBITS, SHF_EXECINSTR
            for at in range(start, start + length, 8):
                yield struct.unpack_from("<BxxxI", image, at)


@pytest.mark.parametrize("name", ["core", "core_walk"])
def test_a_barrier_for_weak_memory_is_an_atomic_with_a_result(name):
    """In BPF an atomic without a result orders nothing, and a compiler leaves out a result that it sees unused."""
    atomics = [immediate for code, immediate in instructions(object_image(name)) if code == 0xDB]
    assert set(atomics) <= {0x00, 0x01, 0xF1}, "only additions without and with a result, and compare-and-swap"
    assert atomics.count(0x01) > 20


@pytest.mark.parametrize(
    ("threads", "slots"),
    [(1, 4_096), (1_024, 4_096), (1_025, 8_192), (3_000, 16_384), (8_192, 32_768), (10**6, 32_768)],
)
def test_the_task_cache_has_four_slots_for_each_thread_but_neither_few_nor_many(threads, slots):
    assert 1 << cache_bits(threads) == slots
