"""The ladder: small programs of our own, each doing one thing more, attached in this process."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from benchmarks import builds, kernel
from benchmarks.peers import Peer, observers, prove
from schedtel.kernel.libbpf import BpfObject
from schedtel.records import layout

#: In the order of bpf/ladder.bpf.c, numbered from 1.
NAMES = ("empty", "+ timestamp", "+ task storage", "+ books", "+ histograms")
#: What every program that measures time must pay.
FLOOR = NAMES[1]
PROGRAMS = {event: (f"rung_{event}",) for event in ("switch", "wakeup", "fork", "exit")}
#: struct task_state of bpf/machine.h: what stands before the banks, and two banks.
STATE_BYTES = 120 + 2 * layout.BANK.itemsize


def ladder() -> list[Peer]:
    """Every rung, as a peer that is attached in this process."""
    return [Peer(name, partial(_attached, number), PROGRAMS, settle_s=0) for number, name in enumerate(NAMES, 1)]


@contextmanager
def _attached(number: int) -> Iterator[int]:
    """One rung's programs, attached; yields our own pid, which holds them."""
    sizes = {"RECORD_BYTES": layout.TASK_RECORD.itemsize, "STATE_BYTES": STATE_BYTES}
    rung = builds.bpf_object("ladder", RUNG=number, **sizes)
    with attached_here(rung, (name for (name,) in PROGRAMS.values())):
        prove(os.getpid(), PROGRAMS)
        yield os.getpid()
        prove(os.getpid(), PROGRAMS)


@contextmanager
def attached_here(compiled: bytes, names: Iterable[str]) -> Iterator[None]:
    """These programs of an object, attached by this process; gone on leaving."""
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
