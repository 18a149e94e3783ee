"""A word of an arm such as ``slice=0.1ms`` or ``idle`` in; what is to be set, and to what, out."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from schedtel.durations import parse_duration
from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean

#: __setparam_fair() of kernel/sched/syscalls.c clamps a custom slice to this.
SHORTEST_SLICE_NS, LONGEST_SLICE_NS = 100_000, 100_000_000
#: Above this runs the guard, which must get a CPU when real-time threads leave none.
HIGHEST_PRIORITY = 90
#: max_bw_quota_period_us and min_bw_quota_period_us of kernel/sched/core.c, and the period that a cgroup has at first.
_SHORTEST_PERIOD_US, _LONGEST_PERIOD_US, _PERIOD_US = 1_000, 1_000_000, 100_000
#: CGROUP_WEIGHT_MAX of include/linux/cgroup.h.
_LARGEST_WEIGHT = 10_000
_MOST_CPUS = 8192
_MOST_SHOWN = 40


@dataclass(frozen=True)
class Setting:
    """One thing that an arm sets.

    :param kind: what it is set of: ``attributes`` of a thread, its ``affinity``, its session's ``autogroup``, or a
        ``cgroup``.
    :param word: ``slice``, ``batch``, ``idle``, ``other``, ``rr``, ``nice``, ``cpus``, ``autogroup``, ``weight``,
        ``max`` or ``group-idle``.
    :param values: the integers that it is set to: nanoseconds of a slice, CPU numbers, a priority, a nice value, a
        weight, or quota and period in microseconds; empty where the word says all.
    """

    kind: str
    word: str
    values: tuple[int, ...]
    text: str

    def __str__(self) -> str:
        return self.text


def parse_setting(text: str) -> Setting:
    """The setting that a text names.

    Raises :class:`UsageError` for a word that is none, and for a value that is missing, out of range or superfluous.
    """
    word, equals, value = text.partition("=")
    if word not in _KINDS:
        raise UsageError(f"cannot read {_short(text)} as a setting: {did_you_mean(word, _KINDS)}")
    kind, read = _KINDS[word]
    if read is None:
        if equals:
            raise UsageError(f"cannot use {_short(text)}: {word} has no value (write {word})")
        return Setting(kind, word, (), text)
    if not value:
        raise UsageError(f"cannot use {_short(text)}: {word} needs a value (write {EXAMPLES[word]})")
    return Setting(kind, word, read(text, value), text)


def is_setting(text: str) -> bool:
    """Whether a text begins with the word of a setting."""
    return text.partition("=")[0] in _KINDS


def _short(text: str) -> str:
    return repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…")


def _integer(text: str, value: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,9}", value) or not low <= int(value) <= high:
        raise UsageError(f"cannot use {_short(text)}: the value must be an integer from {low} to {high}")
    return int(value)


def _within(low: int, high: int) -> Callable[[str, str], tuple[int, ...]]:
    return lambda text, value: (_integer(text, value, low, high),)


def _slice(text: str, value: str) -> tuple[int, ...]:
    slice_ns = parse_duration(value)
    if not SHORTEST_SLICE_NS <= slice_ns <= LONGEST_SLICE_NS:
        raise UsageError(f"cannot use {_short(text)}: the kernel takes slices from 0.1ms to 100ms")
    return (slice_ns,)


def _cpus(text: str, value: str) -> tuple[int, ...]:
    """CPU numbers of a list as the kernel writes it, such as ``0,2-3``."""
    cpus: set[int] = set()
    for part in value.split(","):
        first, dash, last = part.partition("-")
        low = _integer(text, first, 0, _MOST_CPUS - 1)
        cpus.update(range(low, 1 + (_integer(text, last, low, _MOST_CPUS - 1) if dash else low)))
    return tuple(sorted(cpus))


def _quota(text: str, value: str) -> tuple[int, ...]:
    """Quota and period in µs of ``20ms/100ms``, or of ``50%``: of one CPU, so that ``200%`` is two."""
    if value.endswith("%"):
        share = _integer(text, value[:-1], 1, 100 * _MOST_CPUS)
        return share * _PERIOD_US // 100, _PERIOD_US
    quota, slash, period = value.partition("/")
    if not slash:
        raise UsageError(f"cannot use {_short(text)}: a limit is a share or a quota (write {EXAMPLES['max']})")
    quota_us, period_us = parse_duration(quota) // 1000, parse_duration(period) // 1000
    if not _SHORTEST_PERIOD_US <= period_us <= _LONGEST_PERIOD_US or quota_us < _SHORTEST_PERIOD_US:
        raise UsageError(f"cannot use {_short(text)}: the kernel takes periods from 1ms to 1s, and quotas from 1ms")
    return quota_us, period_us


#: Word → what it is set of, and how its value is read; None where it has none.
_KINDS: dict[str, tuple[str, Callable[[str, str], tuple[int, ...]] | None]] = {
    "slice": ("attributes", _slice),
    "batch": ("attributes", None),
    "idle": ("attributes", None),
    "other": ("attributes", None),
    "rr": ("attributes", _within(1, HIGHEST_PRIORITY)),
    "nice": ("attributes", _within(-20, 19)),
    "cpus": ("affinity", _cpus),
    "autogroup": ("autogroup", _within(-20, 19)),
    "weight": ("cgroup", _within(1, _LARGEST_WEIGHT)),
    "max": ("cgroup", _quota),
    "group-idle": ("cgroup", None),
}
#: Word → how it is written.
EXAMPLES = {
    "slice": "slice=0.1ms",
    "batch": "batch",
    "idle": "idle",
    "other": "other",
    "rr": "rr=10",
    "nice": "nice=19",
    "cpus": "cpus=0,2-3",
    "autogroup": "autogroup=19",
    "weight": "weight=10",
    "max": "max=50% or max=20ms/100ms",
    "group-idle": "group-idle",
}
