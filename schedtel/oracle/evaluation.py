"""Datasets and a model in; how good each forecaster is, on what it has not seen, out. Each dataset is judged apart.

*Runs*: networks learned from the runs of all datasets that are to learn from, and are tested on the others.
*Workloads*: some workloads at a time are left out of all datasets. The networks learned from the runs of the others,
and are tested on all runs of these. *Datasets*: one at a time is left out, and its runs to test on are tested on. The
recurrent networks, which are slow to train, have fewer seeds. They do not know the roles of what is left out, so they
have one there, and none for datasets. Rules and Markov chances learn nothing before: they are the same in all parts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from schedtel._version import __version__
from schedtel.errors import UsageError
from schedtel.foreign_text import text_of_path
from schedtel.oracle import pointer
from schedtel.oracle.dataset import Dataset, Entry
from schedtel.oracle.models import Model
from schedtel.oracle.rules import MARKOV, RULES, rule, without_idle
from schedtel.oracle.samples import Samples, samples_of
from schedtel.oracle.scores import Figures, Score, score

if TYPE_CHECKING:
    from schedtel.oracle.networks import Tuning

EVALUATION_VERSION = 3
POINTER, RECURRENT = "pointer", ("LSTM", "GRU")
#: What networks are measured by.
YARDSTICK = "markov2"
_TIMED = 3000
#: How many seeds a recurrent network has at most: on runs, and on workloads that were left out.
_RECURRENT_SEEDS = {"runs": 3, "workloads": 1}
#: Groups of workloads that are left out one after the other.
_GROUPS = 5
#: Forecasts of a run → its forecasts as logarithms, for each seed.
Forecasters = dict[str, Sequence[Callable[[Samples], np.ndarray]]]
Say = Callable[[str], None]


def samples_of_dataset(dataset: Dataset, entries: Iterable[Entry], most: int) -> list[Samples]:
    """The forecasts of runs, the first ``most`` of each. Raises :class:`UsageError` where none has any."""
    found = [samples_of(dataset.read(entry), most) for entry in entries]
    found = [one for one in found if len(one)]
    if not found:
        raise UsageError(f"cannot use {dataset.where}: its runs are too short for forecasts (record longer ones)")
    return found


@dataclass(frozen=True)
class Sampled:
    """The forecasts of a dataset: those of its runs to learn from, if they are asked for, and of those to test on."""

    dataset: Dataset
    learned: list[Samples]
    tested: list[Samples]

    def of(self, workloads: Sequence[str]) -> list[Samples]:
        """The forecasts of all runs of some workloads."""
        return [each for each in (*self.learned, *self.tested) if each.run.workload in workloads]


def refuse_what_was_learned(dataset: Dataset, model: Model) -> None:
    """Raise :class:`UsageError` if a run that is to test on is one that the model learned from."""
    for entry in dataset.entries:
        if not entry.is_for_training and entry.digest in model.learned_from:
            raise UsageError(
                f"cannot test on {dataset.where}/{entry.file}: the model learned from this run (use another dataset)"
            )


def evaluate(datasets: Sequence[Dataset], model: Model, most: int, epochs: int | None, say: Say) -> dict[str, Any]:
    """The evaluation, as JSON has it.

    :param most: how many forecasts of a run count, the first ones.
    :param epochs: how often networks to compare with, and those for what is left out, go through their samples; None:
        none are trained.
    :param say: is told what is being done.

    Raises :class:`UsageError` for a model that learned from runs to test on, :class:`CapabilityError` without torch.
    """
    for dataset in datasets:
        refuse_what_was_learned(dataset, model)
    say("reading the runs")
    began = time.process_time_ns()
    sets = [_sampled(dataset, most, is_learned=epochs is not None) for dataset in datasets]
    read = sum(len(each) for one in sets for each in (*one.learned, *one.tested))
    reading_us = (time.process_time_ns() - began) / 1e3 / read
    training = None if epochs is None else _chosen_training(sets, list(model.networks), epochs, say)
    return {
        "evaluation": "schedtel.oracle",
        "version": EVALUATION_VERSION,
        "schedtel": __version__,
        "seeds": len(model.networks),
        "parameters": next(iter(model.networks.values())).parameters,
        "latency_us": latency_us(next(iter(model.networks.values())), [each for one in sets for each in one.tested]),
        "features_us": reading_us,
        "tunings": {} if training is None else training.told(),
        "datasets": [
            {**_told(dataset), "parts": parts}
            for dataset, parts in zip(datasets, _parts(sets, model, training, say), strict=True)
        ],
    }


def _sampled(dataset: Dataset, most: int, *, is_learned: bool) -> Sampled:
    sides = [[entry for entry in dataset.entries if entry.is_for_training == side] for side in (True, False)]
    learned = samples_of_dataset(dataset, sides[0], most) if is_learned else []
    return Sampled(dataset, learned, samples_of_dataset(dataset, sides[1], most))


def _told(dataset: Dataset) -> dict[str, Any]:
    """What an evaluation tells of a dataset."""
    machine = {name: dataset.card.get(name) for name in ("kernel", "cpus")}
    return {"name": _name(dataset), **machine, "workloads": dataset.workloads}


def _name(dataset: Dataset) -> str:
    return text_of_path(dataset.where)


def _by(weights: pointer.Weights) -> Callable[[Samples], np.ndarray]:
    return lambda samples: pointer.forecasts(weights, samples)


@dataclass(frozen=True)
class _Training:
    """How networks are trained: with which seeds, how often they go through their samples, and, for each kind of
    recurrent ones, the NLL of each tuning that was tried.
    """

    seeds: list[int]
    epochs: int
    tried: dict[str, dict[Tuning, float]]

    def told(self) -> dict[str, Any]:
        """What was chosen of each kind, and what was tried."""
        from schedtel.oracle.networks import best  # noqa: PLC0415  (torch)

        return {
            kind: {
                "chosen": asdict(best(tried)),
                "tried": [{**asdict(tuning), "nll": nll} for tuning, nll in tried.items()],
            }
            for kind, tried in self.tried.items()
        }

    def recurrent(self, learned: Sequence[Samples], part: str) -> Forecasters:
        """An LSTM and a GRU for a part of the evaluation."""
        from schedtel.oracle.networks import best, forecast_part, trained_recurrent  # noqa: PLC0415  (torch)

        runs, seeds = [forecast_part(each) for each in learned], self.seeds[: _RECURRENT_SEEDS[part]]
        return {
            kind: [trained_recurrent(kind, runs, seed, self.epochs, best(tried)).forecasts for seed in seeds]
            for kind, tried in self.tried.items()
        }

    def pointer(self, learned: Sequence[Samples]) -> Forecasters:
        """Pointer networks for what is left out."""
        from schedtel.oracle.networks import trained_pointer  # noqa: PLC0415  (torch)

        if not learned:
            raise UsageError("cannot train for what is left out: no other runs are to learn from (record more runs)")
        return {POINTER: [_by(trained_pointer(learned, seed, self.epochs)) for seed in self.seeds]}


def _chosen_training(sets: Sequence[Sampled], seeds: list[int], epochs: int, say: Say) -> _Training:
    from schedtel.oracle.networks import tried_tunings  # noqa: PLC0415  (torch)

    tried = {}
    for kind in RECURRENT:
        say(f"tuning {kind}")
        tried[kind] = tried_tunings(kind, [one.learned for one in sets], epochs)
    return _Training(seeds, epochs, tried)


def _parts(sets: Sequence[Sampled], model: Model, training: _Training | None, say: Say) -> list[dict[str, Any]]:
    """The parts of the evaluation, of each dataset."""
    networks: Forecasters = {POINTER: [_by(weights) for weights in model.networks.values()]}
    if training is not None:
        say("training LSTM and GRU")
        networks |= training.recurrent([each for one in sets for each in one.learned], "runs")
    runs = [_Scored() for _ in sets]
    for one, scored in zip(sets, runs, strict=True):
        scored.add(one.tested, networks)
    parts = {"runs": runs}
    if training is not None and len(_workloads(sets)) > 1:
        parts["workloads"] = _without_workloads(sets, training, say)
    if training is not None and len(sets) > 1:
        parts["datasets"] = _without_datasets(sets, training, say)
    return [{part: scored[place].figures() for part, scored in parts.items()} for place in range(len(sets))]


def _workloads(sets: Sequence[Sampled]) -> list[str]:
    return list(dict.fromkeys(each.run.workload for one in sets for each in one.tested))


def _without_workloads(sets: Sequence[Sampled], training: _Training, say: Say) -> list[_Scored]:
    """The scores for workloads that were left out, of each dataset."""
    found, names = [_Scored() for _ in sets], _workloads(sets)
    for group in (names[place::_GROUPS] for place in range(min(_GROUPS, len(names)))):
        say(f"training without {', '.join(group)}")
        others = [each for one in sets for each in one.learned if each.run.workload not in group]
        networks = training.pointer(others) | training.recurrent(others, "workloads")
        for one, scored in zip(sets, found, strict=True):
            scored.add(one.of(group), networks)
    return found


def _without_datasets(sets: Sequence[Sampled], training: _Training, say: Say) -> list[_Scored]:
    """The scores for datasets that were left out."""
    found = [_Scored() for _ in sets]
    for one, scored in zip(sets, found, strict=True):
        say(f"training without {_name(one.dataset)}")
        others = [each for other in sets if other is not one for each in other.learned]
        scored.add(one.tested, training.pointer(others))
    return found


class _Scored:
    """Scores, as they come: forecaster → seed → run → its score with and without the idle task."""

    def __init__(self) -> None:
        self._scores: dict[str, list[list[list[Score]]]] = {}
        self._workloads: list[str] = []

    def add(self, samples: Sequence[Samples], networks: Forecasters) -> None:
        """Score the rules and some networks on runs."""
        forecasters: Forecasters = {name: [_ruled(name)] for name in RULES} | networks
        for name, by_seed in forecasters.items():
            rows = self._scores.setdefault(name, [[] for _ in by_seed])
            for row, made in zip(rows, by_seed, strict=True):
                row += [_both(made(each), each) for each in samples]
        self._workloads += [each.run.workload for each in samples]

    def figures(self) -> dict[str, Any]:
        return _figures(self._scores, self._workloads)


def _ruled(name: str) -> Callable[[Samples], np.ndarray]:
    return lambda samples: rule(samples, name)


def _both(forecasts: np.ndarray, samples: Samples) -> list[Score]:
    return [score(forecasts, samples), score(without_idle(forecasts, samples), samples, samples.to_a_task)]


def _figures(scored: dict[str, list[list[list[Score]]]], workloads: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for place, what in enumerate(("all", "to a task")):
        figures = {
            name: Figures([[both[place] for both in row] for row in by_seed], workloads)
            for name, by_seed in scored.items()
        }
        found[what] = {
            "forecasts": next(iter(figures.values())).n,
            "rows": [_row(name, each) for name, each in figures.items()],
            "gains": [_gain(figures, beside) for beside in figures if beside != POINTER],
            "reliability": figures[POINTER].reliability(),
        }
    return found


def _row(name: str, figures: Figures) -> dict[str, Any]:
    has_chances = name in MARKOV or name in (POINTER, *RECURRENT)
    return {
        "forecaster": name,
        "top1": asdict(figures.mean("top1")),
        "top5": asdict(figures.mean("top5")),
        "nll": asdict(figures.mean("nll")) if has_chances else None,
        "calibration_error": figures.calibration_error() if has_chances else None,
        "by_workload": {workload: figures.of_workload("top1", workload) for workload in figures.by_workload},
    }


def _gain(figures: dict[str, Figures], beside: str) -> dict[str, Any]:
    """What the pointer network has more in top-1 than another forecaster, in the same runs."""
    own, other = figures[POINTER], figures[beside]
    by_workload = {name: own.of_workload("top1", name) - other.of_workload("top1", name) for name in own.by_workload}
    return {"over": beside, "top1": asdict(own.mean("top1", other)), "by_workload": by_workload}


def latency_us(weights: pointer.Weights, samples: Sequence[Samples]) -> dict[str, float]:
    """The CPU time that one forecast takes from its features, in microseconds: median and 99th percentile."""
    rows = [
        np.ascontiguousarray(each.features[at, : each.counts[at]])
        for each in samples
        for at in range(0, len(each), max(1, len(each) * len(samples) // _TIMED))
    ]
    taken = [_timed(weights, row) for row in (*rows[:100], *rows)][100:]
    return {"p50": float(np.quantile(taken, 0.5)), "p99": float(np.quantile(taken, 0.99))}


def _timed(weights: pointer.Weights, row: np.ndarray) -> float:
    began = time.thread_time_ns()
    pointer.chances(weights, row)
    return (time.thread_time_ns() - began) / 1e3
