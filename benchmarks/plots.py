"""Results in; pictures in the same directory out: the ladder, the pipe, the slowdown, the growth, the soak.

python -m benchmarks.plots      # needs matplotlib: pip install '.[bench]'
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from benchmarks import report
from benchmarks.__main__ import RESULTS

try:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import LogFormatter, StrMethodFormatter
except ImportError:
    raise SystemExit("benchmarks.plots: matplotlib is missing (pip install '.[bench]')") from None

_STYLE = {
    "figure.facecolor": "white",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text: the file has a quarter of the size
    "svg.hashsalt": "schedtel",  # the same results make the same file
}
_OURS, _THEIRS, _STEP = "#1f5fa8", "#b0b0b0", "#7fb2e5"
_SOAK = ("RSS", "collector CPU", "window's end to its line", "open files")
Rows = list[dict[str, Any]]


def ladder(rows: Rows) -> Any:
    """ns per run at each event: rung by rung, then schedtel, then the peers."""
    events = ("switch", "wakeup", "fork", "exit")
    figure, axes = plt.subplots(1, len(events), figsize=(12, 3.6))
    for axis, event in zip(axes, events, strict=True):
        _bars(axis, rows, event)
        axis.set_title(event)
        axis.set_xlabel("ns per run, median and spread")
    return figure


def pipe(rows: Rows) -> Any:
    """What each watcher adds to a round trip."""
    figure, axis = plt.subplots(figsize=(6, 3.6))
    _bars(axis, rows, "added")
    axis.set_title("pinned pipe")
    axis.set_xlabel("ns added to a round trip, median and spread")
    return figure


def slowdown(rows: Rows) -> Any:
    """How much longer each load takes under each watcher."""
    loads = ("messaging", "fork storm", "cpu bound")
    figure, axes = plt.subplots(1, len(loads), figsize=(12, 3.6))
    for axis, load in zip(axes, loads, strict=True):
        _bars(axis, rows, f"{load}, slowdown", begin=1)
        axis.axvline(1, color="black", linewidth=0.8)
        axis.set_title(load)
        axis.set_xlabel("time, in times of nobody's")
    return figure


def _bars(axis: Any, rows: Rows, measure: str, begin: float = 0) -> None:
    """A bar for each subject of a measure, from ``begin`` to its value. Ratios of two subjects get none."""
    rows = [row for row in rows if row["measure"] == measure and "/" not in row["subject"]][::-1]
    values = [row["value"] for row in rows]
    low = [value - min(row["samples"]) for value, row in zip(values, rows, strict=True)]
    high = [max(row["samples"]) - value for value, row in zip(values, rows, strict=True)]
    colors = [_color(row["subject"]) for row in rows]
    lengths = [value - begin for value in values]
    names = [row["subject"] for row in rows]
    axis.barh(names, lengths, left=begin, xerr=(low, high), color=colors, ecolor="#555555")
    axis.grid(visible=False, axis="y")


def _color(subject: str) -> str:
    if subject.startswith("schedtel"):
        return _OURS
    return _STEP if subject == "empty" or subject.startswith("+") else _THEIRS


#: For each panel of the growth: axis, unit, prefix of its measures, label, scale of its y-axis.
_GROWTH = (
    ("threads", "ms", "flush, ", "flush (ms)", "log"),
    ("threads", "ns/task", "", "flush (ns a task)", "linear"),
    ("threads", "ratio", "share", "share of sleepers in the flush", "linear"),
    ("switches/s asked for", "% of a CPU", "BPF", "BPF time (% of a CPU)", "log"),
    ("cgroups", "ms", "", "window's end (ms)", "log"),
    ("window, s", "% of a CPU", "collector CPU", "collector (% of a CPU)", "log"),
)


def growth(rows: Rows) -> Any:
    """Flush over threads, BPF time over switches, a window's end over cgroups, collector over the window's length."""
    figure, axes = plt.subplots(2, 3, figsize=(13, 7))
    for axis, (name, unit, prefix, label, scale) in zip(axes.flat, _GROWTH, strict=True):
        own = [row for row in rows if row["axis"] == name and row["unit"] == unit]
        _curves(axis, [row for row in own if row["measure"].startswith(prefix)])
        axis.set(xlabel=name, ylabel=label, xscale="log", yscale=scale)
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        if scale == "linear":
            axis.set_ylim(bottom=0)
        else:
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
            axis.yaxis.set_minor_formatter(LogFormatter())
    return figure


def soak(rows: Rows) -> Any:
    """Memory, CPU, delay and files over the run."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 6))
    for axis, name in zip(axes.flat, _SOAK, strict=True):
        own = [row for row in rows if row["measure"] == f"{name} over time"]
        _curves(axis, own)
        axis.set(xlabel="time (s)", ylabel=f"{name} ({own[0]['unit']})" if own else name)
        axis.set_ylim(bottom=0)
        axis.get_legend().remove()
    return figure


def _curves(axis: Any, rows: Rows) -> None:
    for measure in dict.fromkeys(row["measure"] for row in rows):
        own = sorted((row for row in rows if row["measure"] == measure), key=lambda row: row["at"])
        few = len(own) < 20
        places, values = [row["at"] for row in own], [row["value"] for row in own]
        axis.plot(places, values, marker="o" if few else "", markersize=4, label=measure)
    axis.legend(fontsize=7, frameon=False)


PICTURES = {"ladder": ("programs", ladder), "pipe": ("pipe", pipe), "slowdown": ("slowdown", slowdown)}
PICTURES |= {"growth": ("growth", growth), "soak": ("soak", soak)}


def _drawn(results: Path) -> Iterable[Path]:
    for name, (part, draw) in PICTURES.items():
        result = report.read_part(results, part)
        if result and result.rows:
            figure = draw(result.rows)
            figure.tight_layout()
            figure.savefig(results / f"{name}.svg", metadata={"Date": None})
            plt.close(figure)
            yield results / f"{name}.svg"


@click.command()
@click.option("--results", type=click.Path(path_type=Path), default=RESULTS, help="Directory of the results.")
def main(results: Path) -> None:
    """Draw the pictures of the parts that have results."""
    with mpl.rc_context(_STYLE):
        for path in _drawn(results):
            click.echo(f"written to {path}", err=True)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.plots")
