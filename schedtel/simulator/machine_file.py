"""The constants of a machine in; a file of TOML for ``schedtel sim run --machine`` out, and back."""

import os
from typing import Any

from schedtel.access.toml_file import read_toml
from schedtel.simulator.machine import Machine
from schedtel.workloads.fields import Fields

#: Field of the file → field of a :class:`Machine`, and what it is. All are durations.
DURATIONS = {
    "slice": ("slice_ns", "how long a task of the fair class keeps its CPU while others wait"),
    "tick": ("tick_ns", "a slice that is over ends at a multiple of it"),
    "switch": ("switch_ns", "CPU time of a switch"),
    "migration": ("migration_ns", "CPU time that any task loses by a migration while its cache is warm"),
    "warm": ("warm_ns", "how long a cache stays warm"),
    "disk": ("disk_ns", "of a write that waits for the disk"),
    "late": ("late_ns", "from a job's planned moment to its release"),
    "dispatch": ("dispatch_ns", "CPU time of a release"),
    "fork": ("fork_ns", "CPU time of a life's fork"),
    "ready": ("ready_ns", "CPU time in which a worker of a pool gets ready"),
    "others_every": ("others_gap_ns", "mean time between two tasks of others that take a CPU"),
    "others_for": ("others_ns", "mean CPU time of one"),
}
_MOST_SIZES, _MOST_BYTES, _MOST_COLD_NS = 64, 1 << 40, 10**12
_THOUSAND, _MILLION = 1_000, 1_000_000
_MISSING = -1


def read_machine(path: str | os.PathLike[str]) -> dict[str, Any]:
    """The fields of a :class:`Machine` that a file gives. Raises :class:`UsageError` for one that cannot be used."""
    fields = Fields(read_toml(path, "a machine"), str(path))
    found: dict[str, Any] = {}
    for name, (of_machine, _) in DURATIONS.items():
        value = fields.duration(name, _MISSING, least=0)
        if value != _MISSING:
            found[of_machine] = value
    if "slower" in fields:
        found["slower_millionths"] = round(fields.number("slower", -0.5, 1) * _MILLION)
    if "steals" in fields:
        found["steal_thousandths"] = round(fields.number("steals", 0, 1) * _THOUSAND)
    if "cold" in fields:
        found["cold"] = _cold(fields)
    if "shared" in fields:
        found["is_shared"] = fields.flag("shared")
    fields.end()
    Machine(**found)  # which refuses what is out of range
    return found


def _cold(fields: Fields) -> tuple[tuple[int, int], ...]:
    """Pairs of bytes and ns, both of which rise."""
    raw = fields.items("cold")
    if len(raw) > _MOST_SIZES or not all(isinstance(pair, list) and len(pair) == 2 for pair in raw):
        raise fields.refuse("cold", raw, "a list of [bytes, ns]")
    sizes, times = zip(*raw, strict=True)
    for values, most in ((sizes, _MOST_BYTES), (times, _MOST_COLD_NS)):
        numbers = all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most for value in values)
        if not numbers or list(values) != sorted(values):
            raise fields.refuse("cold", raw, "a list of [bytes, ns] that rise")
    if sizes[0] < 1 or len(set(sizes)) < len(sizes):
        raise fields.refuse("cold", raw, "a list of [bytes, ns] with a size once, and none of 0")
    return tuple(zip(sizes, times, strict=True))


def _exactly(ns: int) -> str:
    if ns == 0:
        return "0s"
    return f"{ns // 1000}us" if ns % 1000 == 0 else f"{ns}ns"


def machine_text(given: dict[str, Any], heading: str) -> str:
    """The file that gives these fields of a :class:`Machine`, in the order of :data:`DURATIONS`.

    :param heading: what was measured, for a person; its lines become comments.
    """
    lines = [f"# {line}" for line in heading.splitlines()]
    for name, (of_machine, meaning) in DURATIONS.items():
        if of_machine in given:
            lines.append(f'{name} = "{_exactly(given[of_machine])}"  # {meaning}')
    if "slower_millionths" in given:
        lines.append(
            f"slower = {given['slower_millionths'] / _MILLION}  # by this part, work takes longer than planned"
        )
    if "steal_thousandths" in given:
        lines.append(
            f"steals = {given['steal_thousandths'] / _THOUSAND}  # how often a CPU that runs out looks elsewhere"
        )
    if "cold" in given:
        pairs = ", ".join(f"[{size}, {ns}]" for size, ns in given["cold"])
        lines.append(f"cold = [{pairs}]  # bytes that a task touches, and the ns that a migration then costs it")
    return "\n".join(lines) + "\n"
