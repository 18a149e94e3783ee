"""The user's options in; the rows, columns and order of a page out. Does not import rich, for the sake of NDJSON."""

from dataclasses import dataclass
from typing import Any, Self

from schedtel.durations import format_duration
from schedtel.errors import UsageError
from schedtel.live import LiveSource

#: Name on the page → column, in the order shown. Pages can be sorted by each.
COLUMNS = {
    "cpu": "cpu_ns",
    "wait": "wait_ns",
    "wakeup": "wakeup_wait_ns",
    "preempt": "preempt_wait_ns",
    "max wait": "max_wait_ns",
    "blocked": "blocked_ns",
    "vol": "voluntary_switches",
    "invol": "involuntary_switches",
    "migr": "migrations",
    "bursts": "bursts",
    "rt": "rt_ns",
    "tat": "tat_ns",
}
#: The same for preemption pairs; the mean wait is computed from the other columns.
PAIR_COLUMNS = {"count": "count", "wait": "wait_ns", "mean wait": "mean_wait_ns", "max wait": "max_wait_ns"}
#: Columns that the sort key steps through.
_SORTS = tuple(COLUMNS[name] for name in ("cpu", "wait", "max wait", "invol", "vol", "tat", "rt"))
_PAIR_SORTS = tuple(PAIR_COLUMNS.values())
#: What a row of the table stands for. With ``preemption`` a row is a pair of groups: who preempted whom. With ``wait``
#: it is one of the window's longest waits.
GROUPINGS = ("task", "process", "cgroup", "comm", "preemption", "wait")


@dataclass
class Choice:
    """What a row stands for, which column sorts the rows, how many rows are shown, and the second line of the page.

    Preemption pairs have other columns than tasks and groups of tasks, so they have their own sort column.
    """

    by: str = "task"
    sort: str = "cpu_ns"
    pair_sort: str = "wait_ns"
    top: int = 15
    subtitle: str = ""

    @classmethod
    def of(cls, options: dict[str, Any]) -> Self:
        """The choice that the user made with ``view_options``. Removes them from ``options``.

        Raises :class:`UsageError` when the sort column does not exist.
        """
        choice = cls(by=options.pop("by"), top=options.pop("top"))
        name = options.pop("sort")
        if name is not None and choice.of_waits:
            _column(name, {"wait": "wait_ns"})  # the table has them in this order
        elif name is not None and choice.of_pairs:
            choice.pair_sort = _column(name, PAIR_COLUMNS)
        elif name is not None:
            choice.sort = _column(name, COLUMNS)
        return choice

    @property
    def of_pairs(self) -> bool:
        """Whether a row is a preemption pair: who preempted whom."""
        return self.by == "preemption"

    @property
    def of_waits(self) -> bool:
        """Whether a row is a single wait."""
        return self.by == "wait"

    def group_by_next(self) -> None:
        """Group rows by the next of ``GROUPINGS``."""
        self.by = _after(GROUPINGS, self.by)

    def sort_by_next(self) -> None:
        """Sort rows by the next column; waits are in the order of their length."""
        if self.of_waits:
            return
        if self.of_pairs:
            self.pair_sort = _after(_PAIR_SORTS, self.pair_sort)
        else:
            self.sort = _after(_SORTS, self.sort if self.sort in _SORTS else _SORTS[-1])

    def describe(self, source: LiveSource) -> None:
        """Set the second line of the page from a live source: window length, backend, filter."""
        window = format_duration(source.window_ns)
        backend = f"{source.backend} backend" + (" (core does not work here)" if source.not_core_because else "")
        self.subtitle = f"window {window} · {backend} · {source.filter.describe() or 'all tasks'}"


def _after(choices: tuple[str, ...], current: str) -> str:
    return choices[(choices.index(current) + 1) % len(choices)]


def _column(name: str, columns: dict[str, str]) -> str:
    """The column that a user means by ``cpu``, ``max-wait``, ``cpu_ns`` …"""
    column = columns.get(name.replace("-", " ").replace("_", " "), name)
    if column in columns.values():
        return column
    raise UsageError(f"cannot sort by {name!r}: no such column (use one of {', '.join(columns)})")
