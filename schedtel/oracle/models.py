"""Trained pointer networks in; one file out, and the same networks back. It holds arrays and JSON, nothing to execute.

The format is that of safetensors: arrays by name, ``SEED.w1`` and so on, and one JSON object: the features in their
order, the seeds, and the digests of the runs that were learned from. So an evaluation can refuse to test on them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from schedtel._version import __version__
from schedtel.access.files import read_with_mode, write_whole
from schedtel.access.tensors import library, said_in
from schedtel.errors import CapabilityError, RecordingError, UsageError
from schedtel.oracle.candidates import MOST_CANDIDATES, NAMES
from schedtel.oracle.pointer import SHAPES, Weights

#: Version of this file's contents; it changes when an array or an entry changes its meaning.
FORMAT = 1
_KEY = "schedtel.oracle"
_MOST_BYTES, _MOST_SEEDS, _LARGEST = 4 << 20, 100, 1e6
_safetensors = partial(library, "use files of models", "learn")


@dataclass(frozen=True)
class Model:
    """Networks of the same kind, trained with different seeds on the same runs.

    ``learned_from``: digests of these runs; ``workloads``: theirs.
    """

    networks: dict[int, Weights]
    learned_from: tuple[str, ...]
    workloads: tuple[str, ...]
    facts: dict[str, str]


def save_model(model: Model, path: str | os.PathLike[str]) -> None:
    """Write a model to a file that only its owner reads. The file appears when it is whole, in place of any other.

    Raises :class:`RecordingError` if it cannot be written, :class:`CapabilityError` without safetensors.
    """
    arrays = {
        f"{seed}.{name}": np.ascontiguousarray(getattr(weights, name))
        for seed, weights in model.networks.items()
        for name in SHAPES
    }
    said = {
        "format": FORMAT,
        "features": NAMES,
        "candidates": MOST_CANDIDATES,
        "seeds": list(model.networks),
        "learned_from": model.learned_from,
        "workloads": model.workloads,
        "facts": {"schedtel": __version__} | model.facts,
    }
    try:
        write_whole(path, _safetensors().save(arrays, metadata={_KEY: json.dumps(said)}))
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror} (choose another file, or free space)") from error


def load_model(path: str | os.PathLike[str]) -> Model:
    """The model that was saved in a file.

    Raises :class:`UsageError` for a file that is none or damaged, of another version or with other features, and
    :class:`CapabilityError` without safetensors.
    """
    content = read_with_mode(str(path), "model", _MOST_BYTES)[0]
    try:
        arrays = _safetensors().load(content)
        said = said_in(content, _KEY)
        version, features, candidates = int(said["format"]), tuple(said["features"]), said["candidates"]
    except CapabilityError:
        raise
    except Exception as error:  # safetensors has errors of its own, and a hostile file any
        raise UsageError(f"cannot read model {path}: it is no file of `schedtel oracle train` (name one)") from error
    if version != FORMAT:
        raise UsageError(f"cannot use model {path}: it has format {version}, this schedtel {FORMAT} (train it again)")
    if features != NAMES or candidates != MOST_CANDIDATES:
        raise UsageError(f"cannot use model {path}: it sees other features (train it again)")
    try:
        return _made(arrays, said)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UsageError(
            f"cannot read model {path}: its arrays or its description are damaged (train it again)"
        ) from error


def _made(arrays: dict[str, np.ndarray], said: dict[str, Any]) -> Model:
    """Raises :class:`ValueError` and the like for what cannot be."""
    seeds = [int(seed) for seed in said["seeds"]]
    if not 0 < len(set(seeds)) == len(seeds) <= _MOST_SEEDS:
        raise ValueError("seeds")
    networks = {seed: Weights(**{name: _array(arrays, f"{seed}.{name}", name) for name in SHAPES}) for seed in seeds}
    learned_from, workloads = (tuple(map(str, said[name])) for name in ("learned_from", "workloads"))
    facts = {str(name): str(text) for name, text in said["facts"].items() if name != "schedtel"}
    return Model(networks, learned_from, workloads, facts)


def _array(arrays: dict[str, np.ndarray], key: str, name: str) -> np.ndarray:
    found = arrays[key]
    if found.shape != SHAPES[name] or found.dtype != np.float32 or not (np.abs(found) < _LARGEST).all():
        raise ValueError(key)
    return found
