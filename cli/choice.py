"""Options of a user in; what is shown, and how, out. Knows nothing of rich, which NDJSON does without."""

from dataclasses import dataclass

from schedtel.durations import format_duration
from schedtel.errors import UsageError
from schedtel.live import LiveSource
from schedtel.schema import TASKS

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
SORTS = ("cpu", "wait", "max wait", "invol", "vol", "tat", "rt")
#: A row of the table is one of these; of the last, a pair of groups: who preempted whom.
GROUPINGS = ("task", "process", "cgroup", "comm", "preemption")


@dataclass
class Choice:
    """What a row is, by which column rows are sorted, how many are shown, and the second line of the page."""

    by: str = "task"
    sort: str = "cpu_ns"
    top: int = 15
    subtitle: str = ""

    def describe(self, source: LiveSource) -> None:
        """Take the session's own facts for the headline."""
        window = format_duration(source.window_ns)
        loader = f"{source.backend} loader" + (" (core does not work here)" if source.not_core_because else "")
        self.subtitle = f"window {window} · {loader} · {source.filter.describe() or 'all tasks'}"


def sort_column(name: str) -> str:
    """The column of ``tasks`` that a user means by ``cpu``, ``wait``, ``cpu_ns`` …"""
    short = name.replace("-", " ").replace("_", " ")
    if short in COLUMNS:
        return COLUMNS[short]
    summed = {column.name for column in TASKS if column.unit in ("ns", "1")}
    if name in COLUMNS.values() and name in summed:
        return name
    raise UsageError(f"cannot sort by {name!r}: no such column (use one of {', '.join(COLUMNS)})")
