"""Raw books of a CPU in; rows of the table ``books``, and the gaps that they tell of, out."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pyarrow as pa

from schedtel.eventlog.decode import Gap
from schedtel.eventlog.schema import ARROW, BOOK_ROLES, names
from schedtel.records import book_layout as raw
from schedtel.windows.arrow import from_numpy


class BookDecoder:
    """Decodes the books of each CPU, which come in pieces. It gives a number to each entity and each queue, in whose
    place the kernel side has addresses.

    :param start_ns: when tracing began.
    :param last_ns: CPU → when its last books before the first piece were, where there were any.
    """

    def __init__(self, start_ns: int, last_ns: Mapping[int, int] = MappingProxyType({})) -> None:
        self._start_ns = start_ns
        self._last_ns = dict(last_ns)
        self._numbers = {0: 0}

    def decode(self, cpu: int, books: np.ndarray) -> tuple[pa.RecordBatch, list[Gap]]:
        """The rows of the next books of a CPU, shape (n,) of BOOK, and the losses among them."""
        lost = raw.roles(books) == raw.LOST
        gaps = self._told(cpu, books, lost)
        return self._batch(cpu, books[~lost] if lost.any() else books), gaps

    def _told(self, cpu: int, books: np.ndarray, lost: np.ndarray) -> list[Gap]:
        times, before = raw.times(books), self.last_ns(cpu)
        gaps = [
            Gap(cpu, int(times[at - 1]) if at else before, int(times[at]), int(books["entity"][at]), "books_full")
            for at in np.flatnonzero(lost).tolist()
        ]
        if len(times):
            self._last_ns[cpu] = int(times[-1])
        return gaps

    def begin_after(self, cpu: int, last_ns: int) -> None:
        """Say when the CPU's last books before the first ones to be decoded were."""
        self._last_ns[cpu] = last_ns

    def last_ns(self, cpu: int) -> int:
        """When the CPU's last books were told, or tracing began."""
        return self._last_ns.get(cpu, self._start_ns)

    def _numbered(self, addresses: np.ndarray) -> np.ndarray:
        distinct, places = np.unique(addresses, return_inverse=True)
        numbers = [self._numbers.setdefault(address, len(self._numbers)) for address in distinct.tolist()]
        return np.array(numbers, np.int64)[places.reshape(-1)]

    def _batch(self, cpu: int, books: np.ndarray) -> pa.RecordBatch:
        flags = books["flags"]
        has_vprot = flags & raw.VPROT != 0
        parents = self._numbered(books["parent"])
        lag = books["lag"].astype(np.int64)  # of 64 bits: the same bits, with a sign
        return pa.RecordBatch.from_arrays(
            [
                from_numpy(raw.times(books)),
                from_numpy(np.full(len(books), cpu, np.uint16)),
                from_numpy(books["tid"].astype(np.int32)),
                names(raw.roles(books) - np.uint8(raw.LEAVES), BOOK_ROLES),
                from_numpy(books["level"].copy()),
                from_numpy(self._numbered(books["entity"])),
                from_numpy(parents, parents != 0),
                from_numpy(self._numbered(books["queue"])),
                from_numpy(books["vruntime"].astype(np.int64)),
                from_numpy(books["deadline"].astype(np.int64)),
                from_numpy(lag, ~has_vprot),
                from_numpy(lag, has_vprot),
                from_numpy(books["slice"].astype(np.int64)),
                from_numpy(books["weight"].astype(np.int64)),
                from_numpy(flags & raw.ON_RQ != 0),
                from_numpy(flags & raw.DELAYED != 0),
                from_numpy(flags & raw.CURRENT != 0),
                from_numpy(flags & raw.BUDDY != 0),
                from_numpy(books["queued"].copy()),
            ],
            schema=ARROW["books"],
        )
