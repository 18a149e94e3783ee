"""A filter in; the programs of ``bpf/events`` attached, and what they write, out.

Each CPU that is online has a ring. Events of a CPU that comes online later are lost, and counted.
"""

import mmap
import os

import numpy as np

from schedtel.errors import CapabilityError, CollectorError, UsageError
from schedtel.host.cpus import online_cpus, possible_cpus
from schedtel.kernel.btf import ObjectTypes, check_contract
from schedtel.kernel.core.programs import object_image, packed
from schedtel.kernel.core.ring import Ring
from schedtel.kernel.events.copies import Copies
from schedtel.kernel.events.rings import Rings
from schedtel.kernel.filters import Filter
from schedtel.kernel.libbpf import BpfObject, KernelTypes
from schedtel.kernel.privileges import require_capabilities
from schedtel.records.book_layout import BOOK, BOOK_CONTRACT
from schedtel.records.event_layout import EVENT, EVENT_CONTRACT, EVENT_TOTALS, LIFE_EVENT

#: Those of lives come first, so that no event is of a task that nothing tells of.
_LIVES = ("on_exit", "on_rename", "on_exec", "on_newtask")
_EVENTS = ("on_migrate", "on_arrival", "on_wakeup", "on_switch")
_VISIT = "tell_alive"
_LIVES_BYTES = 1 << 20
#: A CPU's ring, unless the user says otherwise: half a million events, more than 2 s of the busiest pipe. On a machine
#: with many CPUs all rings together have at most so much memory, and each at least the last figure.
_RING_BYTES, _ALL_RINGS_BYTES, _LEAST_RING_BYTES = 8 << 20, 512 << 20, 1 << 20
_READ_BYTES = 1 << 16
#: Room in a ring of events for each record in the ring of books beside it, which takes 2.5 times the memory.
_EVENTS_A_BOOK = 2
#: What books are made of: fields of sched_entity that came with EEVDF (Linux 6.6).
_BOOK_FIELDS = ("deadline", "vlag", "slice")


def default_ring_bytes(cpus: int) -> int:
    """The size of a CPU's ring on a machine with so many CPUs; a power of two."""
    share = max(_LEAST_RING_BYTES, min(_RING_BYTES, _ALL_RINGS_BYTES // cpus))
    return 1 << (share.bit_length() - 1)


def require_books() -> None:
    """Raise :class:`CapabilityError` where this kernel's scheduler does not keep the books that are recorded."""
    with KernelTypes() as kernel:
        missing = [field for field in _BOOK_FIELDS if not kernel.has_member("sched_entity", field)]
    if missing:
        raise CapabilityError(
            f"cannot record the scheduler's books: this kernel's sched_entity has no {missing[0]} (record without "
            "books, or use a kernel with EEVDF, Linux 6.6 or later)"
        )


class EventTracer:
    """The programs, attached, and the rings. ``alive`` tells of the tasks at attach, shape (n,) of LIFE_EVENT.

    :param ring_bytes: the size of each CPU's ring, a power of two of at least a page; None: by the number of CPUs.
    :param books: also write the scheduler's books at each event, to rings of their own.

    Raises :class:`UsageError` for a wrong value, and :class:`CapabilityError` where the kernel, the machine or the
    user's privileges lack something.
    """

    def __init__(self, task_filter: Filter, ring_bytes: int | None = None, *, books: bool = False) -> None:
        settings = task_filter.settings()
        self.cpus = sorted(online_cpus())
        size = default_ring_bytes(len(self.cpus)) if ring_bytes is None else ring_bytes
        if size < mmap.PAGESIZE or size & (size - 1):
            raise UsageError(f"cannot use a ring of {size} bytes: it must be a power of two, at least {mmap.PAGESIZE}")
        ring_events = size // EVENT.itemsize
        self._events = Rings("rings", "events", EVENT, self.cpus, ring_events)
        self._books = Rings("book_rings", "books", BOOK, self.cpus, ring_events // _EVENTS_A_BOOK) if books else None
        require_capabilities()
        if books:
            require_books()
        self._object = BpfObject(object_image("books" if books else "events"))
        try:
            self._load(settings)
            self._map()
            self.alive = self._attach(visits=2 if settings.get("by_process") else 1)
        except BaseException:
            self.close()
            raise

    # ---- set up ----

    def _load(self, settings: dict[str, object]) -> None:
        structs = ObjectTypes(self._object.raw_btf()).structs()
        check_contract(structs, BOOK_CONTRACT if self._books else EVENT_CONTRACT)
        self._object.set_initial_value("schedtel.rodata", packed(structs["settings"], settings))
        self._events.set_sizes(self._object)
        self._object.set_max_entries("lives", _LIVES_BYTES)
        if self._books:
            self._books.set_sizes(self._object)
            self._object.set_max_entries("untold", possible_cpus())
        self._object.load()

    def _map(self) -> None:
        self._events.map(self._object)
        if self._books:
            self._books.map(self._object)
        totals_map = mmap.mmap(self._object.map_fd("schedtel.bss"), EVENT_TOTALS.itemsize, mmap.MAP_SHARED)
        self._totals = np.frombuffer(totals_map, EVENT_TOTALS, count=1)[0]
        self._lives = Ring(self._object.map_fd("lives"), _LIVES_BYTES, LIFE_EVENT)

    def _attach(self, visits: int) -> np.ndarray:
        """Attach all programs, and have all tasks visited.

        :param visits: two, where the filter marks tasks: a task may be born of one that the first visit has not marked.
        """
        self._object.attach_iterator(_VISIT)
        for name in _LIVES:
            self._object.attach(name)
        for _ in range(visits):
            alive = self._visit()
        for name in _EVENTS:
            self._object.attach(name)
        return alive

    def _visit(self) -> np.ndarray:
        fd = self._object.open_iterator(_VISIT)
        try:
            parts = list(iter(lambda: os.read(fd, _READ_BYTES), b""))
        except OSError as error:
            raise CollectorError(f"cannot visit the tasks: {error.strerror} (restart schedtel)") from error
        finally:
            os.close(fd)
        return np.frombuffer(b"".join(parts), LIFE_EVENT)

    # ---- read ----

    def drain(self, into: Copies) -> bool:
        """Move all that the programs have written into ``into``; returns whether there was room for all.

        One thread calls it.
        """
        has_all = self._events.drain(into.events)
        if self._books:  # after the events: an event's books are written behind it
            has_all = self._books.drain(into.books) and has_all
        self._lives.drain(into)
        return has_all

    @property
    def lost_at_end(self) -> dict[int, int]:
        """CPU → how many events were lost after the last one that its ring has, where there are any."""
        return self._events.lost_at_end

    @property
    def books_lost_at_end(self) -> dict[int, int]:
        """The same of the books."""
        return self._books.lost_at_end if self._books else {}

    @property
    def lives_lost(self) -> int:
        """How many life events were lost so far."""
        return int(self._totals["lives_lost"])

    @property
    def skipped(self) -> int:
        """How often the kernel has not run one of the programs, because it was running on that CPU already."""
        return sum(int(self._object.program_info(name).recursion_misses) for name in (*_LIVES, *_EVENTS))

    # ---- end ----

    def detach(self) -> None:
        """End tracing. What has been written can still be drained."""
        self._object.detach()

    def close(self) -> None:
        """Detach and unload the programs."""
        self._object.close()
