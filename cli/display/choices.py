"""Options of a user in; what is shown, and how, out. Knows nothing of rich, which NDJSON does without."""

from dataclasses import dataclass
from typing import Any, Self

from schedtel.durations import format_duration
from schedtel.errors import UsageError
from schedtel.live import LiveSource

#: Shown under a shorter name, in this order; sortable by it.
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
#: The same of who preempted whom; the mean is worked out.
PAIR_COLUMNS = {"count": "count", "wait": "wait_ns", "mean wait": "mean_wait_ns", "max wait": "max_wait_ns"}
#: What a key goes through.
_SORTS = tuple(COLUMNS[name] for name in ("cpu", "wait", "max wait", "invol", "vol", "tat", "rt"))
_PAIR_SORTS = tuple(PAIR_COLUMNS.values())
#: A row of the table is one of these; of the last, a pair of groups: who preempted whom.
GROUPINGS = ("task", "process", "cgroup", "comm", "preemption")


@dataclass
class Choice:
    """What a row is, by which column rows are sorted, how many are shown, and the second line of the page.

    Pairs have other columns than tasks and groups of them, and so a column of their own to be sorted by.
    """

    by: str = "task"
    sort: str = "cpu_ns"
    pair_sort: str = "wait_ns"
    top: int = 15
    subtitle: str = ""

    @classmethod
    def of(cls, options: dict[str, Any]) -> Self:
        """What a user chose by ``view_options``, which are taken out of the options."""
        choice = cls(by=options.pop("by"), top=options.pop("top"))
        name = options.pop("sort")
        if name is not None and choice.of_pairs:
            choice.pair_sort = _column(name, PAIR_COLUMNS)
        elif name is not None:
            choice.sort = _column(name, COLUMNS)
        return choice

    @property
    def of_pairs(self) -> bool:
        """Whether a row is a pair: who preempted whom."""
        return self.by == "preemption"

    def group_by_next(self) -> None:
        """Make a row what comes next."""
        self.by = _after(GROUPINGS, self.by)

    def sort_by_next(self) -> None:
        """Sort by the next column."""
        if self.of_pairs:
            self.pair_sort = _after(_PAIR_SORTS, self.pair_sort)
        else:
            self.sort = _after(_SORTS, self.sort if self.sort in _SORTS else _SORTS[-1])

    def describe(self, source: LiveSource) -> None:
        """Take the session's own facts for the headline."""
        window = format_duration(source.window_ns)
        backend = f"{source.backend} backend" + (" (core does not work here)" if source.not_core_because else "")
        self.subtitle = f"window {window} · {backend} · {source.filter.describe() or 'all tasks'}"


def _after(choices: tuple[str, ...], current: str) -> str:
    return choices[(choices.index(current) + 1) % len(choices)]


def _column(name: str, columns: dict[str, str]) -> str:
    """The column that a user means by ``cpu``, ``max-wait``, ``cpu_ns`` …"""
    found = columns.get(name.replace("-", " ").replace("_", " "), name)
    if found in columns.values():
        return found
    raise UsageError(f"cannot sort by {name!r}: no such column (use one of {', '.join(columns)})")
