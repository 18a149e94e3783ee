"""The arrays of layers in; scores of an observation out, by numpy: for one decision that is quicker than torch."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from schedtel.errors import UsageError

_NAME = re.compile(r"(?:[A-Za-z_]\w*\.)*([0-9]{1,4})\.(weight|bias)")
#: A score that is not allowed.
_EXCLUDED = np.float32(-1e9)


class Network:
    """Layers that follow each other, with max(0, x) between them.

    The arrays are those of a sequence of torch's: ``0.weight`` (outputs, inputs), ``0.bias`` (outputs), the numbers
    growing, with whatever prefix. A network with one output scores each *row* of an observation by itself; one with
    more scores the actions from the observation as a whole.

    Raises :class:`UsageError` for arrays that are no such layers.
    """

    def __init__(self, arrays: Mapping[str, NDArray[np.float32]]) -> None:
        self._layers = _layers(arrays)
        self.inputs, self.outputs = int(self._layers[0][0].shape[0]), int(self._layers[-1][0].shape[1])

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Outputs for inputs: (…, inputs) → (…, outputs)."""
        *hidden, (weights, bias) = self._layers
        for between, shift in hidden:
            x = np.maximum(x @ between + shift, 0)
        return np.asarray(x @ weights + bias, np.float32)

    def need_for(self, observation_size: int, action_count: int) -> None:
        """Raise :class:`UsageError` unless it can score the actions of such an environment."""
        by_row = self.outputs == 1 and self.inputs * action_count == observation_size
        if not by_row and (self.inputs, self.outputs) != (observation_size, action_count):
            raise UsageError(
                f"cannot use this network: it has {self.inputs} inputs and {self.outputs} outputs, the environment "
                f"{observation_size} numbers and {action_count} actions (train it for this environment)"
            )

    def decide(self, seen: NDArray[np.float32], masks: NDArray[np.bool_]) -> NDArray[np.int32]:
        """The action of the highest score that each mask allows: (count, numbers), (count, actions) → (count)."""
        if self.outputs > 1:
            return np.where(masks, self(seen), _EXCLUDED).argmax(axis=-1).astype(np.int32)
        scores = np.full(masks.shape, _EXCLUDED)
        scores[masks] = self(seen.reshape(*masks.shape, self.inputs)[masks])[:, 0]
        return scores.argmax(axis=-1).astype(np.int32)


def _layers(arrays: Mapping[str, NDArray[np.float32]]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Weights (inputs, outputs) and bias of each layer, in order."""
    found: dict[int, dict[str, NDArray[np.float32]]] = {}
    for name, values in arrays.items():
        match = _NAME.fullmatch(name)
        if match is None or match[2] in found.setdefault(int(match[1]), {}):
            raise UsageError(
                f"cannot use array {name[:40]!r}: it is of no layer (name them 0.weight, 0.bias, 2.weight)"
            )
        found[int(match[1])][match[2]] = values
    layers: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    for number, parts in sorted(found.items()):
        weight, bias = parts.get("weight"), parts.get("bias")
        inputs = layers[-1][0].shape[1] if layers else None
        if (
            weight is None
            or bias is None
            or weight.ndim != 2
            or bias.shape != weight.shape[:1]
            or inputs not in (None, weight.shape[1])
        ):
            raise UsageError(f"cannot use layer {number}: its arrays do not fit the layer before (save it again)")
        layers.append((np.ascontiguousarray(weight.T), bias))
    return layers
