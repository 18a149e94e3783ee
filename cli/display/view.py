"""A window and a short history in; a page for a person out, the same on a terminal and in a pipe."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Group, RenderableType

from schedtel.cli.display import waits
from schedtel.cli.display.cells import Grid, Piece, below, line, plain_console
from schedtel.cli.display.choices import COLUMNS, PAIR_COLUMNS, Choice
from schedtel.cli.display.counts import Counts
from schedtel.cli.display.wait_view import longest_waits
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
#: SCX_OPS_NAME_LEN (kernel/sched/ext_internal.h); a host's name and a kernel's release have at most 64 characters.
_LONGEST_NAME = 128
_LONGEST_WAIT = COLUMNS["max wait"]
_FIGURE_WIDTH, _IDENTITY_WIDTH = 10, 26
#: What the figures of both upper tables take up at most, with the gaps between columns; sparklines get the rest.
_DISTRIBUTIONS_WIDTH, _AVERAGES_WIDTH = 78, 68
_SHORTEST_SPARK = 8
_STATISTICS, _STATISTIC_WIDTH = ("mean", "p50", "p95", "p99", "max"), 9
#: Statistics that are left out on a terminal narrower than the figures, in this order.
_LEAST_NEEDED_STATISTICS = ("p95", "mean", "p50")
#: Lines of a table of tasks that are no rows: an empty one and the header.
_TABLE_HEAD = 2
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
            title = line(("schedtel ", "bold cyan"), self.choice.subtitle)
            return Group(title, below(line((status or "waiting", "dim"))))
        row = rows_of(self._window.summary)[0]
        head: list[RenderableType] = [self._headline(row), self._distributions(row, width), self._averages(row, width)]
        tail = [self._footer(row)] + ([line((status, "dim"))] if status else [])
        histogram = self._histogram(self._window)
        heights = _heights([*head, *tail], width)
        while rows is not None and sum(heights) > rows and len(head) > 1:
            head.pop()
            del heights[len(head)]
        used = sum(heights) + _TABLE_HEAD
        top = self.choice.top
        if rows is not None:
            if rows - used - _lines(histogram) < 5:
                histogram = None
            top = min(top, max(0, rows - used - (_lines(histogram) if histogram else 0)))
        parts = [*head, *([histogram] if histogram else []), *([self._table(top, width)] if top else []), *tail]
        return Group(*parts)

    def _headline(self, row: dict[str, Any]) -> RenderableType:
        wall_start = row["wall_start"]
        start = f"{wall_start:%H:%M:%S} UTC" if wall_start else f"at {row['window_start_ns'] / 1e9:.3f} s"
        length = format_duration(row["window_ns"])
        mark = f"  held up: {row['windows_spanned']} windows long" if row["windows_spanned"] > 1 else ""
        head = line(
            ("schedtel ", "bold cyan"),
            (_short(row["host"] or "unknown host"), "bold"),
            f" · Linux {_short(row['kernel'] or '?')} · ",
            (_short(row["scheduler"] or "unknown scheduler"), "bold green"),
            f" · {start}, {length}",
            (mark, "bold yellow"),
        )
        return Group(head, line((self.choice.subtitle, "dim")))

    def _distributions(self, row: dict[str, Any], width: int) -> RenderableType:
        room = min(_HISTORY, width - _DISTRIBUTIONS_WIDTH)
        lacking = max(0, -(room // _STATISTIC_WIDTH))
        statistics = [name for name in _STATISTICS if name not in _LEAST_NEEDED_STATISTICS[:lacking]]
        table = Grid()
        table.column()
        for name in ("n", *statistics):
            table.column(name, right=True)
        if room >= _SHORTEST_SPARK:
            table.column("p99 over time"[:room])
        for label, prefix in _DISTRIBUTIONS.items():
            figures = [format_duration(row[f"{prefix}_{name}_ns"]) for name in statistics]
            sparks = [self._spark(f"{prefix}_p99_ns", room)] if room >= _SHORTEST_SPARK else []
            table.row(label, str(row[f"{prefix}_count"]), *figures, *sparks)
        return below(table)

    def _averages(self, row: dict[str, Any], width: int) -> RenderableType:
        room = min(24, (width - _AVERAGES_WIDTH) // 2)
        seconds = row["window_ns"] / 1e9
        cpus = self._window.cpus.num_rows if self._window else 1
        table = Grid(header=False)
        for _ in range(6):
            table.column()
        idle = 100 * row["idle_ns"] / max(1, row["window_ns"] * cpus - (row["offline_ns"] or 0))
        table.row(
            *self._cell("run queue", f"{row['runqueue_length_avg']:.2f}", "runqueue_length_avg", room),
            *self._cell("fairness J", _ratio(row["fairness_jain"]), "fairness_jain", room),
        )
        table.row(
            *self._cell("running", f"{row['running_avg']:.2f}", "running_avg", room),
            *self._cell("fairness CV", _ratio(row["fairness_cv"]), "fairness_cv", room),
        )
        table.row(
            *self._cell("blocked", f"{row['blocked_avg']:.1f}", "blocked_avg", room),
            *self._cell("switches/s", _switches(row, seconds), "voluntary_switches", room),
        )
        table.row(
            *self._cell("on I/O", "-" if row["iowait_avg"] is None else f"{row['iowait_avg']:.2f}", "iowait_avg", room),
            *self._cell("idle", f"{idle:.0f} % of {cpus} CPUs", "idle_ns", room),
        )
        return below(table)

    def _cell(self, label: str, figure: str, history: str, room: int) -> tuple[Piece, Piece, Piece]:
        return (label, "dim"), (figure, "bold"), (self._spark(history, room), "cyan")

    def _spark(self, name: str, room: int) -> str:
        """The newest values of a column, as many as there is room for."""
        return spark(list(self._history.get(name, ()))[-room:]) if room > 0 else ""

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
        table = Grid(gap=1, header=False)
        table.column(right=True, style="dim", wraps=True)
        table.column(right=True, wraps=True)
        table.column(style="magenta")
        top = grouped.max()
        for k in range(used[0], used[-1] + 1):
            table.row(
                f"wait ≤ {format_duration(limits[min(k, 13)])}", f"{grouped[k]:.0f}", bar(grouped[k] / top, _BAR_WIDTH)
            )
        return below(table)

    def _table(self, top: int, width: int) -> RenderableType:
        assert self._window is not None
        if self.choice.of_pairs:
            return below(_pairs(self._window, top, self.choice.pair_sort))
        if self.choice.of_waits:
            return below(longest_waits(self._window, top))
        batch = self._window.tasks if self.choice.by == "task" else self._window.groups(self.choice.by)
        table = Grid()
        identity, counts = self._identity(batch), Counts(self._window, self.choice.by)
        room = width - sum(len(event) + 2 for event in counts.events)
        shown = _fitting([name for name in COLUMNS if COLUMNS[name] in batch.schema.names], room)
        for name in identity:
            table.column(name, most=34)
        for name in shown:
            _add_figures(table, name, marked=COLUMNS[name] == self.choice.sort)
        for event in counts.events:
            table.column(event, right=True)
        read_figure = _reader_of_figures(batch)
        for i in self._order(batch)[:top]:
            figures = [read_figure(COLUMNS[name], i) for name in shown]
            table.row(*(read(i) for read in identity.values()), *figures, *counts.of(batch, i))
        return below(table)

    def _order(self, batch: pa.RecordBatch) -> list[int]:
        """Indices of the rows by the sort column, largest value first; the row `other` is last."""
        by_wait = self.choice.sort == _LONGEST_WAIT
        values = (waits.longest(batch)[0] if by_wait else tables.column(batch, self.choice.sort)).astype(np.float64)
        other = tables.is_other(batch) if self.choice.by == "task" else tables.column(batch, "tasks") == 0
        return [int(i) for i in np.lexsort((-values, other))]

    def _identity(self, batch: pa.RecordBatch) -> dict[str, Callable[[int], str]]:
        """Heading → function from a row's index to its text, for each column that names a row."""
        if self.choice.by == "task":
            return {
                "tid": lambda i: str(batch["tid"][i].as_py() or ""),
                "comm": lambda i: batch["comm"][i].as_py() or "",
            }
        commands = self._commands() if self.choice.by == "process" else {}
        identity: dict[str, Callable[[int], str]] = {
            self.choice.by: lambda i: _key(self.choice.by, batch[self.choice.by][i].as_py())
        }
        if commands:
            identity["comm"] = lambda i: commands.get(batch["process"][i].as_py()) or ""
        return identity | {"tasks": lambda i: str(batch["tasks"][i].as_py() or "")}

    def _commands(self) -> dict[int, str]:
        assert self._window is not None
        tasks = self._window.tasks
        named = zip(tasks["tgid"].to_pylist(), tasks["comm"].to_pylist(), strict=True)
        return {tgid: comm for tgid, comm in named if tgid is not None}

    def _footer(self, row: dict[str, Any]) -> RenderableType:
        lost = ", ".join(f"{row[name]} {words}" for name, words in _LOSS_WORDS.items() if row[name])
        notes = [f"{row['tasks_active']} active, {row['tasks_folded']} in other", *_costs(row)]
        notes += [f"{words} {format_duration(row[name])}" for name, words in _RARE.items() if row[name]]
        state = (f"lost: {lost}", "bold red") if lost else ("nothing lost, exact", "green")
        return below(line(state, (" · " + " · ".join(notes), "dim")))


def _reader_of_figures(batch: pa.RecordBatch) -> Callable[[str, int], str]:
    """Column and row → text. The longest wait of a row may still go on: then the text says that it is no shorter."""
    longest, goes_on = waits.longest(batch)

    def read(column: str, i: int) -> str:
        if column == _LONGEST_WAIT:
            return f"{'≥ ' * bool(goes_on[i])}{format_duration(int(longest[i]))}"
        return _figure(column, batch[column][i].as_py())

    return read


def _costs(row: dict[str, Any]) -> Iterator[str]:
    """The cost of tracing, in words; nothing for an imported trace, whose cost is unknown."""
    if row["collector_cpu_ns"] is not None:
        cost = f"collector {100 * row['collector_cpu_ns'] / row['window_ns']:.2f} % of a CPU"
        if row["bpf_ns"] is not None:
            cost += f", BPF {100 * row['bpf_ns'] / row['window_ns']:.2f} %"
        yield cost
    if row["collector_rss_bytes"] is not None:
        yield f"{row['collector_rss_bytes'] / 1e6:.0f} MB"


def _pairs(window: Window, top: int, sort: str) -> Grid:
    """Preemption pairs; below them the cgroups that a bandwidth limit throttled, which looks like preemption."""
    table = Grid()
    for name in ("victim", "preemptor"):
        table.column(name, most=44)
    for name, column in PAIR_COLUMNS.items():
        _add_figures(table, name, marked=column == sort)
    pairs = window.preemptions
    columns = {name: tables.column(pairs, name) for name in ("count", "wait_ns", "max_wait_ns")}
    columns["mean_wait_ns"] = columns["wait_ns"] / np.maximum(columns["count"], 1)
    for at in np.argsort(-columns[sort], kind="stable")[:top].tolist():
        (row,) = rows_of(pairs.slice(at, 1))
        figures = [_figure(column, columns[column][at].item()) for column in PAIR_COLUMNS.values()]
        table.row(_party(row, "victim"), _party(row, "preemptor"), *figures)
    for row in rows_of(window.throttled.slice(0, top)):
        if row["throttled_ns"]:
            throttling = f"throttled in {row['throttled_periods']} of {row['periods']} periods"
            table.row(row["cgroup"] or "unknown", throttling, "", format_duration(row["throttled_ns"]), style="yellow")
    return table


def _add_figures(table: Grid, name: str, *, marked: bool) -> None:
    """Add a column of figures; ``marked`` for the column that rows are sorted by."""
    table.column(name + ("▾" if marked else ""), right=True, bold=marked)


def _party(row: dict[str, Any], name: str) -> str:
    """The name of the victim's or preemptor's group; the id of a cgroup that no longer exists."""
    return row[name] if row[name] is not None else f"cgroup {row[f'{name}_cgroup_id']} (gone)"


def _fitting(names: list[str], width: int) -> list[str]:
    """The columns that fit the width; on a narrow terminal, without those that are needed least."""
    room = max(1, (width - _IDENTITY_WIDTH) // _FIGURE_WIDTH)
    dropped = [name for name in _LEAST_NEEDED if name in names][: max(0, len(names) - room)]
    return [name for name in names if name not in dropped]


def _heights(parts: list[RenderableType], width: int) -> list[int]:
    """How many lines each part takes: one that is wider than the terminal is wrapped."""
    console = plain_console(width)
    return [len(console.render_lines(part, console.options.update(height=None), pad=False)) for part in parts]


def _lines(histogram: RenderableType | None) -> int:
    table = getattr(histogram, "renderable", None)
    return table.row_count + 1 if isinstance(table, Grid) else 0


def _short(name: str) -> str:
    """A name of the host, cut off where it is longer than the kernel allows: another host may send any."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


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
