"""A window and a short history in; a page for a person out, the same on a terminal and in a pipe."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from schedtel.cli.display.choices import COLUMNS, PAIR_COLUMNS, Choice
from schedtel.durations import format_duration
from schedtel.records.histogram import TASK_EDGES_NS
from schedtel.windows import tables
from schedtel.windows.arrow import rows as rows_of
from schedtel.windows.window import Window

_HISTORY = 40
_SPARKS = "▁▂▃▄▅▆▇█"
_BAR_WIDTH = 44
_EIGHTHS = " ▏▎▍▌▋▊▉█"
#: Columns that are left out on a narrow terminal, in this order.
_LEAST_NEEDED = ("migr", "bursts", "blocked", "preempt", "wakeup", "max wait", "rt", "tat", "vol", "invol")
_FIGURE_WIDTH, _IDENTITY_WIDTH = 10, 26
_DISTRIBUTIONS = {
    "turnaround (TAT)": "tat",
    "response (RT)": "rt",
    "burst TAT": "burst_tat",
    "wakeup wait (burst RT)": "wakeup_wait",
    "preempt wait": "preempt_wait",
}
#: Times that the footer tells only if there were any.
_RARE = {
    "steal_ns": "steal",
    "throttled_ns": "throttled",
    "untracked_ns": "hidden tasks",
    "offline_ns": "CPUs offline",
}
_LOSS_WORDS = {
    "ring_dropped": "rows without room",
    "state_failed": "tasks without state",
    "samples_discarded": "samples discarded",
    "programs_skipped": "events withheld by the kernel",
}


def spark(values: list[float]) -> str:
    """A line of block characters, one for each value, scaled to the largest value; a space for NaN."""
    top = max((v for v in values if not math.isnan(v)), default=0.0)
    steps = len(_SPARKS) - 1
    return "".join(" " if math.isnan(v) else _SPARKS[round(v / top * steps) if top else 0] for v in values)


def bar(part: float, width: int) -> str:
    """A horizontal bar, ``part`` (0 to 1) of ``width`` characters long, in steps of an eighth of a character."""
    eighths = round(max(0.0, min(1.0, part)) * width * 8)
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


class View:
    """The page: :meth:`add` takes the next window, :meth:`render` draws the newest one."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self._window: Window | None = None
        self._history: dict[str, deque[float]] = {}

    @property
    def has_window(self) -> bool:
        return self._window is not None

    def add(self, window: Window) -> None:
        """Make this window the current one, and append its summary to the history."""
        self._window = window
        row = rows_of(window.summary)[0]
        for name, value in row.items():
            if isinstance(value, int | float) or value is None:
                values = self._history.setdefault(name, deque(maxlen=_HISTORY))
                values.append(float("nan") if value is None else float(value))

    def render(self, rows: int | None = None, width: int = 140, status: str = "") -> RenderableType:
        """The page; with ``rows``, the parts of it that fit into that many lines.

        :param status: the last line, such as progress and keys.
        """
        if self._window is None:
            return Text.assemble(("schedtel ", "bold cyan"), self.choice.subtitle, "\n\n", (status or "waiting", "dim"))
        row = rows_of(self._window.summary)[0]
        head = [self._headline(row), self._distributions(row), self._averages(row)]
        tail = [self._footer(row)] + ([Text(status, "dim")] if status else [])
        histogram = self._histogram(self._window)
        used = 2 + (len(_DISTRIBUTIONS) + 2) + 5 + 2 + len(tail) + 2
        top = self.choice.top
        if rows is not None:
            if rows - used - _lines(histogram) < 5:
                histogram = None
            top = min(top, max(0, rows - used - (_lines(histogram) if histogram else 0)))
        parts = [*head, *([histogram] if histogram else []), *([self._table(top, width)] if top else []), *tail]
        return Group(*parts)

    def _headline(self, row: dict[str, Any]) -> Text:
        wall_start = row["wall_start"]
        start = f"{wall_start:%H:%M:%S} UTC" if wall_start else f"at {row['window_start_ns'] / 1e9:.3f} s"
        length = format_duration(row["window_ns"])
        mark = f"  held up: {row['windows_spanned']} windows long" if row["windows_spanned"] > 1 else ""
        return Text.assemble(
            ("schedtel ", "bold cyan"),
            (row["host"] or "unknown host", "bold"),
            f" · Linux {row['kernel'] or '?'} · ",
            (row["scheduler"] or "unknown scheduler", "bold green"),
            f" · {start}, {length}",
            (mark, "bold yellow"),
            ("\n" + self.choice.subtitle, "dim"),
        )

    def _distributions(self, row: dict[str, Any]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        table.add_column("")
        for name in ("n", "mean", "p50", "p95", "p99", "max"):
            table.add_column(name, justify="right")
        table.add_column("p99 over time")
        for label, prefix in _DISTRIBUTIONS.items():
            figures = [format_duration(row[f"{prefix}_{s}_ns"]) for s in ("mean", "p50", "p95", "p99", "max")]
            table.add_row(label, str(row[f"{prefix}_count"]), *figures, self._spark(f"{prefix}_p99_ns"))
        return Padding(table, (1, 0, 0, 0))  # type: ignore[return-value]

    def _averages(self, row: dict[str, Any]) -> RenderableType:
        seconds = row["window_ns"] / 1e9
        cpus = self._window.cpus.num_rows if self._window else 1
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        for _ in range(6):
            table.add_column(no_wrap=True)
        idle = 100 * row["idle_ns"] / max(1, row["window_ns"] * cpus - row["offline_ns"])
        table.add_row(
            *self._cell("run queue", f"{row['runqueue_length_avg']:.2f}", "runqueue_length_avg"),
            *self._cell("fairness J", _ratio(row["fairness_jain"]), "fairness_jain"),
        )
        table.add_row(
            *self._cell("running", f"{row['running_avg']:.2f}", "running_avg"),
            *self._cell("fairness CV", _ratio(row["fairness_cv"]), "fairness_cv"),
        )
        table.add_row(
            *self._cell("blocked", f"{row['blocked_avg']:.1f}", "blocked_avg"),
            *self._cell("switches/s", _switches(row, seconds), "voluntary_switches"),
        )
        table.add_row(
            *self._cell("on I/O", "-" if row["iowait_avg"] is None else f"{row['iowait_avg']:.2f}", "iowait_avg"),
            *self._cell("idle", f"{idle:.0f} % of {cpus} CPUs", "idle_ns"),
        )
        return Padding(table, (1, 0, 0, 0))

    def _cell(self, label: str, figure: str, history: str) -> tuple[Text, Text, Text]:
        return Text(label, "dim"), Text(figure, "bold"), Text(self._spark(history, 24), "cyan")

    def _spark(self, name: str, width: int = _HISTORY) -> str:
        return spark(list(self._history.get(name, ()))[-width:])

    def _histogram(self, window: Window) -> RenderableType | None:
        """Waits by duration, one line for each factor of four; empty lines at both ends are left out."""
        real = ~tables.is_other(window.tasks)
        counts = tables.histograms(window.tasks, "wait_histogram")[real].sum(axis=0, dtype=np.int64)
        edges, total = TASK_EDGES_NS[1:], int(counts.sum())
        if not total:
            return None
        limits = [1024 * 4**k for k in range(14)]
        grouped = np.bincount(np.searchsorted(limits, edges), weights=counts, minlength=len(limits) + 1)
        used = np.flatnonzero(grouped)
        table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=False, title=None)
        table.add_column(justify="right", style="dim")
        table.add_column(justify="right")
        table.add_column(style="magenta", no_wrap=True)
        top = grouped.max()
        for k in range(used[0], used[-1] + 1):
            table.add_row(
                f"wait ≤ {format_duration(limits[min(k, 13)])}", f"{grouped[k]:.0f}", bar(grouped[k] / top, _BAR_WIDTH)
            )
        return Padding(table, (1, 0, 0, 0))

    def _table(self, top: int, width: int) -> RenderableType:
        assert self._window is not None
        if self.choice.of_pairs:
            return Padding(_pairs(self._window, top, self.choice.pair_sort), (1, 0, 0, 0))
        batch = self._window.tasks if self.choice.by == "task" else self._window.groups(self.choice.by)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        identity = self._identity(batch)
        shown = _fitting([name for name in COLUMNS if COLUMNS[name] in batch.schema.names], width)
        for name in identity:
            table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=34)
        for name in shown:
            _add_figures(table, name, marked=COLUMNS[name] == self.choice.sort)
        for i in self._order(batch)[:top]:
            figures = [_figure(COLUMNS[name], batch[COLUMNS[name]][i].as_py()) for name in shown]
            table.add_row(*(read(i) for read in identity.values()), *figures)
        return Padding(table, (1, 0, 0, 0))

    def _order(self, batch: pa.RecordBatch) -> list[int]:
        """Indices of the rows by the sort column, largest value first; the row `other` is last."""
        values = tables.column(batch, self.choice.sort).astype(np.float64)
        other = tables.is_other(batch) if self.choice.by == "task" else tables.column(batch, "tasks") == 0
        return [int(i) for i in np.lexsort((-values, other))]

    def _identity(self, batch: pa.RecordBatch) -> dict[str, Callable[[int], str]]:
        """Heading → function from a row's index to its text, for each column that names a row."""
        if self.choice.by == "task":
            return {"tid": lambda i: str(batch["tid"][i].as_py() or ""), "comm": lambda i: batch["comm"][i].as_py()}
        commands = self._commands() if self.choice.by == "process" else {}
        identity: dict[str, Callable[[int], str]] = {
            self.choice.by: lambda i: _key(self.choice.by, batch[self.choice.by][i].as_py())
        }
        if commands:
            identity["comm"] = lambda i: commands.get(batch["process"][i].as_py(), "")
        return identity | {"tasks": lambda i: str(batch["tasks"][i].as_py() or "")}

    def _commands(self) -> dict[int, str]:
        assert self._window is not None
        tasks = self._window.tasks
        named = zip(tasks["tgid"].to_pylist(), tasks["comm"].to_pylist(), strict=True)
        return {tgid: comm for tgid, comm in named if tgid is not None}

    def _footer(self, row: dict[str, Any]) -> Text:
        lost = ", ".join(f"{row[name]} {words}" for name, words in _LOSS_WORDS.items() if row[name])
        notes = [f"{row['tasks_active']} active, {row['tasks_folded']} in other", *_costs(row)]
        notes += [f"{words} {format_duration(row[name])}" for name, words in _RARE.items() if row[name]]
        state = (f"lost: {lost}", "bold red") if lost else ("nothing lost, exact", "green")
        return Text.assemble("\n", state, (" · " + " · ".join(notes), "dim"))


def _costs(row: dict[str, Any]) -> Iterator[str]:
    """The cost of tracing, in words; nothing for an imported trace, whose cost is unknown."""
    if row["collector_cpu_ns"] is not None:
        cost = f"collector {100 * row['collector_cpu_ns'] / row['window_ns']:.2f} % of a CPU"
        if row["bpf_ns"] is not None:
            cost += f", BPF {100 * row['bpf_ns'] / row['window_ns']:.2f} %"
        yield cost
    if row["collector_rss_bytes"] is not None:
        yield f"{row['collector_rss_bytes'] / 1e6:.0f} MB"


def _pairs(window: Window, top: int, sort: str) -> Table:
    """Preemption pairs; below them the cgroups that a bandwidth limit throttled, which looks like preemption."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("victim", "preemptor"):
        table.add_column(name, no_wrap=True, overflow="ellipsis", max_width=44)
    for name, column in PAIR_COLUMNS.items():
        _add_figures(table, name, marked=column == sort)
    pairs = window.preemptions
    columns = {name: tables.column(pairs, name) for name in ("count", "wait_ns", "max_wait_ns")}
    columns["mean_wait_ns"] = columns["wait_ns"] / np.maximum(columns["count"], 1)
    for at in np.argsort(-columns[sort], kind="stable")[:top].tolist():
        (row,) = rows_of(pairs.slice(at, 1))
        figures = [_figure(column, columns[column][at].item()) for column in PAIR_COLUMNS.values()]
        table.add_row(_party(row, "victim"), _party(row, "preemptor"), *figures)
    for row in rows_of(window.throttled.slice(0, top)):
        if row["throttled_ns"]:
            throttling = f"throttled in {row['throttled_periods']} of {row['periods']} periods"
            table.add_row(row["cgroup"], throttling, "", format_duration(row["throttled_ns"]), style="yellow")
    return table


def _add_figures(table: Table, name: str, *, marked: bool) -> None:
    """Add a column of figures; ``marked`` for the column that rows are sorted by."""
    table.add_column(
        name + ("▾" if marked else ""), justify="right", header_style="bold" if marked else None, no_wrap=True
    )


def _party(row: dict[str, Any], name: str) -> str:
    """The name of the victim's or preemptor's group; the id of a cgroup that no longer exists."""
    return row[name] if row[name] is not None else f"cgroup {row[f'{name}_cgroup_id']} (gone)"


def _fitting(names: list[str], width: int) -> list[str]:
    """The columns that fit the width; on a narrow terminal, without those that are needed least."""
    room = max(1, (width - _IDENTITY_WIDTH) // _FIGURE_WIDTH)
    dropped = [name for name in _LEAST_NEEDED if name in names][: max(0, len(names) - room)]
    return [name for name in names if name not in dropped]


def _lines(histogram: RenderableType | None) -> int:
    table = getattr(histogram, "renderable", None)
    return table.row_count + 1 if isinstance(table, Table) else 0


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _switches(row: dict[str, Any], seconds: float) -> str:
    return f"{row['voluntary_switches'] / seconds:.0f} + {row['involuntary_switches'] / seconds:.0f} inv"


def _figure(column: str, value: float | None) -> str:
    if value is None:
        return "-"
    return format_duration(value) if column.endswith("_ns") else str(value)


def _key(by: str, value: object) -> str:
    if by == "process" and value is None:
        return "unknown"  # an imported trace may not contain it
    if value is None or (by == "process" and value == 0):
        return "other"
    return str(value)
