"""The bytes of a file of safetensors in; float32 arrays that can be a network's out. Nothing that is read is executed.

The file is refused before an array of it is used: where it is no safetensors (a pickle), cut short or too large, where
its header is longer than the file, and where an array has another type or a number that is not finite. A bit that was
flipped in a number is a valid file to safetensors, so the store compares the digest of all bytes besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schedtel.access.files import read_with_mode
from schedtel.access.tensors import library
from schedtel.errors import UsageError

Arrays = dict[str, NDArray[np.float32]]

MOST_BYTES = 64 << 20
MOST_ARRAYS = 64
_MOST_HEADER = 1 << 20
_HEADER_LENGTH = 8
#: No weight that was learned is larger.
_LARGEST = 1e6
_safetensors = partial(library, "use weights", "agent")


def read_weights(path: str) -> Arrays:
    """The arrays of a file that a user names. Raises :class:`UsageError` for a file that cannot be weights."""
    return parse_weights(read_with_mode(path, "weights", MOST_BYTES)[0], path)


def parse_weights(content: bytes, name: str) -> Arrays:
    """The arrays of these bytes.

    :param name: of what they are, for the message.

    Raises :class:`UsageError` for what cannot be weights, :class:`CapabilityError` without safetensors.
    """
    header = int.from_bytes(content[:_HEADER_LENGTH], "little")
    if len(content) < _HEADER_LENGTH or header > min(_MOST_HEADER, len(content) - _HEADER_LENGTH):
        raise _refused(name, "it is no file of safetensors, or cut short")
    loads = _safetensors().load
    try:
        arrays: dict[str, Any] = loads(content)
    except Exception as error:  # safetensors has errors of its own, and a hostile file any
        raise _refused(name, "it is no file of safetensors, or damaged") from error
    if not 1 <= len(arrays) <= MOST_ARRAYS:
        raise _refused(name, f"it has {len(arrays)} arrays, and a network 1 to {MOST_ARRAYS}")
    for key, values in arrays.items():
        if values.dtype != np.float32 or not values.size:
            raise _refused(name, f"array {key[:40]!r} is empty, or no float32")
        if not np.isfinite(values).all() or float(np.abs(values).max()) > _LARGEST:
            raise _refused(name, f"array {key[:40]!r} has a number that no weight is")
    return arrays


def weights_bytes(arrays: Mapping[str, NDArray[np.float32]]) -> bytes:
    """The arrays as a file of safetensors: the same bytes for the same arrays.

    Raises :class:`CapabilityError` without safetensors.
    """
    content: bytes = _safetensors().save({key: np.ascontiguousarray(arrays[key]) for key in sorted(arrays)})
    return content


def _refused(name: str, why: str) -> UsageError:
    return UsageError(f"cannot use weights {name[:80]}: {why} (save them again)")
