"""An algorithm and its counters in; one file out, and the same back. The file holds arrays and JSON.

It is of the format of safetensors. What it holds is under a digest, since that format loads a file with a changed bit.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedtel.access.files import read_with_mode, write_whole
from schedtel.access.tensors import library, said_in
from schedtel.errors import CapabilityError, RecordingError, UsageError
from schedtel.training.learner.settings import Settings, settings_of

NAME = "checkpoint.safetensors"
#: Version of the contents; it changes when an array or an entry changes its meaning.
FORMAT = 1
_KEY = "schedtel.checkpoint"
_MOST_BYTES = 1 << 30
_safetensors = partial(library, "train", "learn")


@dataclass
class Counters:
    """How far a run has come: what its network has learned from, and what that took.

    :param seconds: by the clock, while it ran.
    :param begun: how often it was begun, or went on.
    :param discarded: steps that were not learned from, since the network had changed too much since.
    :param replaced: processes that ended, and were begun anew.
    :param stale: gradients that were discarded, since the network had changed too much since.
    """

    steps: int = 0
    updates: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    begun: int = 0
    discarded: int = 0
    replaced: int = 0
    stale: int = 0


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A run at one moment."""

    settings: Settings
    counters: Counters
    arrays: dict[str, NDArray[np.generic]]


def save(checkpoint: Checkpoint, directory: Path) -> None:
    """Write a checkpoint. It takes the place of the one before when it is whole and on the disk.

    Raises :class:`RecordingError` if it cannot be written, :class:`CapabilityError` without safetensors.
    """
    said = {
        "format": FORMAT,
        "settings": checkpoint.settings.as_dict(),
        "counters": asdict(checkpoint.counters),
    }
    text = json.dumps(said | {"sha256": _digest(said, checkpoint.arrays)})
    content = _safetensors().save(dict(checkpoint.arrays), metadata={_KEY: text})
    try:
        write_whole(directory / NAME, content)
    except OSError as error:
        raise RecordingError(f"cannot write {directory / NAME}: {error.strerror} (free some space)") from error


def load(directory: Path) -> Checkpoint:
    """The checkpoint of a run.

    Raises :class:`UsageError` for a directory that has none, and for one that is damaged or of another version.
    """
    path = directory / NAME
    content = read_with_mode(str(path), "checkpoint", _MOST_BYTES)[0]
    try:
        arrays = _safetensors().load(content)
        said = said_in(content, _KEY)
        digest, version = said.pop("sha256"), said["format"]
    except CapabilityError:
        raise
    except Exception as error:  # safetensors has errors of its own, and a hostile file any
        raise UsageError(f"cannot read {path}: it is no checkpoint (was it written by `schedtel train`?)") from error
    if version != FORMAT:
        raise UsageError(f"cannot use {path}: it has format {version!r:.20}, this schedtel {FORMAT} (train again)")
    if digest != _digest(said, arrays):
        raise UsageError(f"cannot use {path}: it is damaged (train again, or take a copy of it)")
    try:
        return Checkpoint(settings_of(said["settings"]), _counters(said["counters"]), arrays)
    except (LookupError, TypeError, ValueError) as error:
        raise UsageError(f"cannot use {path}: it is of a run that this schedtel does not know (train again)") from error


def _counters(said: Mapping[str, Any]) -> Counters:
    found = Counters(**said)
    if min(asdict(found).values()) < 0:
        raise ValueError("negative")
    return found


def _digest(said: Mapping[str, object], arrays: Mapping[str, NDArray[np.generic]]) -> str:
    digest = hashlib.sha256(json.dumps(said, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].dtype} {arrays[name].shape}".encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()
