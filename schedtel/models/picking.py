"""The fingerprint of a new graph in; the models whose graphs are nearest out."""

from __future__ import annotations

from dataclasses import dataclass

from schedtel.dags.fingerprint import Fingerprint, distance, families
from schedtel.models.store import Store


@dataclass(frozen=True)
class Near:
    """A model, and the graph of those it was judged on that is the nearest."""

    name: str
    version: str
    graph: str
    far: float


def nearest(store: Store, wanted: Fingerprint) -> list[Near]:
    """Every name with its nearest graph, the nearest first. Raises :class:`UsageError` where a model is damaged."""
    found = []
    for name in store.names():
        version = store.history(name)[-1]
        known = store.manifest(version).evaluation
        graph = min(known, key=lambda one: distance(wanted, known[one].fingerprint))
        found.append(Near(name, version, graph, distance(wanted, known[graph].fingerprint)))
    return sorted(found, key=lambda one: (one.far, one.name))


def families_of(store: Store) -> dict[str, list[int]]:
    """For each name, the families of the graphs that its newest version was judged on."""
    known = {name: store.manifest(store.history(name)[-1]).evaluation for name in store.names()}
    prints = {of.graph: of.fingerprint for evaluation in known.values() for of in evaluation.values()}
    numbers = families(prints)
    return {name: sorted({numbers[of.graph] for of in evaluation.values()}) for name, evaluation in known.items()}
