"""The text of an objective such as ``rt_p99_ns < 20ms`` in; whether a window meets it out.

An objective names a column of the summary that is a number, or a feature. A window in which it is not known, as the
percentile of no samples, breaks none.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import pyarrow as pa

from schedtel.durations import format_duration, parse_duration
from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean
from schedtel.windows.features import FEATURES
from schedtel.windows.schema import SUMMARY

if TYPE_CHECKING:
    from schedtel.windows.window import Window

_MOST_SHOWN = 60
_TEXT = re.compile(r"\s*(\w+)\s*(<=|>=|<|>)\s*(\S+)\s*", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_COMPARE: Mapping[str, Callable[[float, float], bool]] = MappingProxyType(
    {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
)
_COLUMNS = frozenset(c.name for c in SUMMARY if pa.types.is_integer(c.type) or pa.types.is_floating(c.type))
_FEATURES = frozenset(feature.name for feature in FEATURES)


@dataclass(frozen=True)
class Slo:
    """A bound that each window is to keep.

    :param name: a numeric column of the summary, or a feature.
    :param sign: ``<``, ``<=``, ``>`` or ``>=``.
    :param bound: in the unit of the name; nanoseconds where it ends in ``_ns``.
    """

    name: str
    sign: str
    bound: float

    def __str__(self) -> str:
        return f"{self.name} {self.sign} {self._text(self.bound)}"

    def breach(self, window: Window) -> str:
        """What the window has instead, such as ``rt_p99_ns is 31.2 ms, not < 20.0 ms``; empty where it is met."""
        value = self._value(window)
        if value is None or _COMPARE[self.sign](value, self.bound):
            return ""
        return f"{self.name} is {self._text(value)}, not {self.sign} {self._text(self.bound)}"

    def _value(self, window: Window) -> float | None:
        value = window.summary[self.name][0].as_py() if self.name in _COLUMNS else window.features()[self.name]
        return None if value is None else float(value)

    def _text(self, value: float) -> str:
        return format_duration(value) if self.name.endswith("_ns") else f"{value:g}"


def parse_slo(text: str) -> Slo:
    """The objective that a text names: a name, ``<``, ``<=``, ``>`` or ``>=``, and a number, or a duration for ``_ns``.

    Raises :class:`UsageError` for any other text.
    """
    shown = repr(text[:_MOST_SHOWN])
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UsageError(f"cannot read {shown} as an objective: it is a name, a sign and a value (rt_p99_ns < 20ms)")
    name, sign, value = match.groups()
    if name not in _COLUMNS | _FEATURES:
        raise UsageError(f"cannot keep {shown}: no number of a window has this name ({_near(name)})")
    if name.endswith("_ns") and not _NUMBER.fullmatch(value):
        return Slo(name, sign, float(parse_duration(value)))
    if not _NUMBER.fullmatch(value):
        raise UsageError(f"cannot keep {shown}: its value is no decimal number (write {name} {sign} 0.5)")
    return Slo(name, sign, float(value))


def _near(name: str) -> str:
    found = did_you_mean(name, sorted(_COLUMNS | _FEATURES))
    return found if found.startswith("did") else "see `schedtel schema`"
