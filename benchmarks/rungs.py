"""The ladder: small BPF programs, each of which does one thing more than the one before, attached by this process."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks import builds, kernel
from benchmarks.peers import Peer, observers, prove
from schedtel.kernel.libbpf import BpfObject
from schedtel.records import layout

#: Rungs in the order of bpf/ladder.bpf.c, which numbers them from 1.
NAMES = ("empty", "+ timestamp", "+ task storage", "+ books", "+ histograms")
#: The rung with the least cost of any program that measures time.
FLOOR = NAMES[1]
PROGRAMS = {event: (f"rung_{event}",) for event in ("switch", "wakeup", "fork", "exit")}
#: Size of struct task_state (bpf/machine.h): the fields before the banks, and two banks.
STATE_BYTES = 120 + 2 * layout.BANK.itemsize
#: The sizes that every rung is compiled with.
SIZES = {"RECORD_BYTES": layout.TASK_RECORD.itemsize, "STATE_BYTES": STATE_BYTES}


def ladder() -> list[Peer]:
    """Every rung as a peer, which this process attaches."""
    return [Peer(name, partial(_attached, number), PROGRAMS, settle_s=0) for number, name in enumerate(NAMES, 1)]


@contextmanager
def _attached(number: int) -> Iterator[int]:
    """Attach one rung's programs, and prove that they run. Yields the pid of this process, which holds them."""
    rung = builds.bpf_object("ladder", RUNG=number, **SIZES)
    with attached_here(rung, (name for (name,) in PROGRAMS.values())):
        prove(os.getpid(), PROGRAMS)
        yield os.getpid()
        prove(os.getpid(), PROGRAMS)


@contextmanager
def attached_here(compiled: bytes, names: Iterable[str]) -> Iterator[None]:
    """Attach these programs of an object in this process; they are freed when the context ends."""
    loaded = BpfObject(compiled)
    identities: set[int] = set()
    try:
        loaded.load()
        for name in names:
            loaded.attach(name)
        identities = kernel.program_ids(os.getpid())
        observers.own |= identities
        yield
    finally:
        loaded.close()
        kernel.wait_until_gone(identities)
