"""The namespaces of this process: whether the clocks, ids and capabilities it sees are the machine's own.

The kernel side works with the machine's: its clock, its process ids, its user ids. A namespace of another kind than
those here changes only what this process can reach: mounts (where cgroupfs and tracefs are), the network (where it
listens), the host's name.
"""

import os

from schedtel.errors import CapabilityError

#: Inodes of the machine's first namespaces (include/linux/proc_ns.h: PROC_*_INIT_INO).
_INITIAL = {"user": 0xEFFFFFFD}
_NS_PER_S = 1_000_000_000


def is_initial(kind: str) -> bool:
    """Whether this process is in the machine's own namespace of a kind: ``user``."""
    return os.stat(f"/proc/self/ns/{kind}").st_ino == _INITIAL[kind]


def clock_offsets_ns() -> dict[str, int]:
    """How far this process's clocks are ahead of the machine's, in nanoseconds: ``monotonic`` and ``boottime``.

    Empty where the kernel has no time namespaces (before 5.6). See time_namespaces(7).
    """
    try:
        with open("/proc/self/timens_offsets", encoding="ascii") as file:
            rows = [line.split() for line in file]
    except FileNotFoundError:
        return {}
    return {clock: int(seconds) * _NS_PER_S + int(nanoseconds) for clock, seconds, nanoseconds in rows}


def require_machine_clocks() -> None:
    """Raise :class:`CapabilityError` if this process's clocks are not the machine's.

    BPF programs read the machine's clock: window edges set by another one would lie hours beside the events.
    """
    for clock, offset_ns in clock_offsets_ns().items():
        if offset_ns:
            name, offset_s = f"CLOCK_{clock.upper()}", offset_ns / _NS_PER_S
            raise CapabilityError(
                f"cannot follow tasks: {name} of this time namespace is {offset_s:+g} s off the machine's "
                "(run schedtel outside of it)"
            )
