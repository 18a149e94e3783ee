"""CPU lists of /sys in; the numbers of the possible and the online CPUs out."""

import functools
import os

#: What a read of a file in /sys returns at most.
_PAGE_BYTES = 4096


@functools.cache
def _online_file() -> int:
    """A descriptor that stays open: the collector reads it in every window, and then there may be none left."""
    return os.open("/sys/devices/system/cpu/online", os.O_RDONLY | os.O_CLOEXEC)


def possible_cpus() -> int:
    """One more than the highest CPU number the kernel may ever use."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        return int(file.read().strip().replace(",", "-").split("-")[-1]) + 1


def online_cpus() -> set[int]:
    """Numbers of the CPUs that are online."""
    text = os.pread(_online_file(), _PAGE_BYTES, 0).decode("ascii").strip()
    cpus: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        cpus |= set(range(int(first), int(last or first) + 1))
    return cpus
