"""The directory of an experiment in; the windows of its runs, each with the cost of its run, out.

The cost of a run is L = TAT / TAT0 + RT / RT0 + CV / CV0 of its jobs, where 0 is the baseline's run with the same seed.
An agent's reward is the same of what it can measure: - ln(L / 3).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from schedtel.agent.context import busiest_cpu, some_of
from schedtel.agent.replay import CostTable, Measured
from schedtel.agent.reward import RewardSettings
from schedtel.errors import RecordingError, UsageError
from schedtel.experiments.findings import COST, COST_PARTS, figures_of
from schedtel.experiments.spec import PLACEBO
from schedtel.experiments.store import Run, read_store
from schedtel.recordings.recording import read
from schedtel.schedulers.names import parse_arm

if TYPE_CHECKING:
    from schedtel.windows.window import Window

_CLIP = RewardSettings().clip


@dataclass(frozen=True)
class Examples:
    """What an experiment teaches.

    :param table: its windows by workload and arm, with the logarithms of their runs' costs.
    :param placebo: the same of the placebo's runs by workload: what chance does to a cost.
    :param provenance: what is known of the runs: number, kernels, commits, versions.
    """

    title: str
    table: CostTable
    placebo: Mapping[str, float]
    provenance: Mapping[str, object]


def read_examples(root: str | os.PathLike[str], names: Sequence[str]) -> Examples:
    """The examples of an experiment's directory.

    :param names: the features that windows are told by.

    Raises :class:`RecordingError` for a directory that is none or is damaged, and :class:`UsageError` for an experiment
    that teaches nothing, or not all arms for a workload.
    """
    spec, runs = read_store(root)
    baseline = _baseline(spec, root)
    costs = _costs(runs, baseline)
    measured = [
        one for run, cost in costs if run.cell.scheduler != PLACEBO for one in _measured(root, run, cost, names)
    ]
    if not measured:
        raise UsageError(f"cannot learn from {root}: no run of it has a cost beside its baseline's (run it to its end)")
    placebo: dict[str, list[float]] = {}
    for run, cost in costs:
        if run.cell.scheduler == PLACEBO:
            placebo.setdefault(run.cell.workload, []).append(cost)
    means = {workload: sum(values) / len(values) for workload, values in placebo.items()}
    return Examples(str(spec.get("title", "")), CostTable(measured, baseline), means, _provenance(runs))


def _baseline(spec: Mapping[str, object], root: object) -> str:
    schedulers = spec.get("schedulers")
    if not isinstance(schedulers, list) or not schedulers or not isinstance(schedulers[0], str):
        raise RecordingError(f"cannot read {root}: its experiment names no schedulers (is it damaged?)")
    return str(parse_arm(schedulers[0]))


def _costs(runs: Sequence[Run], baseline: str) -> list[tuple[Run, float]]:
    """Each run that has a cost, and its logarithm beside the baseline's, within the bound of a reward."""
    figures, found = figures_of(runs, baseline), []
    for run in runs:
        cell = run.cell
        cost = figures[cell.workload][cell.scheduler][cell.repeat].get(COST)
        if cost is not None:
            least = math.exp(-_CLIP)
            found.append((run, min(_CLIP, math.log(max(least, cost / len(COST_PARTS))))))
    return found


def _measured(root: str | os.PathLike[str], run: Run, cost: float, names: Sequence[str]) -> Iterator[Measured]:
    arm = str(parse_arm(run.cell.scheduler))
    for window in _inner(list(read(Path(root) / "runs" / run.cell.key / "windows"))):
        features = some_of(window.features(), names)
        yield Measured(run.cell.workload, arm, cost, features, busiest_cpu(window), run.cell.repeat)


def _inner(windows: Sequence[Window]) -> Sequence[Window]:
    """The windows of a run without its first and its last, which begin before and end after its workload."""
    return windows[1:-1] or windows


def _provenance(runs: Sequence[Run]) -> dict[str, object]:
    facts = {name: sorted({str(run.provenance.get(name)) for run in runs}) for name in ("kernel", "git_commit", "cpus")}
    return {"runs": len(runs), **facts}
