"""A table of TOML in; its values, each of the right kind and in its range, out. What is not asked for is refused."""

import difflib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from schedtel.durations import format_duration, parse_duration
from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean

Value = TypeVar("Value")
#: Most characters of a foreign value in a message.
_MOST_SHOWN = 40
#: The longest duration in a workload: a day, so that moments fit into any arithmetic.
LONGEST_NS = 86_400 * 1_000_000_000


class Fields:
    """The fields of one table. Every method takes the field out; :meth:`end` refuses what is left.

    All methods raise :class:`UsageError` for a value of another kind or out of range, and for a missing one without a
    default.
    """

    def __init__(self, table: object, where: str) -> None:
        if not isinstance(table, dict):
            raise UsageError(f"cannot use {where}: it is {shown(table)} and no table (write {where} = {{ … }})")
        self._left: dict[str, Any] = dict(table)
        self.where = where
        self._asked: list[str] = []

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def end(self) -> None:
        """Refuse the fields that were not asked for, with the name that each of them may have been meant to be."""
        for name in self._left:
            raise UsageError(
                f"cannot use {self.where}: unknown field {name!r} ({did_you_mean(name, sorted(self._asked))})"
            )

    def take(self, name: str, default: Any = None) -> Any:
        """The raw value, or the default."""
        self._asked.append(name)
        return self._left.pop(name, default)

    def refuse(self, name: str, value: object, why: str) -> UsageError:
        """The error that says why a field's value cannot be used."""
        return UsageError(f"cannot use {self.where}: {name} is {shown(value)}, and must be {why}")

    def need(self, name: str) -> Any:
        """The raw value of a field that must be there."""
        value = self.take(name)
        if value is None:
            # A field of another name is what it was meant to be, or else it is missing.
            near = difflib.get_close_matches(name, self._left, 1)
            if near:
                raise UsageError(f"cannot use {self.where}: unknown field {near[0]!r} (did you mean {name!r}?)")
            raise UsageError(f"cannot use {self.where}: field {name!r} is missing (give it)")
        return value

    def duration(self, name: str, default: int | None = None, *, least: int = 1, most: int = LONGEST_NS) -> int:
        """Nanoseconds of a duration such as "5ms"."""
        raw = self.need(name) if default is None else self.take(name)
        return default if raw is None and default is not None else self._ns(name, raw, least, most)

    def durations(self, name: str) -> list[int]:
        """Nanoseconds of a list of durations."""
        return [self._ns(name, raw, 1, LONGEST_NS) for raw in self.items(name)]

    def _ns(self, name: str, raw: object, least: int, most: int) -> int:
        if not isinstance(raw, str):
            raise self.refuse(name, raw, 'a duration (such as "5ms")')
        try:
            ns = 0 if raw.strip() in ("0s", "0ms") else parse_duration(raw)
        except UsageError:  # which does not know the field, and repeats a value of any length
            raise self.refuse(name, raw, 'a duration (such as "5ms")') from None
        if not least <= ns <= most:
            raise self.refuse(name, raw, f"from {format_duration(least)} to {format_duration(most)}")
        return ns

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        """A number from ``low`` to ``high``."""
        raw = self.need(name) if default is None else self.take(name, default)
        return self._number(name, raw, low, high)

    def numbers(self, name: str, low: float, high: float) -> list[float]:
        """A list of such numbers."""
        return [self._number(name, raw, low, high) for raw in self.items(name)]

    def _number(self, name: str, raw: object, low: float, high: float) -> float:
        is_number = isinstance(raw, int | float) and not isinstance(raw, bool)
        if not is_number or not math.isfinite(raw) or not low <= raw <= high:  # type: ignore[arg-type,operator]
            raise self.refuse(name, raw, f"a number from {low:g} to {high:g}")
        return float(raw)  # type: ignore[arg-type]

    def count(self, name: str, low: int, high: int, default: int | None = None) -> int:
        """An integer from ``low`` to ``high``."""
        raw = self.need(name) if default is None else self.take(name, default)
        if isinstance(raw, bool) or not isinstance(raw, int) or not low <= raw <= high:
            raise self.refuse(name, raw, f"an integer from {low:,} to {high:,}")
        return raw

    def flag(self, name: str) -> bool:
        """true or false; false where it is missing."""
        raw = self.take(name, default=False)
        if not isinstance(raw, bool):
            raise self.refuse(name, raw, "true or false")
        return raw

    def text(self, name: str, default: str | None = None) -> str:
        """A text that is not empty and has no character that a path cannot have."""
        raw = self.need(name) if default is None else self.take(name, default)
        if not isinstance(raw, str) or "\0" in raw or (not raw and default is None):
            raise self.refuse(name, raw, "a text")
        return raw

    def items(self, name: str) -> list[Any]:
        """A list that is not empty."""
        raw = self.need(name)
        if not isinstance(raw, list) or not raw:
            raise self.refuse(name, raw, "a list of one or more")
        return raw

    def choice(self, name: str, known: Iterable[str], default: str | None = None) -> str:
        """One of some words."""
        raw, words = self.need(name) if default is None else self.take(name, default), list(known)
        if raw not in words:
            meant = did_you_mean(raw, sorted(words)) if isinstance(raw, str) else f"one of {', '.join(words)}"
            raise UsageError(f"cannot use {self.where}: {name} is {shown(raw)}, which is unknown ({meant})")
        return str(raw)


def kind_of(raw: object, where: str, readers: Mapping[str, Callable[[Fields], Value]]) -> Value:
    """What the reader for the table's ``kind`` makes of it; a text that is no table is a table with that kind alone."""
    fields = Fields({"kind": raw} if isinstance(raw, str) else raw, where)
    value = readers[fields.choice("kind", readers)](fields)
    fields.end()
    return value


def shown(value: object) -> str:
    """A foreign value in a message, cut short."""
    text = repr(value)
    return text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…"
