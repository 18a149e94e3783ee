"""A policy in; one file out, and the same policy back. The file holds arrays and JSON, and nothing that is executed.

The format is that of safetensors (https://github.com/huggingface/safetensors): arrays by name, and a text of metadata,
here one JSON object: which policy, its arms and their slots, its features and their version, settings, and the state of
its draws. A policy that is loaded decides as the one that was saved would have.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np

from schedtel.access.files import read_with_mode, write_whole
from schedtel.access.tensors import library, said_in
from schedtel.agent.context import Context, check_features
from schedtel.agent.policies.policy import MOST_ARMS, Policy
from schedtel.agent.policies.protocol import Settings
from schedtel.agent.policies.registry import policy_of
from schedtel.agent.policies.tally import Memory
from schedtel.errors import CapabilityError, RecordingError, UsageError
from schedtel.windows.features import FEATURES_VERSION, FeatureVector

#: Version of this file's contents; it changes when an array or an entry changes its meaning.
FORMAT = 1
_KEY = "schedtel.policy"
_MOST_BYTES = 64 << 20
#: No number that was learned is larger.
_LARGEST = 1e12
_NOT_NEGATIVE = ("counters", "seen", "variance", "tally.count", "tally.square", "adam.steps", "streak")
_safetensors = partial(library, "use files of policies", "agent")


def save_policy(policy: Policy, path: str | os.PathLike[str]) -> None:
    """Write a policy to a file that only its owner reads. The file appears when it is whole, in place of any other.

    Raises :class:`RecordingError` if it cannot be written, :class:`CapabilityError` without safetensors.
    """
    arrays = {name: np.ascontiguousarray(values) for name, values in policy.arrays().items() if values.size}
    content = _safetensors().save(arrays, metadata={_KEY: json.dumps(_description(policy))})
    try:
        write_whole(path, content)
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror} (choose another file, or free space)") from error


def load_policy(
    path: str | os.PathLike[str], arms: Collection[str] | None = None, names: Sequence[str] | None = None
) -> Policy:
    """The policy that was saved in a file.

    :param arms: the arms that it must have; None: any.
    :param names: the features that it must see, in their order; None: any.

    Raises :class:`UsageError` for a file that is none or damaged, of another version, with other features or arms,
    and :class:`CapabilityError` without safetensors.
    """
    content = read_with_mode(str(path), "policy", _MOST_BYTES)[0]
    try:
        arrays = _safetensors().load(content)
        said = said_in(content, _KEY)
        version = int(said["format"])
    except CapabilityError:
        raise
    except Exception as error:  # safetensors has errors of its own, and a hostile file any
        raise UsageError(f"cannot read policy {path}: it is no file of a policy (was it saved by schedtel?)") from error
    if version != FORMAT:
        raise UsageError(f"cannot use policy {path}: it has format {version}, this schedtel {FORMAT} (train it again)")
    policy = _made(said, path)
    _fill(policy, arrays, said, path)
    _check(policy, arms, names, path)
    return policy


def _description(policy: Policy) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "policy": policy.name,
        "arms": policy.slots(),
        "features": policy.names,
        "features_version": FEATURES_VERSION,
        "settings": asdict(policy.settings),
        "options": policy.options,
        "random": policy.random.bit_generator.state,
    }


def _made(said: dict[str, Any], path: object) -> Policy:
    """The policy that the description names, of which nothing is known yet."""
    try:
        check_features([str(name) for name in said["features"]], said["features_version"], f"policy {path}")
        settings = Settings(**said["settings"] | {"memory": Memory(**said["settings"]["memory"])})
        slots = {str(arm): int(slot) for arm, slot in said["arms"].items()}
        policy = policy_of(str(said["policy"]), list(slots), said["features"], settings, said["options"])
        policy.place(slots)
    except UsageError as error:
        raise UsageError(f"cannot use policy {path}: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(f"cannot read policy {path}: its description is damaged (save it again)") from error
    return policy


def _fill(policy: Policy, arrays: dict[str, np.ndarray], said: dict[str, Any], path: object) -> None:
    """Put what was learned where it belongs."""
    for name, into in policy.arrays().items():
        found = arrays.get(name, np.zeros(0))
        fits = into.size == 0 or (found.shape == into.shape and found.dtype == into.dtype)
        if not fits or not _plausible(name, found):
            raise UsageError(f"cannot read policy {path}: its array {name} is missing or damaged (save it again)")
        if into.size:
            into[:] = found
    try:
        policy.random.bit_generator.state = said["random"]
        policy.refresh()
    except (LookupError, TypeError, ValueError, OverflowError, np.linalg.LinAlgError) as error:
        raise UsageError(f"cannot read policy {path}: its state is damaged (save it again)") from error


def _plausible(name: str, values: np.ndarray) -> bool:
    if not values.size:
        return True
    if not np.isfinite(values).all() or float(np.abs(values).max()) > _LARGEST:
        return False
    if name == "tally.kept":
        return bool(np.isin(values[:, 0], np.arange(-1, MOST_ARMS)).all())
    if name == "tally.place":
        return bool(values[0] >= 0)
    return name not in _NOT_NEGATIVE or bool(values.min() >= 0)


def _check(policy: Policy, arms: Collection[str] | None, names: Sequence[str] | None, path: object) -> None:
    if arms is not None and set(arms) != set(policy.arms):
        other = ", ".join(policy.arms)[:200]
        raise UsageError(f"cannot use policy {path}: its arms are others ({other}; name these, or train it again)")
    if names is not None and tuple(names) != policy.names:
        raise UsageError(f"cannot use policy {path}: it sees other features, or in another order (train it again)")
    nothing = np.zeros(len(policy.names))
    chances = list(policy.chances(Context(FeatureVector(policy.names, nothing, nothing == 0))).values())
    if not np.isfinite(chances).all() or abs(sum(chances) - 1) > 1e-6 or min(chances) < 0:
        raise UsageError(f"cannot read policy {path}: its arrays make no chances (save it again)")
