"""Rows of :mod:`.runs` in; tables of Markdown out: means over seeds, with 95 % intervals (Student's)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

import numpy as np

from schedtel.analysis.bootstrap import student_reach
from schedtel.training.learner.settings import DECAYS, ORDERS
from scripts.ways.runs import LEARNERS, REPLAYED, Way, ways

Rows = Sequence[Mapping[str, str]]
_NOTHING = "-"


def text_of(rows: Rows) -> str:
    """All tables, one for each question."""
    return "\n\n".join("\n".join(table(rows)) for table in _TABLES)


def values(rows: Rows, way: Way, figure: str) -> np.ndarray:
    """A figure of a way, one for each seed, in their order."""
    words = {name: str(value) for name, value in asdict(way).items()}
    found = [row for row in rows if all(row[name] == word for name, word in words.items())]
    return np.array([float(row[figure]) for row in sorted(found, key=lambda row: int(row["seed"]))])


def interval(found: np.ndarray, sign: str = "") -> str:
    """Mean and interval; nothing where it was not measured twice."""
    if len(found) < 2 or not np.isfinite(found).all():
        return _NOTHING
    mean, reach = float(found.mean()), student_reach(found)
    return f"{mean:{sign}.1f} [{mean - reach:{sign}.1f}, {mean + reach:{sign}.1f}]"


def beside(rows: Rows, way: Way, other: Way, figure: str = "missed") -> str:
    """How much more a way misses than another, seed by seed, of the seeds that both have."""
    one, two = (values(rows, each, figure) for each in (way, other))
    return interval(one - two, "+") if way != other and len(one) == len(two) else _NOTHING


def _orders(rows: Rows) -> Iterator[str]:
    yield "| algorithm | order | missed | against drawn | before its turn | after it |"
    yield "|---|---|---|---|---|---|"
    for algorithm in ("ppo", "dqn"):
        for order in ORDERS:
            way = Way(algorithm, order)
            figures = [interval(values(rows, way, name)) for name in ("missed", "before", "after")]
            figures.insert(1, beside(rows, way, Way(algorithm)))
            yield f"| `{algorithm}` | `{order}` | {' | '.join(figures)} |"
        ways = Way(algorithm, "gray"), Way(algorithm, "shuffled")
        figures = [beside(rows, *ways, name) for name in ("missed", "before", "after")]
        yield f"| `{algorithm}` | `gray` against `shuffled` | {figures[0]} | | {' | '.join(figures[1:])} |"


def _decays(rows: Rows) -> Iterator[str]:
    givens = {"drawn": ("drawn", "share"), "shared": ("shuffled", "share"), "whole": ("shuffled", "whole")}
    yield f"| decay | {' | '.join(f'{given} | against none' for given in givens)} | whole against shared |"
    yield "|---" * (2 + 2 * len(givens)) + "|"
    for decay in DECAYS:
        cells = list[str]()
        for order, assign in givens.values():
            way = Way("dqn", order, assign, decay)
            cells += [interval(values(rows, way, "missed")), beside(rows, way, Way("dqn", order, assign))]
        shared, whole = (Way("dqn", *givens[given], decay) for given in ("shared", "whole"))
        yield f"| `{decay}` | {' | '.join(cells)} | {beside(rows, whole, shared)} |"


def _ages(rows: Rows) -> Iterator[str]:
    yield "| updates since the network that acts | missed | against 0 |"
    yield "|---|---|---|"
    for way in (Way(), *(way for way in ways() if way.lag)):
        figures = [interval(values(rows, way, name)) for name in ("age", "missed")]
        yield f"| {' | '.join(figures)} | {beside(rows, way, Way())} |"


def _workers(rows: Rows) -> Iterator[str]:
    yield "| workers | they | runs | missed | age | discarded, % of the steps |"
    yield "|---|---|---|---|---|---|"
    for way in (way for way in ways() if way.workers and not way.in_turn):
        steps, discarded, age = (values(rows, way, name) for name in ("steps", "discarded", "age"))
        they = "wait" if way.waits else "do not wait"
        they += f", {way.backup} as backup" if way.backup else ""
        lost = 100 * discarded / (steps + discarded)
        figures = [interval(each) for each in (values(rows, way, "missed"), age, lost)]
        yield f"| {way.workers} | {they} | {len(steps)} | {' | '.join(figures)} |"


def _replays(rows: Rows) -> Iterator[str]:
    yield "| configurations | replay | missed | against central |"
    yield "|---|---|---|---|"
    for order, how, replay in REPLAYED:
        way = Way(order=order, assign=how, workers=4, replay=replay, in_turn=True)
        figures = interval(values(rows, way, "missed")), beside(rows, way, replace(way, replay="central"))
        yield f"| {'drawn' if order == 'drawn' else how} | {replay} | {' | '.join(figures)} |"


def _gradients(rows: Rows) -> Iterator[str]:
    yield "| learners | discarded if older than | age of a gradient | discarded, % | missed | against 1 |"
    yield "|---|---|---|---|---|---|"
    for learners, most in LEARNERS:
        way = Way(workers=1, learners=learners, most_gradient_age=most, in_turn=True)
        stale, updates = (values(rows, way, name) for name in ("stale", "updates"))
        figures = [interval(values(rows, way, "gradient_age")), interval(100 * stale / (stale + updates))]
        figures += [interval(values(rows, way, "missed")), beside(rows, way, Way(workers=1, in_turn=True))]
        yield f"| {learners} | {most} | {' | '.join(figures)} |"


_TABLES = (_orders, _decays, _ages, _workers, _replays, _gradients)
