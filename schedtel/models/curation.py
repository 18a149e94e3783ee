"""New weights, or versions to merge, in; a new version under a name, if it does well enough on each graph, out.

One number for all graphs would hide what a change costs. So a version is judged by the vector of its costs: it is
accepted where none of the graphs that were known before costs more than a threshold above what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from schedtel.dags.dag import Dag
from schedtel.dags.fingerprint import fingerprint
from schedtel.errors import UsageError
from schedtel.models.manifest import Known, Manifest
from schedtel.models.merging import DISTIL, ancestors, common_ancestor, merged
from schedtel.models.network import Network
from schedtel.models.store import Store, checked_name
from schedtel.models.weights import Arrays

#: A network and a graph in; the makespan of its schedule out.
Judge = Callable[[Network, Dag], float]
#: A model's arrays for each graph in; those of a network that decides on each as its model does out.
Distil = Callable[[Sequence[tuple[Arrays, Dag]]], Arrays]


@dataclass(frozen=True)
class Verdict:
    """What became of a new version.

    :param before: the cost on each graph that was known before.
    :param after: the cost of the new version on every graph.
    :param worse: the graphs that cost more than the threshold allows; none where it was accepted.
    """

    version: str
    before: dict[str, float]
    after: dict[str, float]
    worse: tuple[str, ...] = field(default=())

    @property
    def accepted(self) -> bool:
        return not self.worse


def update(
    store: Store,
    judge: Judge,
    name: str,
    arrays: Arrays,
    dags: Mapping[str, Dag],
    threshold: float,
    came_from: str | None = None,
) -> Verdict:
    """Put weights under a name, as what follows the version there now. A name that is new begins.

    :param dags: graphs to judge it on, besides all that the version before was judged on.
    :param threshold: by which share a cost may rise on a graph that was known before.
    :param came_from: the model that these weights were trained on from; None: the version there now.

    The name stays where it was if the costs rise by more. Raises :class:`UsageError` for weights that are no network,
    and for no graphs.
    """
    with store.writing():
        newest = store.history(name)[-1:] if checked_name(name) in store.names() else []
        parents = tuple(newest) if came_from is None else (store.resolve(came_from),)
        return _propose(store, judge, name, _Proposal(arrays, "update", parents, dags, threshold))


def merge(
    store: Store,
    judge: Judge,
    name: str,
    models: Sequence[str],
    method: str | None,
    threshold: float,
    distil: Distil,
) -> Verdict:
    """Put a merged version of several models under a name; it is judged on all that any of them knows.

    :param method: ``DISTIL`` or one of ``METHODS``; None: the mean where they have a common ancestor, else ``DISTIL``.

    On each graph, the cost before is the least that one of them has. Raises :class:`UsageError` for less than two
    models, and for a mean of models without a common ancestor.
    """
    checked_name(name)
    with store.writing():
        versions = tuple(dict.fromkeys(store.resolve(model) for model in models))
        if len(versions) < 2:
            raise UsageError("cannot merge one model: it would stay as it is (name two versions or more)")
        if method is None:
            method = "average" if common_ancestor(store, versions) else DISTIL
        arrays = distil(_lessons(store, versions)) if method == DISTIL else merged(store, versions, method)
        return _propose(store, judge, name, _Proposal(arrays, method, versions, {}, threshold))


def _lessons(store: Store, versions: Sequence[str]) -> list[tuple[Arrays, Dag]]:
    """Each graph that one of these versions knows, with the arrays of the one that is best on it."""
    best: dict[str, tuple[float, str]] = {}
    for version in versions:
        for graph, cost in store.manifest(version).costs.items():
            best[graph] = min(best.get(graph, (cost, version)), (cost, version))
    return [
        (store.arrays(version), store.graph(store.manifest(version).evaluation[graph].graph, graph))
        for graph, (_, version) in sorted(best.items())
    ]


@dataclass(frozen=True)
class _Proposal:
    arrays: Arrays
    made: str
    parents: tuple[str, ...]
    dags: Mapping[str, Dag]
    threshold: float


def _propose(store: Store, judge: Judge, name: str, proposed: _Proposal) -> Verdict:
    """Judge a new version, and have the name lead to it unless it loses to its parents or to what is there."""
    history = store.history(name) if name in store.names() else []
    before: dict[str, float] = {}
    dags = dict(proposed.dags)
    for manifest in map(store.manifest, dict.fromkeys((*proposed.parents, *history[-1:]))):
        for graph, known in manifest.evaluation.items():
            before[graph] = min(known.cost, before.get(graph, known.cost))
            if dags.setdefault(graph, store.graph(known.graph, graph)) != store.graph(known.graph, graph):
                raise UsageError(f"cannot judge model {name}: another graph is called {graph[:40]!r} (rename one)")
    if not dags:
        raise UsageError(f"cannot judge model {name}: no graph is known (give one: --graph cholesky-5)")
    network = Network(proposed.arrays)
    evaluation = {graph: _known(store, judge, network, dag) for graph, dag in sorted(dags.items())}
    manifest = Manifest(store.put_weights(proposed.arrays), proposed.made, proposed.parents, evaluation)
    if history and _is_same(store.manifest(history[-1]), manifest):
        return Verdict(history[-1], before, manifest.costs)
    version = store.put(manifest)
    worse = losses(before, manifest.costs, proposed.threshold)
    if not worse:
        store.set_history(name, [*history, version])
    return Verdict(version, before, manifest.costs, worse)


def _is_same(one: Manifest, other: Manifest) -> bool:
    return (one.weights, one.evaluation) == (other.weights, other.evaluation)


def _known(store: Store, judge: Judge, network: Network, dag: Dag) -> Known:
    return Known(store.put_graph(dag), fingerprint(dag), float(judge(network, dag)), float(dag.least_makespan))


def losses(before: Mapping[str, float], after: Mapping[str, float], threshold: float) -> tuple[str, ...]:
    """The graphs whose cost rose by more than a share, sorted."""
    return tuple(sorted(graph for graph, cost in before.items() if after[graph] > cost * (1 + threshold)))


def split(store: Store, name: str, threshold: float) -> dict[str, list[str]]:
    """Give the graphs on which a model loses to one that it comes from back to that one.

    Each version that is best on some graphs gets a name of its own, ``NAME-1``, ``NAME-2`` …; a graph stays with the
    model itself unless an ancestor's cost is lower by more than the threshold.

    :return: new name → its graphs. None where the model loses nowhere: then nothing is changed.
    """
    with store.writing():
        newest = store.resolve(name)
        costs = {version: store.manifest(version).costs for version in ancestors(store, newest)}
        parts: dict[str, list[str]] = {}
        for graph, cost in sorted(costs[newest].items()):
            version = min((one for one in costs if graph in costs[one]), key=lambda one: costs[one][graph])
            keeps = cost <= costs[version][graph] * (1 + threshold)
            parts.setdefault(newest if keeps else version, []).append(graph)
        if list(parts) == [newest] or not parts:
            return {}
        names = [checked_name(f"{name}-{number}") for number in range(1, len(parts) + 1)]
        taken = [one for one in names if one in store.names()]
        if taken:
            raise UsageError(f"cannot split {name}: model {taken[0]} is there already (choose another name for it)")
        for one, (version, graphs) in zip(names, parts.items(), strict=True):
            known = store.manifest(version).evaluation
            manifest = Manifest(
                store.manifest(version).weights, "split", (version,), {graph: known[graph] for graph in graphs}
            )
            store.set_history(one, [store.put(manifest)])
        return dict(zip(names, parts.values(), strict=True))


def rollback(store: Store, name: str, to: str | None) -> str:
    """Have a name lead to the version before its newest, or to a named one of its history; that version.

    Raises :class:`UsageError` where there is none before, for a version that it never had, and for a damaged one.
    """
    with store.writing():
        history = store.history(name)
        if to is None and len(history) < 2:
            raise UsageError(f"cannot roll back {name}: it has one version only (remove the name, or update it)")
        found = [version for version in history if to and version.startswith(to)]
        if to is not None and len(set(found)) != 1:
            raise UsageError(f"cannot roll back {name} to {to[:40]!r}: it never was that version (see models show)")
        version = found[0] if found else history[-2]
        store.arrays(version)
        store.set_history(name, history[: history.index(version) + 1])
        return version
