"""A graph in; what it is like, in a few numbers, and how near two graphs are, out.

The numbers do not depend on the names of jobs or on the unit of time. Each has a *scale*: a difference of one scale is
one unit of distance. The scales are chosen, not learned, so that a tile more or less is well below 1 and another family
of graphs, or another machine, is above.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from schedtel.dags.dag import NEVER, Dag
from schedtel.errors import UsageError

#: Number → its scale, and what it is. A fingerprint has them in this order.
FEATURES: dict[str, tuple[float, str]] = {
    "log2_jobs": (2.0, "log2 of the number of jobs"),
    "depth": (0.2, "jobs of the longest chain, to all: log ratio to base of the number of jobs"),
    "edges_per_job": (1.0, "edges for each job"),
    "parallelism": (1.0, "log2 of all work over the work of the longest chain, each job where it takes the least"),
    "transfer_share": (0.2, "mean transfer over mean least time of a job, as x / (1 + x)"),
    "speedup_mean": (1.0, "mean of log2 of a job's time on its slowest kind over its fastest"),
    "speedup_spread": (1.0, "standard deviation of the same"),
    "fastest_last": (0.3, "share of jobs that are the fastest on the last kind"),
    "time_spread": (0.5, "coefficient of variation of least times"),
    "log2_first": (0.7, "log2 of 1 + devices of the first kind"),
    "log2_others": (0.7, "log2 of 1 + devices of all other kinds"),
}
#: Graphs nearer than this are of one family; a model is said to be near below it.
NEAR = 1.0
#: Nearer than this, two graphs are alike in all that a fingerprint has.
SAME = 1e-6

Fingerprint = tuple[float, ...]


def fingerprint(dag: Dag) -> Fingerprint:
    """What a graph is like, as numbers in the order of ``FEATURES``."""
    least, count = dag.least_times.astype(float), len(dag.jobs)
    speedups, last = _speedups(dag), len(dag.kinds) - 1
    depth = _depth(dag)
    transfer = np.mean([edge.transfer for edge in dag.edges]) / least.mean() if dag.edges else 0.0
    others = sum(kind.count for kind in dag.kinds[1:])
    values = (
        np.log2(count),
        np.log(depth) / np.log(count) if count > 1 else 1.0,
        len(dag.edges) / count,
        np.log2(least.sum() / dag.tails.max()),
        transfer / (1 + transfer),
        speedups.mean(),
        speedups.std(),
        np.mean([int(np.argmin(_known(row))) == last for row in dag.times]),
        least.std() / least.mean(),
        np.log2(1 + dag.kinds[0].count),
        np.log2(1 + others),
    )
    return tuple(round(float(value), 9) for value in values)


def _known(times: Sequence[int]) -> list[float]:
    return [np.inf if time == NEVER else float(time) for time in times]


def _speedups(dag: Dag) -> np.ndarray:
    rows = [[time for time in times if time != NEVER] for times in dag.times]
    return np.array([np.log2(max(row) / min(row)) for row in rows])


def _depth(dag: Dag) -> int:
    depths = [1] * len(dag.jobs)
    for job in dag.order:
        depths[job] += max((depths[edge.before] for edge in dag.predecessors[job]), default=0)
    return max(depths)


def distance(one: Fingerprint, other: Fingerprint) -> float:
    """How far two graphs are from each other, in scales: the root of the sum of squares."""
    scales = np.array([scale for scale, _ in FEATURES.values()])
    return float(np.linalg.norm((np.array(one) - np.array(other)) / scales))


def how_near(far: float) -> str:
    """A distance in words."""
    if far < SAME:
        return "alike"
    return "near" if far < NEAR else "far: expect little"


def checked(values: object) -> Fingerprint:
    """A fingerprint from foreign JSON. Raises :class:`UsageError` for what is none."""
    if (
        not isinstance(values, list)
        or len(values) != len(FEATURES)
        or not all(isinstance(value, int | float) and np.isfinite(value) for value in values)
    ):
        raise UsageError("cannot use a fingerprint: it is no list of numbers, or of another version (make it again)")
    return tuple(map(float, values))


def families(prints: Mapping[str, Fingerprint]) -> dict[str, int]:
    """A number of its family for each graph: those that a chain of near ones joins are one (single linkage)."""
    found: dict[str, int] = {}
    for name in prints:
        if name in found:
            continue
        number, reached = len(set(found.values())), [name]
        found[name] = number
        for one in reached:  # grows while it is walked
            for other in prints:
                if other not in found and distance(prints[one], prints[other]) < NEAR:
                    found[other] = number
                    reached.append(other)
    return found
