"""Environments, and how runs in them went, in; tables for a person out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from schedtel.cli.display.cells import Grid, below, line
from schedtel.cli.display.workloads import show
from schedtel.environments.judging import Judge
from schedtel.environments.registry import ENVIRONMENTS
from schedtel.training.learner.settings import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from schedtel.training.held_out import Percent
    from schedtel.training.learner.book import Row
    from schedtel.training.learner.checkpoint import Counters
    from schedtel.training.learner.judged import Judged

_MOST_ROWS = 10


def show_environments() -> None:
    """One row for each environment."""
    table = Grid()
    table.column("environment")
    table.column("what is learned", wraps=True)
    for name, entry in ENVIRONMENTS.items():
        table.row(name, entry.about)
    show(table)


def show_run(settings: Settings, counters: "Counters", rows: "Sequence[Row]") -> None:
    """The reward as the run went on, in ten rows at most, and a line about the whole."""
    table = Grid()
    for heading in ("steps", "updates", "reward of a step", "loss", "CPU time"):
        table.column(heading, right=True)
    for part in np.array_split(np.arange(len(rows)), min(_MOST_ROWS, len(rows))) if rows else ():
        last = rows[int(part[-1])]
        reward = float(np.mean([rows[n]["reward"] for n in part.tolist()]))
        figures = (f"{reward:.4f}", f"{last['loss']:.4g}", f"{last['cpu_seconds']:.1f} s")
        table.row(f"{last['steps']:,}", f"{last['updates']:,}", *figures)
    speed = counters.steps / counters.cpu_seconds if counters.cpu_seconds else 0.0
    about = (
        f"{settings.environment}, {settings.algorithm}, seed {settings.seed}, {settings.count} environments: "
        f"{counters.steps:,} of {settings.steps:,} steps in {counters.seconds:.0f} s, {speed:,.0f} a CPU-second"
    )
    workers = rows[-1]["workers"] if rows else 0
    told = f"{workers} workers; {counters.discarded:,} steps discarded, {counters.replaced} processes replaced"
    told += f", {counters.stale:,} gradients too old" if counters.stale else ""
    show(table, below(line(about)), *([line(told)] if workers else []))


def show_judged(judge: Judge, found: "Sequence[Judged]", times_us: "NDArray[np.float64] | None" = None) -> None:
    """A row for each rule, and one for the networks, of each kind of episodes; below, what a decision takes."""
    table = Grid()
    table.column("episodes")
    table.column("who acts")
    table.column(f"{judge.cost} ({judge.unit})", right=True)
    for other in judge.rules:
        table.column(f"against {other}", right=True)
    for one in found:
        for name, costs in one.rules.items():
            beside = ["-" if name == other else _change(one, one.rule(name, other)) for other in judge.rules]
            table.row(one.group, name, f"{costs.mean() / judge.divisor:.3f}", *beside)
        beside = [_change(one, one.network(other)) for other in judge.rules]
        table.row(one.group, "what was learned", f"{one.learned.mean() / judge.divisor:.3f}", *beside)
    runs, episodes = found[0].learned.shape
    about = f"{episodes} episodes of each kind, the same for all; 95 % intervals over episodes"
    about += f", of what was learned over {runs} runs" if runs > 1 else ""
    parts = [below(line(about))]
    if times_us is not None:
        middle, high = np.percentile(times_us, (50, 99))
        parts.append(below(line(f"a decision takes {middle:.1f} µs of CPU time by numpy, and at P99 {high:.1f} µs")))
    show(table, *parts)


def _change(judged: "Judged", change: "Percent") -> str:
    if judged.by_difference:
        return f"{change.value:+.2f} [{change.low:+.2f}, {change.high:+.2f}]"
    return str(change)
