"""A store in; everything in it that is not as it was written, or leads nowhere, out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial

from schedtel.errors import UsageError
from schedtel.models.network import Network
from schedtel.models.store import KINDS, Store
from schedtel.models.weights import parse_weights


def faults(store: Store) -> Iterator[str]:
    """A sentence for each fault: a damaged object, one that is missing, and a file that does not belong there."""
    for kind in KINDS:
        known = set(store.digests(kind))
        for name in sorted(os.listdir(store.root / kind) if (store.root / kind).is_dir() else []):
            if name not in known and not name.startswith("."):
                yield f"{kind}/{name} does not belong in a registry"
    looks: list[Callable[[], object]] = [
        *(partial(_weigh, store, digest) for digest in store.digests("weights")),
        *(partial(store.graph, digest, digest[:12]) for digest in store.digests("graphs")),
        *(partial(_follow, store, digest) for digest in store.digests("manifests")),
        *(partial(_lead, store, name) for name in store.names()),
    ]
    yield from (text for look in looks if (text := _fault(look)))


def _fault(look: Callable[[], object]) -> str:
    try:
        look()
    except UsageError as error:
        return str(error)
    return ""


def _weigh(store: Store, digest: str) -> None:
    Network(parse_weights(store.read("weights", digest), digest[:12]))


def _follow(store: Store, version: str) -> None:
    manifest = store.manifest(version)
    _need(store, "weights", manifest.weights)
    for known in manifest.evaluation.values():
        _need(store, "graphs", known.graph)
    for parent in manifest.parents:
        _need(store, "manifests", parent)


def _lead(store: Store, name: str) -> None:
    for version in store.history(name):
        _need(store, "manifests", version)


def _need(store: Store, kind: str, digest: str) -> None:
    if digest not in store.digests(kind):
        raise UsageError(f"cannot find {kind} {digest[:12]}: it is missing (restore it from a copy)")
