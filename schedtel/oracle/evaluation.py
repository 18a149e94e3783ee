"""A dataset and a model in; how good each forecaster is, on runs and on workloads that it has not seen, out.

*Runs*: networks learned from the runs of the dataset that are to learn from, and are tested on the others. *Workloads*:
some workloads at a time are left out. The networks learned from the runs of the others, and are tested on all runs of
these; the recurrent networks, which do not know their roles, with one seed only. Rules and Markov chances learn nothing
before: they are the same in both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from schedtel._version import __version__
from schedtel.errors import UsageError
from schedtel.oracle import pointer
from schedtel.oracle.dataset import Dataset, Entry
from schedtel.oracle.models import Model
from schedtel.oracle.rules import MARKOV, RULES, rule, without_idle
from schedtel.oracle.samples import Samples, samples_of
from schedtel.oracle.scores import Figures, Score, score

EVALUATION_VERSION = 2
POINTER, RECURRENT = "pointer", ("LSTM", "GRU")
#: What networks are measured by.
YARDSTICK = "markov2"
_TIMED = 3000
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


def refuse_what_was_learned(dataset: Dataset, model: Model) -> None:
    """Raise :class:`UsageError` if a run that is to test on is one that the model learned from."""
    for entry in dataset.entries:
        if not entry.is_for_training and entry.digest in model.learned_from:
            raise UsageError(
                f"cannot test on {dataset.where}/{entry.file}: the model learned from this run (use another dataset)"
            )


def evaluate(dataset: Dataset, model: Model, most: int, epochs: int | None, say: Say) -> dict[str, Any]:
    """The evaluation, as JSON has it.

    :param most: how many forecasts of a run count, the first ones.
    :param epochs: how often networks to compare with, and those for workloads that are left out, go through their
        samples; None: none are trained.
    :param say: is told what is being done.

    Raises :class:`UsageError` for a model that learned from runs to test on, :class:`CapabilityError` without torch.
    """
    refuse_what_was_learned(dataset, model)
    say("reading the runs")
    began = time.perf_counter_ns()
    tested = samples_of_dataset(dataset, (entry for entry in dataset.entries if not entry.is_for_training), most)
    reading_us = (time.perf_counter_ns() - began) / 1e3 / sum(map(len, tested))
    networks: Forecasters = {POINTER: [_by(weights) for weights in model.networks.values()]}
    learned: list[Samples] = []
    tunings: dict[str, Any] = {}
    if epochs is not None:
        learned = samples_of_dataset(dataset, (entry for entry in dataset.entries if entry.is_for_training), most)
        tunings = _tunings(learned, epochs, say)
        networks |= _recurrent(learned, list(model.networks), epochs, tunings, say)
    parts = {"runs": _part(tested, networks)}
    if epochs is not None and len(dataset.workloads) > 1:
        parts["workloads"] = _left_out(learned, tested, list(model.networks), epochs, tunings, say)
    return {
        "evaluation": "schedtel.oracle",
        "version": EVALUATION_VERSION,
        "schedtel": __version__,
        "kernel": str(dataset.card.get("kernel", "")),
        "cpus": dataset.card.get("cpus"),
        "workloads": dataset.workloads,
        "seeds": len(model.networks),
        "parameters": next(iter(model.networks.values())).parameters,
        "latency_us": latency_us(next(iter(model.networks.values())), tested),
        "features_us": reading_us,
        "tunings": {kind: asdict(tuning) for kind, tuning in tunings.items()},
        "parts": parts,
    }


def _by(weights: pointer.Weights) -> Callable[[Samples], np.ndarray]:
    return lambda samples: pointer.forecasts(weights, samples)


def _tunings(learned: Sequence[Samples], epochs: int, say: Say) -> dict[str, Any]:
    from schedtel.oracle.networks import chosen_tuning  # noqa: PLC0415  (torch)

    found = {}
    for kind in RECURRENT:
        say(f"tuning {kind}")
        found[kind] = chosen_tuning(kind, learned, epochs)
    return found


def _recurrent(
    learned: Sequence[Samples], seeds: Sequence[int], epochs: int, tunings: dict[str, Any], say: Say
) -> Forecasters:
    from schedtel.oracle.networks import forecast_part, trained_recurrent  # noqa: PLC0415  (torch)

    found: Forecasters = {}
    for kind, tuning in tunings.items():
        say(f"training {kind}")
        runs = [forecast_part(each) for each in learned]
        found[kind] = [trained_recurrent(kind, runs, seed, epochs, tuning).forecasts for seed in seeds]
    return found


def _left_out(
    learned: Sequence[Samples],
    tested: Sequence[Samples],
    seeds: Sequence[int],
    epochs: int,
    tunings: dict[str, Any],
    say: Say,
) -> dict[str, Any]:
    """The figures for workloads that were left out."""
    from schedtel.oracle.networks import trained_pointer  # noqa: PLC0415  (torch)

    scored: dict[str, list[list[list[Score]]]] = {}
    workloads: list[str] = []
    names = list(dict.fromkeys(each.run.workload for each in tested))
    for group in (names[place::_GROUPS] for place in range(min(_GROUPS, len(names)))):
        say(f"training without {', '.join(group)}")
        others = [each for each in learned if each.run.workload not in group]
        own = [each for each in (*learned, *tested) if each.run.workload in group]
        networks: Forecasters = {POINTER: [_by(trained_pointer(others, seed, epochs)) for seed in seeds]}
        networks |= _recurrent(others, seeds[:1], epochs, tunings, lambda _: None)
        for name, by_seed in _scores(own, networks).items():
            rows = scored.setdefault(name, [[] for _ in by_seed])
            scored[name] = [[*row, *more] for row, more in zip(rows, by_seed, strict=True)]
        workloads += [each.run.workload for each in own]
    return _figures(scored, workloads)


def _part(samples: Sequence[Samples], networks: Forecasters) -> dict[str, Any]:
    return _figures(_scores(samples, networks), [each.run.workload for each in samples])


def _scores(samples: Sequence[Samples], networks: Forecasters) -> dict[str, list[list[list[Score]]]]:
    """Forecaster → seed → run → its score with and without the idle task."""
    forecasters: Forecasters = {name: [_ruled(name)] for name in RULES} | networks
    return {
        name: [[_both(made(each), each) for each in samples] for made in by_seed]
        for name, by_seed in forecasters.items()
    }


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
    """How long one forecast takes from its features, in microseconds, on one CPU: median and 99th percentile."""
    rows = [
        np.ascontiguousarray(each.features[at, : each.counts[at]])
        for each in samples
        for at in range(0, len(each), max(1, len(each) * len(samples) // _TIMED))
    ]
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        taken = [_timed(weights, row) for row in (*rows[:100], *rows)][100:]
    finally:
        os.sched_setaffinity(0, allowed)
    return {"p50": float(np.quantile(taken, 0.5)), "p99": float(np.quantile(taken, 0.99))}


def _timed(weights: pointer.Weights, row: np.ndarray) -> float:
    began = time.perf_counter_ns()
    pointer.chances(weights, row)
    return (time.perf_counter_ns() - began) / 1e3
