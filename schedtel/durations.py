"""Durations: text such as ``250ms`` or ``5s`` in, nanoseconds out, and back."""

import re

from schedtel.errors import UsageError

NS_PER_S = 1_000_000_000
_UNITS_NS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_S,
    "m": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
}
_PATTERN = re.compile(r"(\d+)(?:\.(\d+))?\s*(ns|us|µs|ms|s|m|h)", re.ASCII)
#: 100 years of 365 days. A moment this long after any reading of a clock still fits into 63 bits.
_LONGEST_NS = 876_000 * _UNITS_NS["h"]
#: More digits than any duration needs. Python refuses to convert more than 4,300.
_MOST_DIGITS = 30


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration written as number and unit: ``250ms``, ``5s``, ``1.5m``.

    Raises :class:`UsageError` for any other text, for zero, and for a duration that is shorter than a nanosecond or
    longer than 100 years.
    """
    match = _PATTERN.fullmatch(str(text).strip())
    if match is None:
        raise UsageError(f"cannot read duration {text!r}: expected a number and a unit (write 250ms, 5s or 1m)")
    ns = _nanoseconds(match[1].lstrip("0"), (match[2] or "")[:_MOST_DIGITS], _UNITS_NS[match[3]])
    if ns <= 0:
        raise UsageError(f"cannot use duration {text!r}: it must be longer than 0 (write 250ms, 5s or 1m)")
    if ns > _LONGEST_NS:
        raise UsageError(f"cannot use duration {str(text)[:40]!r}: it is longer than 100 years (at most 876000h)")
    return ns


def _nanoseconds(whole: str, fraction: str, unit: int) -> int:
    if len(whole) > _MOST_DIGITS:
        return _LONGEST_NS + 1
    return int(whole or "0") * unit + int(fraction or "0") * unit // 10 ** len(fraction)


def format_duration(ns: float | None) -> str:
    """A duration in ns as text to read: three significant figures and the unit that fits; ``-`` for None."""
    if ns is None:
        return "-"
    for unit, size in (("µs", 1_000), ("ms", 1_000_000), ("s", NS_PER_S)):
        # From 999.5 on, a number rounds to 1000, which is 1 of the next unit.
        if abs(ns) < 999.5 * size or unit == "s":
            break
    if abs(ns) < 999.5:
        return f"{ns:.0f} ns"
    value = ns / size
    digits = 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    return f"{value:.{digits}f} {unit}"
