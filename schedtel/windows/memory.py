"""Sizes in; arrays for the columns of windows out, in memory that is lent again once a window is no longer in use.

Fresh memory costs a page fault every 4 KB. Together, the page faults took as long as everything else in making a
window's tables.
"""

import ctypes
import functools
import math
import weakref

import numpy as np

#: Blocks are multiples of this size, so that a window with a few tasks more or fewer needs blocks of the same size.
_STEP_BYTES = 64 << 10
#: The number of blocks that two windows need: the newest is made while the caller still uses the one before.
_MOST_FREE = 4
#: A free block is kept while its size is within this factor of the size needed now; those of one window differ by less.
_FACTOR = 4


@functools.cache
def _lease_of(size: int) -> type[ctypes.Array[ctypes.c_ubyte]]:
    """The ctypes array of that size. It is cached: making the type takes longer than making an array of it."""
    return ctypes.c_ubyte * size


class Memory:
    """Lends arrays. A block comes back when the last array or Arrow buffer that refers to it is gone."""

    def __init__(self) -> None:
        self._free: list[bytearray] = []

    def empty(self, shape: tuple[int, ...], kind: type[np.generic]) -> np.ndarray:
        """An array of any values, as :func:`numpy.empty` makes one."""
        count = math.prod(shape)
        block = self._take(count * np.dtype(kind).itemsize)
        # All views of an array refer to the object that it was made from: a lease, which, unlike an array, tells when
        # the last of them is gone.
        lease = _lease_of(len(block)).from_buffer(block)
        weakref.finalize(lease, self._give_back, block).atexit = False
        return np.frombuffer(lease, kind, count).reshape(shape)  # type: ignore[call-overload]  # the stubs do not know it

    def _take(self, size: int) -> bytearray:
        needed = max(1, math.ceil(size / _STEP_BYTES)) * _STEP_BYTES
        # Each step is atomic: a thread that drops a window may give its block back at any moment.
        free = [self._free.pop() for _ in range(len(self._free))]
        # A block from a window with far more tasks would waste memory now that there are few, and is freed.
        near = [block for block in free if needed <= _FACTOR * len(block) and len(block) <= _FACTOR * needed]
        best = min((block for block in near if len(block) >= needed), key=len, default=None)
        self._free.extend(block for block in near if block is not best)
        return bytearray(needed) if best is None else best

    def _give_back(self, block: bytearray) -> None:
        if len(self._free) < _MOST_FREE:
            self._free.append(block)
