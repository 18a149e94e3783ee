"""``python -m scripts.unseen DIR...``: networks of runs of DagSim on workflows that they have not seen, as Markdown.

Each workflow of WfCommons' shape has device times by ten seeds. All are compared with the schedule that CP-SAT finds
in ten seconds: makespans as planned, and with times that vary by 20 %, where each planned order is kept. Intervals
(95 %) are over the ten draws of device times; a network is the mean of all runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from schedtel.dags.comparison import METHODS, OPTIMUM, Comparison, compare
from schedtel.dags.families import preset
from schedtel.dags.noise import replayed
from schedtel.environments.dag_policy import CHOICES, makespan, makespans
from schedtel.environments.dag_sim import DagSim
from schedtel.models.network import Network
from schedtel.training.held_out import percent_of
from schedtel.training.learner.checkpoint import load
from schedtel.training.learner.exported import weights_of
from schedtel.training.learner.judged import LEARNED

_WORKFLOWS = ("montage-2", "epigenomics-9", "blast-40", "seismology-30", "genome-2", "srasearch-10")
_SEEDS, _LIMIT_S, _NOISE, _DRAWS = range(10), 10.0, 0.2, 256
_BOUND = "the bound"
#: Who acts → makespans, one for each seed of device times.
Found = Mapping[str, Sequence[float]]


def _planned(compared: Comparison, networks: Sequence[Network]) -> dict[str, float]:
    found = {method: float(one.makespan(compared.dag)) for method, one in compared.schedules.items()}
    learned = float(np.mean([makespan(network, compared.dag) for network in networks]))
    return found | {LEARNED: learned, _BOUND: float(compared.bound)}


def _noisy(compared: Comparison, networks: Sequence[Network]) -> dict[str, float]:
    """Mean makespans in the same draws of all."""
    sim = DagSim([compared.dag], _DRAWS, choices=CHOICES, noise=_NOISE)
    sim.reset(1)
    factors = np.stack([sim.factors(number) for number in range(_DRAWS)])
    found = {method: float(replayed(compared.dag, one, factors).mean()) for method, one in compared.schedules.items()}
    return found | {LEARNED: float(np.mean([makespans(network, sim, 1).mean() for network in networks]))}


def _together(rows: Sequence[Mapping[str, float]]) -> Found:
    return {who: [row[who] for row in rows] for who in rows[0]}


def _line(name: str, found: Found, columns: Sequence[str]) -> str:
    """How far each is above CP-SAT's schedule, or its order; and what was learned above HEFT's."""
    pairs = [*((who, OPTIMUM) for who in columns), (LEARNED, "heft")]
    cells = [str(percent_of(np.log(np.array(found[who]) / np.array(found[other])))) for who, other in pairs]
    return f"| `{name}` | {' | '.join(cells)} |"


def _measured(networks: Sequence[Network]) -> Iterator[tuple[str, Found, Found]]:
    for name in _WORKFLOWS:
        compared = [compare(preset(f"{name}@{seed}"), METHODS, _LIMIT_S) for seed in _SEEDS]
        yield (name, *(_together([way(one, networks) for one in compared]) for way in (_planned, _noisy)))
        print(f"{name} is done", file=sys.stderr)


def _table(title: str, columns: Sequence[str], lines: Sequence[str]) -> str:
    head = f"| {title} | {' | '.join(columns)} | {LEARNED} against HEFT |\n|{'---|' * (len(columns) + 2)}"
    return "\n".join((head, *lines))


if __name__ == "__main__":
    measured = list(_measured([Network(weights_of(load(Path(each)))) for each in sys.argv[1:]]))
    rules = [method for method in METHODS if method != OPTIMUM]
    for title, number, columns in (("as planned", 1, (_BOUND, *rules, LEARNED)), ("noisy", 2, (*rules, LEARNED))):
        print(_table(title, columns, [_line(str(row[0]), row[number], columns) for row in measured]), end="\n\n")
