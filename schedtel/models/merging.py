"""Arrays of several versions in; one version's arrays out.

Averaging weights makes sense only for networks that were trained on from one: networks that began elsewhere compute the
same with their units in another order. So versions without a common ancestor are refused.

TIES: P. Yadav et al., "TIES-Merging: Resolving Interference When Merging Models", NeurIPS 2023. Of the changes since
the ancestor, the largest are kept, each number takes the sign that weighs more, and those that agree are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from schedtel.errors import UsageError
from schedtel.models.store import Store
from schedtel.models.weights import Arrays

#: The share of changes that TIES keeps.
_KEPT = 0.2


def average(_: Arrays, versions: Sequence[Arrays]) -> Arrays:
    """The mean of each number."""
    return {name: np.mean([one[name] for one in versions], axis=0, dtype=np.float32) for name in versions[0]}


def ties(ancestor: Arrays, versions: Sequence[Arrays]) -> Arrays:
    """The ancestor, with the largest changes of each version where their signs agree."""
    changes = [{name: one[name] - ancestor[name] for name in ancestor} for one in versions]
    limits = [
        np.quantile(np.concatenate([np.abs(c).ravel() for c in change.values()]), 1 - _KEPT) for change in changes
    ]
    merged = {}
    for name, before in ancestor.items():
        kept = np.stack(
            [np.where(np.abs(c[name]) >= limit, c[name], 0) for c, limit in zip(changes, limits, strict=True)]
        )
        merged[name] = (before + _agreed(kept)).astype(np.float32)
    return merged


def _agreed(changes: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of those changes that have the sign of the sum; 0 where there is none."""
    agree = np.where(np.sign(changes) == np.sign(changes.sum(axis=0)), changes, 0)
    return np.asarray(agree.sum(axis=0) / np.maximum(1, (agree != 0).sum(axis=0)), np.float32)


#: The method that needs no common ancestor: a new network learns what each model does where it is best.
DISTIL = "distil"
#: Name of another method → the ancestor's arrays and the versions', in; the merged ones out.
METHODS: dict[str, Callable[[Arrays, Sequence[Arrays]], Arrays]] = {"average": average, "ties": ties}


def common_ancestor(store: Store, versions: Sequence[str]) -> str | None:
    """The version whose weights all of these were trained on from, the nearest to the first; None for strangers."""
    others = [set(_trained_from(store, version)) for version in versions[1:]]
    shared = (one for one in _trained_from(store, versions[0]) if all(one in found for found in others))
    return next(shared, None)


def _trained_from(store: Store, version: str) -> list[str]:
    """As :func:`ancestors`, but for those from which a network was distilled: its weights have nothing of theirs."""
    found = [version]
    for one in found:  # grows while it is walked
        manifest = store.manifest(one)
        found += [parent for parent in manifest.parents if parent not in found and manifest.made != DISTIL]
    return found


def ancestors(store: Store, version: str) -> list[str]:
    """A version and all that it comes from, the nearest first."""
    found = [version]
    for one in found:  # grows while it is walked
        found += [parent for parent in store.manifest(one).parents if parent not in found]
    return found


def merged(store: Store, versions: Sequence[str], method: str) -> Arrays:
    """The arrays of these versions, merged by a method of ``METHODS``.

    Raises :class:`UsageError` without a common ancestor, and for networks of other shapes.
    """
    found = common_ancestor(store, versions)
    if found is None:
        raise UsageError(
            "cannot merge these models so: they have no common ancestor, and the mean of strangers is none of them "
            f"(choose --method {DISTIL})"
        )
    ancestor = store.arrays(found)
    arrays = [store.arrays(version) for version in versions]
    shapes = {name: values.shape for name, values in ancestor.items()}
    for one in arrays:
        if {name: values.shape for name, values in one.items()} != shapes:
            raise UsageError("cannot merge these models: their networks have other shapes (train them from one)")
    return METHODS[method](ancestor, arrays)
