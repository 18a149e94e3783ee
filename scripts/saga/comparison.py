"""``python -m scripts.saga.comparison``: our makespans beside SAGA's of datasets/dags/saga.csv, as Markdown."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from schedtel.dags import heuristics
from schedtel.dags.dag import Dag
from schedtel.dags.heuristics import HEURISTICS
from scripts.saga.instances import Instance, instances

_FILE = Path(__file__).parents[2] / "datasets" / "dags" / "saga.csv"
_METHODS = {"heft": "heft", "cpop": "cpop", "cpop as shipped": "cpop", "minmin": "minmin", "etf": "etf"}
_MADE_BY = "# anrg-saga 2.0.2, PYTHONHASHSEED=0 python -m scripts.saga\n"


def sagas() -> dict[tuple[str, int, str], tuple[int, int]]:
    """Family, seed and method → SAGA's least makespan and its greatest, over names of jobs and machines."""
    with _FILE.open(encoding="ascii") as file:
        if next(file) != _MADE_BY:
            raise ValueError(f"{_FILE} is of another SAGA")
        rows = list(csv.DictReader(file))
    return {(row["family"], int(row["seed"]), row["method"]): (int(row["least"]), int(row["most"])) for row in rows}


def share_between(dag: Dag) -> float:
    """SAGA's share of pairs of machines that are two: each two once, and each with itself."""
    machines = len(dag.place_of)
    return (machines - 1) / (machines + 1)


def _against(ours: int, least: int, most: int) -> float:
    """Our makespan by what it is outside of; 1 within SAGA's range."""
    return ours / min(max(ours, least), most)


def _row(family: str, method: str, some: list[Instance]) -> str:
    known = sagas()
    ours = [HEURISTICS[_METHODS[method]](one.dag()).makespan(one.dag()) for one in some]
    ratios = [_against(own, *known[family, one.seed, method]) for own, one in zip(ours, some, strict=True)]
    same, less = (sum(condition) for condition in ([r == 1 for r in ratios], [r < 1 for r in ratios]))
    spread = f"{100 * (min(ratios) - 1):+.0f} % to {100 * (max(ratios) - 1):+.0f} %"
    return f"| {family} | {method} | {same} | {less} | {len(ratios) - same - less} | {spread} |"


def _table() -> Iterator[str]:
    yield "| instances | method | in SAGA's range | below | above | by |\n|---|---|---|---|---|---|"
    for family in ("random", "layers", "ties"):
        some = [one for one in instances() if one.family == family]
        yield from (_row(family, method, some) for method in _METHODS)


if __name__ == "__main__":
    own = heuristics.share_apart
    for title, share in (("By SAGA's mean of a transfer:", share_between), ("By our own:", own)):
        heuristics.share_apart = share
        print(title, *_table(), sep="\n", end="\n\n")
