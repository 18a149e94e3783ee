"""Memory for the columns of one window after another: that of a window which nobody has any more is lent again.

Fresh memory costs a page fault every 4 KB, which together took as long as everything else in making a window's tables.
"""

import ctypes
import functools
import math
import weakref

import numpy as np

#: Blocks are multiples of this, so that a few tasks more or less ask for the same.
_STEP_BYTES = 64 << 10
#: What two windows need: the newest is made while somebody looks at the one before.
_MOST_FREE = 4
#: How far a block may be from what is asked for now; the arrays of one window are nearer to each other.
_FACTOR = 4


@functools.cache
def _lease_of(size: int) -> type[ctypes.Array[ctypes.c_ubyte]]:
    """A type of that size; made anew each time, it would take longer than the array."""
    return ctypes.c_ubyte * size


class Memory:
    """Lends arrays. A block comes back when the last array or Arrow buffer that looks into it has gone."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def empty(self, shape: tuple[int, ...], kind: type[np.generic]) -> np.ndarray:
        """An array of any values, as :func:`numpy.empty` makes one."""
        count = math.prod(shape)
        block = self._take(count * np.dtype(kind).itemsize)
        # All views of an array hold what it was made from, and this, unlike an array, says when it goes.
        lease = _lease_of(len(block)).from_buffer(block)
        weakref.finalize(lease, self._give_back, block).atexit = False
        return np.frombuffer(lease, kind, count).reshape(shape)  # type: ignore[call-overload]  # the stubs do not know it

    def _take(self, size: int) -> bytearray:
        needed = max(1, math.ceil(size / _STEP_BYTES)) * _STEP_BYTES
        # Whole steps that no other thread can come between: whoever drops a window may give back at any moment.
        free = [self._free.pop() for _ in range(len(self._free))]
        # A block of a crowd that has gone is too much for the few who stay, and is given up.
        near = [block for block in free if needed <= _FACTOR * len(block) and len(block) <= _FACTOR * needed]
        best = min((block for block in near if len(block) >= needed), key=len, default=None)
        self._free.extend(block for block in near if block is not best)
        return bytearray(needed) if best is None else best

    def _give_back(self, block: bytearray) -> None:
        if len(self._free) < _MOST_FREE:
            self._free.append(block)
