"""Timelines and groups in; the figures of the page out, as plain lists and numbers for JSON.

The page has the same bins as the timeline. Its times are nanoseconds since the start of the recording's first window.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from schedtel._version import __version__
from schedtel.analysis.longest_waits import LongestWait, LongestWaits
from schedtel.analysis.preemption_sums import SMALLER, Preempted
from schedtel.analysis.timeline import FIGURES, MOST_BINS, SAMPLES, Timeline, follow
from schedtel.recordings.recording import imported_from
from schedtel.records.histogram import FINE_EDGES_NS, TASK_EDGES_NS
from schedtel.report.groups import GROUPINGS, Groups
from schedtel.windows.schema import DEFINITIONS_VERSION, LOSSES
from schedtel.windows.wait_table import behind_of
from schedtel.windows.window import Window

#: Groups that the page can show for each grouping, in each order.
TOP_GROUPS = 40
#: Victims with a row of their own, and preemptors with a column of their own.
TOP_PREEMPTIONS = 10
_SIGNIFICANT = 6


@dataclass
class RunSummary:
    """The summary of one recording for the page. ``facts``: the recording's metadata: filter, nominal window."""

    name: str
    timeline: Timeline
    groups: list[Groups] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    waits: LongestWaits = field(default_factory=LongestWaits)

    @property
    def losses(self) -> dict[str, int]:
        """Loss counter → its sum over all windows."""
        return dict(zip(LOSSES, self.timeline.stacked("losses").sum(axis=0).tolist(), strict=True))


def tell(
    windows: Iterable[Window], name: str, facts: Mapping[str, str] | None = None, most_bins: int = MOST_BINS
) -> RunSummary:
    """Read all windows of a source, one at a time, and summarize them.

    :param name: name of the recording on the page.
    :param facts: the source's metadata.
    :param most_bins: the most bins of the time axis.

    Raises :class:`~schedtel.UsageError` if the source has no windows.
    """
    summary = RunSummary(name, Timeline(most_bins), [Groups(by) for by in GROUPINGS], dict(facts or {}))
    for window in follow(windows, summary.timeline):
        summary.waits.add(window)
        for groups in summary.groups:
            groups.add(window)
    return summary


def unlike(a: RunSummary, b: RunSummary) -> list[str]:
    """Facts in which two recordings differ, as ``fact (a / b)``: each may be the cause of a change."""
    facts = [_facts(summary) | {"CPUs": str(len(summary.timeline.total().cpus))} for summary in (a, b)]
    names = ("host", "CPUs", "kernel", "scheduler", "filter", "window")
    for values in facts:  # a traced command has another pid in each run
        values["filter"] = re.sub(r"\bpid=\d+", "a process", values["filter"])
    return [f"{name} ({facts[0][name]} / {facts[1][name]})" for name in names if facts[0][name] != facts[1][name]]


def document_of(summaries: list[RunSummary], comparison: dict[str, Any] | None = None) -> dict[str, Any]:
    """The figures of a page of one recording, or of two that are compared."""
    return {
        "version": __version__,
        "definitions": DEFINITIONS_VERSION,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "edges": {"448": FINE_EDGES_NS.tolist(), "56": TASK_EDGES_NS.tolist()},
        "figures": {f.name: {"label": f.label, "unit": f.unit} for f in FIGURES},
        "samples": {s.name: {"label": s.label, "scope": s.scope, "buckets": s.buckets} for s in SAMPLES},
        "losses": list(LOSSES),
        "recordings": [_recording(summary) for summary in summaries],
        "comparison": comparison and comparison | {"unlike": unlike(*summaries)},
    }


def _recording(summary: RunSummary) -> dict[str, Any]:
    timeline = summary.timeline
    origin = timeline.bins[0].start_ns
    lost = timeline.stacked("losses")
    return {
        "name": summary.name,
        "facts": _facts(summary),
        "wall_us": timeline.bins[0].wall_us or None,  # an imported trace may lack the wall clock
        "start": [b.start_ns - origin for b in timeline.bins],
        "end": [b.end_ns - origin for b in timeline.bins],
        "windows": [b.windows for b in timeline.bins],
        "held_up": [b.held_up for b in timeline.bins],
        "lost": {name: lost[:, i].tolist() for i, name in enumerate(LOSSES) if lost[:, i].any()},
        **_figures(timeline),
        "samples": {s.name: _samples(timeline, s.name) for s in SAMPLES},
        "cpus": _cpus(timeline),
        "groups": {groups.by: _groups(groups) for groups in summary.groups},
        "preemptions": _preemptions(timeline),
        "waits": [_wait(wait, origin) for wait in summary.waits],
    }


def _facts(summary: RunSummary) -> dict[str, str]:
    """The recording's origin, as text."""
    timeline, facts = summary.timeline, summary.facts
    return {
        "host": ", ".join(timeline.hosts),
        "kernel": ", ".join(timeline.kernels),
        "scheduler": " → ".join(timeline.schedulers),
        "filter": facts.get("filter") or "all tasks",
        "window": facts.get("window") or "as recorded",
        "windows": str(timeline.windows),
        "origin": imported_from(facts),
        "definitions": facts.get("definitions_version") or str(DEFINITIONS_VERSION),
    }


def _figures(timeline: Timeline) -> dict[str, Any]:
    """Numerators and denominators of each figure by bin; the page adds them over any range of bins.

    Many figures share their denominators, so each distinct list is stored once and a figure has its index. If bins have
    more than one window, averages also have the lowest and the highest window of each bin.
    """
    numerators, denominators = timeline.stacked("numerators"), timeline.stacked("denominators")
    extremes = {"low": timeline.stacked("lowest"), "high": timeline.stacked("highest")}
    figures: dict[str, Any] = {}
    shared: list[list[float | None]] = []
    for i, figure in enumerate(FIGURES):
        below = _numbers(denominators[:, i])
        if not any(below):
            continue
        if below not in shared:
            shared.append(below)
        figures[figure.name] = {"n": _numbers(numerators[:, i]), "d": shared.index(below)}
        if timeline.stride > 1 and figure.kind == "average":
            figures[figure.name] |= {name: _numbers(values[:, i]) for name, values in extremes.items()}
    return {"figures": figures, "denominators": shared}


def _numbers(values: np.ndarray) -> list[float | None]:
    """Numbers for JSON: six significant digits, whole numbers without a fraction, NaN as null."""
    texts = (None if np.isnan(v) else float(f"{v:.{_SIGNIFICANT}g}") for v in values)
    return [int(v) if v is not None and v.is_integer() else v for v in texts]


def _samples(timeline: Timeline, name: str) -> dict[str, Any]:
    histograms = timeline.histograms(name)
    return {
        "counts": [_packed(counts) for counts in histograms],
        "largest": [b.largest_ns[name] for b in timeline.bins],
    }


def _packed(counts: np.ndarray) -> list[int]:
    """A histogram without its zeros: a negative number is the length of a run of empty buckets."""
    used = np.flatnonzero(counts)
    packed: list[int] = []
    gaps = np.diff(used, prepend=-1) - 1
    for gap, count in zip(gaps.tolist(), counts[used].tolist(), strict=True):
        packed += [-gap, count] if gap else [count]
    return packed


def _cpus(timeline: Timeline) -> dict[str, Any]:
    """Busy share of each CPU in each bin, in ten-thousandths; null if the CPU was offline."""
    numbers = sorted({cpu for b in timeline.bins for cpu in b.cpus})
    return {"numbers": numbers, "busy": [[_busy(b.cpus.get(cpu)) for b in timeline.bins] for cpu in numbers]}


def _busy(times: np.ndarray | None) -> int | None:
    if times is None or not times.sum():
        return None
    return round(10_000 * int(times[0]) / int(times.sum()))


def _preemptions(timeline: Timeline) -> dict[str, Any]:
    """Preemptions by bin: the victims and preemptors with the most wait, and the others of each summed into one.

    ``cells``: index of the victim, index of the preemptor, and a flat list of number, count, wait and longest wait of
    each bin with a preemption. ``throttled``: cgroup, and a flat list of number and nanoseconds of each bin with
    throttling.
    """
    sizes: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
    for pair, (_, wait, _) in (item for b in timeline.bins for item in b.preempted.pairs.items()):
        for size, name in zip(sizes, pair, strict=True):
            size[name] += wait
    shown = [_largest(size) for size in sizes]
    cells: dict[tuple[int, ...], list[int]] = {}
    for number, b in enumerate(timeline.bins):
        merged = Preempted()
        for pair, figures in b.preempted.pairs.items():
            merged.add(_among(shown, pair), *figures)
        for (victim, preemptor), figures in merged.pairs.items():
            cells.setdefault((shown[0].index(victim), shown[1].index(preemptor)), []).extend((number, *figures))
    return {
        "victims": shown[0],
        "preemptors": shown[1],
        "cells": [[*pair, figures] for pair, figures in cells.items()],
        "throttled": _throttled(timeline),
    }


def _largest(sizes: Counter[str]) -> list[str]:
    """The names to show, largest first; :data:`SMALLER` is the last one if others are left out."""
    names = [name for name, _ in sizes.most_common() if name != SMALLER]
    rest = len(names) > TOP_PREEMPTIONS or SMALLER in sizes
    return names[:TOP_PREEMPTIONS] + [SMALLER] * rest


def _among(shown: list[list[str]], pair: tuple[str, str]) -> tuple[str, str]:
    victim, preemptor = (name if name in names else SMALLER for name, names in zip(pair, shown, strict=True))
    return victim, preemptor


def _throttled(timeline: Timeline) -> list[list[Any]]:
    by_cgroup: dict[str, list[int]] = {}
    for number, b in enumerate(timeline.bins):
        for cgroup, ns in b.preempted.throttled.items():
            by_cgroup.setdefault(cgroup, []).extend((number, ns))
    return [[cgroup, by_cgroup[cgroup]] for cgroup in sorted(by_cgroup, key=lambda name: -sum(by_cgroup[name][1::2]))]


def _wait(wait: LongestWait, origin: int) -> dict[str, Any]:
    """One of the longest waits; ``older``: it began before tracing. ``behind``: the task that had its CPU last."""
    row = wait.row
    told = {"wait": wait.wait_ns, "end": wait.end_ns - origin, "goes_on": wait.goes_on, "older": not wait.since_known}
    return {name: row[name] for name in ("tid", "comm", "cpu", "kind")} | told | {"behind": behind_of(row)}


def _groups(groups: Groups) -> dict[str, Any]:
    return {"all": len(groups), "folded": groups.folded, "top": groups.top(TOP_GROUPS)}
