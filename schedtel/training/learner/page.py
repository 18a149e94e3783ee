"""Runs that differ in their seed in; one HTML page of how they went out: curves with intervals, and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schedtel.analysis.bootstrap import student_reach
from schedtel.errors import UsageError
from schedtel.experiments.markup import page, section, table, text
from schedtel.training.learner import book, checkpoint
from schedtel.training.learner.book import Row
from schedtel.training.learner.checkpoint import Checkpoint

Curve = NDArray[np.float64]
MOST_RUNS = 100
_POINTS = 120
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 860, 240, 74, 10, 26
_TICKS = 4
#: The part of a run whose mean stands for its end.
_END = 0.1


@dataclass(frozen=True, eq=False)
class Told:
    """A run, by its directory."""

    name: str
    checkpoint: Checkpoint
    rows: list[Row]

    def end(self, column: str) -> float:
        """The mean of a column over the last part of the run; NaN without rows."""
        return float(np.mean([row[column] for row in self.rows[-max(1, round(_END * len(self.rows))) :]] or [np.nan]))  # type: ignore[literal-required]


@dataclass(frozen=True, eq=False)
class Curves:
    """One figure of all runs at the same steps. ``low`` and ``high`` are a 95 % interval over runs; NaN for one run."""

    steps: Curve
    mean: Curve
    low: Curve
    high: Curve


def told(directories: Sequence[Path]) -> list[Told]:
    """Runs of the same settings but for their seed and length.

    Raises :class:`UsageError` for others and for too many, and as :func:`.checkpoint.load` and :func:`.book.read_rows`.
    """
    if len(directories) > MOST_RUNS:
        raise UsageError(f"cannot show {len(directories)} runs on a page (give at most {MOST_RUNS})")
    runs = []
    for directory in directories:
        found = checkpoint.load(directory)
        runs.append(Told(str(directory), found, book.read_rows(directory, found.counters.steps)))
    first = runs[0].checkpoint.settings
    for run in runs:
        if replace(run.checkpoint.settings, seed=first.seed, steps=first.steps) != first:
            raise UsageError(f"cannot show {run.name} with {runs[0].name}: their settings differ (a page for each)")
    return runs


def curves(runs: Sequence[Told], figure: Callable[[Sequence[Row]], Curve]) -> Curves:
    """A figure of each row, as all runs have it at the steps that all of them reached."""
    rows = [run.rows for run in runs]
    least, most = max(each[0]["steps"] for each in rows), min(each[-1]["steps"] for each in rows)
    steps = np.linspace(least, max(least, most), _POINTS)
    found = np.stack([np.interp(steps, [row["steps"] for row in each], figure(each)) for each in rows])
    reach = np.array([student_reach(column) if len(rows) > 1 else np.nan for column in found.T])
    mean = found.mean(axis=0)
    return Curves(steps, mean, mean - reach, mean + reach)


def reward(rows: Sequence[Row]) -> Curve:
    """The mean reward of a step."""
    return np.array([row["reward"] for row in rows])


def loss(rows: Sequence[Row]) -> Curve:
    """The loss of the last update before each row."""
    return np.array([row["loss"] for row in rows])


def speed(rows: Sequence[Row]) -> Curve:
    """Steps a CPU-second, since the row before; in the first row as in the second."""
    steps, seconds = (np.array([row["steps"] for row in rows]), np.array([row["cpu_seconds"] for row in rows]))
    if len(rows) > 1:
        steps, seconds = (np.concatenate([each[:1], each]) for each in (np.diff(steps), np.diff(seconds)))
    return steps / np.maximum(seconds, 1e-9)


def _learning(run: Told) -> Told:
    """The run without the rows before its first update."""
    return replace(run, rows=[row for row in run.rows if row["updates"]])


def render(runs: Sequence[Told]) -> str:
    """The page."""
    settings, shown = runs[0].checkpoint.settings, [run for run in runs if run.rows]
    title = f"{settings.environment} by {settings.algorithm}"
    over = f"Mean of {len(shown)} runs and its 95 % interval over them." if len(shown) > 1 else "One run: no interval."
    parts = [f"<h1>{text(title)}</h1>", section("Runs", "Reward and loss are means of the last tenth.", _runs(runs))]
    if shown:
        parts.append(section("Reward of a step", f"While it explores. {over}", _chart(curves(shown, reward))))
    learning = [_learning(run) for run in shown]
    if shown and all(run.rows for run in learning):
        about = f"Of the last update. {over}"
        parts.append(section("Loss", about, _chart(curves(learning, loss))))
        about = f"Steps a CPU-second of all processes, once it learns. {over}"
        parts.append(section("Speed", about, _chart(curves(learning, speed))))
    rows = [[text(name), text(str(value))] for name, value in settings.as_dict().items() if name not in _BY_RUN]
    return page(title, [*parts, section("Settings", "", table(["setting", "value"], rows))])


#: Settings in which the runs may differ.
_BY_RUN = ("seed", "steps")


def _runs(runs: Sequence[Told]) -> str:
    head = ["run", "seed", "steps", "updates", "reward", "loss", "time", "steps a CPU-second", "workers", "discarded"]
    rows = []
    for run in runs:
        counters, seed = run.checkpoint.counters, run.checkpoint.settings.seed
        rows.append(
            [
                text(run.name),
                str(seed),
                f"{counters.steps:,}",
                f"{counters.updates:,}",
                f"{run.end('reward'):.4g}",
                f"{run.end('loss'):.3g}",
                f"{counters.seconds:,.0f} s",
                f"{counters.steps / max(counters.cpu_seconds, 1e-9):,.0f}",
                f"{run.rows[-1]['workers'] if run.rows else 0}",
                f"{counters.discarded:,}",
            ]
        )
    return table(
        [*head, "replaced"],
        [[*row, str(run.checkpoint.counters.replaced)] for row, run in zip(rows, runs, strict=True)],
    )


def _chart(found: Curves) -> str:
    """A line, and its interval behind it where there is one."""
    has_band = bool(np.isfinite(found.low).all())
    values = np.concatenate([found.mean, found.low, found.high]) if has_band else found.mean
    low, high = float(values.min()), float(values.max())
    low, high = (low, high) if high > low else (low - 1, high + 1)
    x = _LEFT + (found.steps - found.steps[0]) / max(1.0, float(np.ptp(found.steps))) * (_WIDTH - _LEFT - 10)

    def at(y: Curve) -> Curve:
        return _TOP + (high - y) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def points(xs: Curve, ys: Curve) -> str:
        return " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(xs, ys, strict=True))

    parts = []
    for value in np.linspace(low, high, _TICKS):
        y = float(at(np.array(value)))
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - 10}" stroke="currentColor" opacity=".15"/>')
        parts.append(_label(_LEFT - 6, y + 4, f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}", "end"))
    parts.append(_label(_LEFT, _HEIGHT - 6, f"{found.steps[0]:,.0f}", "start"))
    parts.append(_label(_WIDTH - 10, _HEIGHT - 6, f"{found.steps[-1]:,.0f} steps", "end"))
    if has_band:
        around = points(np.concatenate([x, x[::-1]]), np.concatenate([at(found.low), at(found.high)[::-1]]))
        parts.append(f'<polygon points="{around}" fill="#3b7dd8" opacity=".25"/>')
    parts.append(f'<polyline points="{points(x, at(found.mean))}" fill="none" stroke="#3b7dd8" stroke-width="2"/>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" role="img" aria-label="curve">{"".join(parts)}</svg>'
    )


def _label(x: float, y: float, words: str, anchor: str) -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.1f}" text-anchor="{anchor}" font-size="12" fill="currentColor">{text(words)}</text>'
    )
