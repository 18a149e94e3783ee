"""A condition on a column of ``summary``, as text, in; whether a window makes it go off, out."""

from __future__ import annotations

import operator
import re

import pyarrow as pa

from schedtel.durations import format_duration, parse_duration
from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean
from schedtel.windows.column import Column
from schedtel.windows.schema import SUMMARY
from schedtel.windows.window import Window

_CONDITION = re.compile(r"\s*(\w+)\s*(>=|<=|>|<)\s*(\S.*?)\s*", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,18})?", re.ASCII)
_COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
#: By how much of the bound a value has to be back on the good side before a trigger can go off again.
_HYSTERESIS = 0.1
_SHOWN = 60


def _numeric(column: Column) -> bool:
    return pa.types.is_integer(column.type) or pa.types.is_floating(column.type)


#: Numeric columns of ``summary``; those of times by their names with and without the unit.
_COLUMNS = {column.name: column for column in SUMMARY if _numeric(column)}
_COLUMNS |= {name.removesuffix("_ns"): column for name, column in _COLUMNS.items() if name.endswith("_ns")}


class Trigger:
    """Goes off when a window breaks a condition such as ``wakeup_wait_p99 > 10ms``, and then not before one is well.

    A window is well whose value is a tenth of the bound on the good side: at most 9 ms, here. So a value that wavers
    around its bound sets the trigger off once. A window in which the column is null is well.

    Raises :class:`UsageError` for a text that is no condition.
    """

    def __init__(self, text: str) -> None:
        match = _CONDITION.fullmatch(text)
        if match is None:
            raise UsageError(
                f"cannot use the trigger {text[:_SHOWN]!r}: expected a column, one of > >= < <= and a value "
                "(write 'wakeup_wait_p99 > 10ms')"
            )
        name, self._sign, value = match.groups()
        if name not in _COLUMNS:
            raise UsageError(
                f"cannot use the trigger {text[:_SHOWN]!r}: summary has no column {name[:_SHOWN]!r} of numbers "
                f"({did_you_mean(name, [column.name for column in _COLUMNS.values()])})"
            )
        self.column, self._is_armed = _COLUMNS[name], True
        self._bound = _bound(self.column, value, text)
        away = 1 - _HYSTERESIS if self._sign.startswith(">") else 1 + _HYSTERESIS
        self._well = self._bound * away

    def goes_off(self, window: Window) -> bool:
        """Whether the window breaks the condition, and the trigger has not gone off since one was well."""
        value = self._value(window)
        if value is not None and _COMPARE[self._sign](value, self._bound):
            return self._is_armed
        if value is None or (value <= self._well if self._sign.startswith(">") else value >= self._well):
            self._is_armed = True
        return False

    def disarm(self) -> None:
        """Do not go off before a window is well."""
        self._is_armed = False

    def describe(self, window: Window) -> str:
        """What broke the condition: ``window 12: wakeup_wait_p99_ns 12.3 ms > 10.0 ms``."""
        value, bound = self._text(self._value(window)), self._text(self._bound)
        return f"window {window.window_id}: {self.column.name} {value} {self._sign} {bound}"

    def _value(self, window: Window) -> float | None:
        value: float | None = window.summary[self.column.name][0].as_py()
        return value

    def _text(self, value: float | None) -> str:
        return format_duration(value) if self.column.unit == "ns" else f"{value:.6g}"


def _bound(column: Column, value: str, text: str) -> float:
    """The value in the column's unit: of a time a duration, or 0; else a decimal number."""
    if column.unit == "ns" and value != "0":
        return parse_duration(value)
    if _NUMBER.fullmatch(value) is None:
        unit = f" of {column.unit}" if column.unit not in ("", "1") else ""
        raise UsageError(
            f"cannot use the trigger {text[:_SHOWN]!r}: {column.name} is a number{unit} (write '{column.name} > 10')"
        )
    return float(value)
