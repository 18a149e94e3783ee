"""A BPF map's file descriptor in; its entries written, dropped, or taken as numpy arrays."""

import ctypes
import errno
import os

import numpy as np

from schedtel.errors import CollectorError
from schedtel.kernel.libbpf import libbpf


def put(fd: int, key: int, value: int) -> None:
    """Set an entry of a map whose keys and values are numbers of 32 bits."""
    words = ctypes.c_uint32(key), ctypes.c_uint32(value)
    if libbpf().bpf_map_update_elem(fd, ctypes.byref(words[0]), ctypes.byref(words[1]), 0) < 0:
        raise CollectorError(f"cannot write to a BPF map: {os.strerror(ctypes.get_errno())} (restart schedtel)")


def drop(fd: int, key: int) -> None:
    """Remove an entry, if it is there, of a map whose keys are numbers of 32 bits."""
    libbpf().bpf_map_delete_elem(fd, ctypes.byref(ctypes.c_uint32(key)))


class Taker:
    """Takes all entries of a hash map, many at a call."""

    #: No bucket of a hash map has as many entries, so that each call takes some.
    _AT_ONCE = 4096

    def __init__(self, key: np.dtype, value: np.dtype) -> None:
        self._keys, self._values = np.zeros(self._AT_ONCE, key), np.zeros(self._AT_ONCE, value)

    def take(self, fd: int) -> tuple[np.ndarray, np.ndarray]:
        """The keys and the values of all entries, which are removed. Nothing may write the map meanwhile."""
        parts, token, begun, more = [], ctypes.c_uint32(), None, True
        while more:
            count, more = self._some(fd, begun, token)
            parts.append((self._keys[:count].copy(), self._values[:count].copy()))
            begun = ctypes.byref(token)
        keys, values = zip(*parts, strict=True)
        return np.concatenate(keys), np.concatenate(values)

    def _some(self, fd: int, begun: object, token: ctypes.c_uint32) -> tuple[int, bool]:
        """Take entries from ``begun`` on. How many, and whether there may be more."""
        count = ctypes.c_uint32(self._AT_ONCE)
        places = (self._keys.ctypes.data, self._values.ctypes.data)
        arguments = (fd, begun, ctypes.byref(token), *places, ctypes.byref(count), None)
        if libbpf().bpf_map_lookup_and_delete_batch(*arguments) >= 0:
            return count.value, True
        if ctypes.get_errno() == errno.ENOENT:
            return count.value, False
        raise CollectorError(f"cannot read a BPF map: {os.strerror(ctypes.get_errno())} (restart schedtel)")
