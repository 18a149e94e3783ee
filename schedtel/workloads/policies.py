"""How the scheduler treats a class: fields of TOML in; policy, nice value, slice and CPUs for the generator out."""

import math
import os
from dataclasses import asdict, dataclass
from typing import Any

from schedtel.errors import UsageError
from schedtel.workloads.fields import Fields

#: Policy → SCHED_* of include/uapi/linux/sched.h.
POLICIES = {"other": 0, "fifo": 1, "rr": 2, "batch": 3, "idle": 5, "deadline": 6}
_FAIR = ("other", "batch")
_REAL_TIME = ("fifo", "rr")
#: Load weight at nice 0, and of the extreme nice values (sched_prio_to_weight, kernel/sched/core.c). A level of nice is
#: a factor of about 1.25 of the weight.
_NICE_0, _LEAST, _MOST = 1024, 15, 88761
#: EEVDF keeps custom slices between these (kernel/sched/syscalls.c).
_SLICES_NS = (100_000, 100_000_000)


@dataclass(frozen=True)
class Treatment:
    """What a worker asks of the scheduler for itself, by sched_setattr and sched_setaffinity."""

    policy: str = "other"
    nice: int = 0
    priority: int = 0
    runtime_ns: int = 0
    deadline_ns: int = 0
    period_ns: int = 0
    cpus: tuple[int, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def check_cpus(self, name: str) -> None:
        """Raise :class:`UsageError` for a CPU that this process may not use."""
        usable = os.sched_getaffinity(0)
        missing = sorted(set(self.cpus) - usable)
        if missing:
            here = ", ".join(map(str, sorted(usable)))
            raise UsageError(f"cannot use classes.{name}: CPU {missing[0]} is not there or not ours (there are {here})")


def nice_of_weight(weight: float) -> int:
    """The nice value whose load weight is nearest."""
    return round(math.log(_NICE_0 / weight) / math.log(1.25))


def read_treatment(fields: Fields) -> Treatment:
    """The treatment that the fields of a class describe.

    Raises :class:`UsageError` for fields that the policy does not have, and for ``weight`` beside ``nice``.
    """
    policy = fields.choice("policy", POLICIES, "other")
    _refuse_others(fields, policy)
    if "weight" in fields and "nice" in fields:
        raise UsageError(f"cannot use {fields.where}: weight and nice say the same (give one of them)")
    nice = fields.count("nice", -20, 19, 0)
    if "weight" in fields:
        nice = nice_of_weight(fields.number("weight", _LEAST, _MOST))
    fields.take("weight")
    priority = fields.count("priority", 1, 99, 1) if policy in _REAL_TIME else 0
    return Treatment(policy, nice, priority, *_times(fields, policy), _cpus(fields))


def _refuse_others(fields: Fields, policy: str) -> None:
    owners: dict[str, tuple[str, ...]] = {"weight": _FAIR, "nice": _FAIR, "slice": _FAIR, "priority": _REAL_TIME}
    owners |= dict.fromkeys(("runtime", "period"), ("deadline",))
    for name, policies in owners.items():
        if name in fields and policy not in policies:
            raise UsageError(
                f"cannot use {fields.where}: policy {policy!r} has no {name} ({' and '.join(policies)} have; drop it)"
            )


def _times(fields: Fields, policy: str) -> tuple[int, int, int]:
    """Runtime, deadline and period of a deadline task; the slice of another, as its runtime."""
    if policy == "deadline":
        return fields.duration("runtime", least=1024), fields.duration("deadline"), fields.duration("period")
    low, high = _SLICES_NS
    return (fields.duration("slice", 0, least=low, most=high) if "slice" in fields else 0), 0, 0


def _cpus(fields: Fields) -> tuple[int, ...]:
    if "cpus" not in fields:
        fields.take("cpus")
        return ()
    cpus = fields.items("cpus")
    for cpu in cpus:
        if isinstance(cpu, bool) or not isinstance(cpu, int) or not 0 <= cpu < 4096:
            raise fields.refuse("cpus", cpu, "a list of CPU numbers")
    return tuple(sorted(set(cpus)))
