"""A workload's run in; its recording, and an arm that is in effect meanwhile, out: what runs beside the workload."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from schedtel.errors import SchedtelError
from schedtel.kernel.filters import Filter
from schedtel.live import LiveSource
from schedtel.recordings.recorder import Recorder
from schedtel.schedulers.switching import Schedulers, pause_after
from schedtel.schedulers.threads import Look

#: How often threads that were born are looked for, so that an arm holds for them too.
_RESCAN_S = 0.02


@contextmanager
def beside(work: Callable[[threading.Event], object], name: str) -> Iterator[None]:
    """Do work in a thread until the context ends, which sets the event; raises the work's error then."""
    ended, errors = threading.Event(), []

    def attempt() -> None:
        try:
            work(ended)
        except BaseException as error:  # noqa: BLE001  (raised again below, in the caller's thread)
            errors.append(error)

    thread = threading.Thread(target=attempt, name=name)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if errors:
        raise errors[0]


@contextmanager
def recorded(folder: Path, window: str) -> Iterator[None]:
    """Record windows of this process's descendants into a directory, until the context ends."""
    with LiveSource(window, Filter(pid=os.getpid())) as source, Recorder(folder, window) as recorder:

        def record(_ended: threading.Event) -> None:
            for made in source:
                recorder.write(made)

        with beside(record, "recorder"):
            try:
                yield
            finally:
                source.stop()


@contextmanager
def in_effect(arm: str, classes: Mapping[str, Iterable[str]], from_birth: bool) -> Iterator[dict[str, str | int]]:
    """Bring an arm into effect for this process's descendants. Yields what was seen of it, complete afterwards.

    :param from_birth: the tasks set it for themselves. To look for them would take CPU time from them.
    """
    said: dict[str, str | int] = {"arm": arm, "arm_changes": 0}

    def keep(ended: threading.Event) -> None:
        members = {name: partial(_threads_of, frozenset(map(str.encode, comms))) for name, comms in classes.items()}
        with Schedulers(f"pid={os.getpid()}", classes=members) as schedulers:
            said["arm_changes"] = schedulers.switch(arm)
            effective.set()
            pause_s = _RESCAN_S
            while not ended.wait(pause_s):
                began = time.monotonic()
                said["arm_changes"] = int(said["arm_changes"]) + (0 if from_birth else schedulers.rescan())
                pause_s = pause_after(time.monotonic() - began, _RESCAN_S)
                problem = schedulers.problem()
                if problem:
                    raise SchedtelError(f"cannot go on under {arm}: {problem} (run it again)")
            said["scheduler"] = schedulers.current().scheduler

    effective = threading.Event()
    with beside(keep, "scheduler"):
        effective.wait(10)
        yield said


def _threads_of(comms: frozenset[bytes]) -> list[int]:
    """The tids of this process's descendants that have one of these command names."""
    look = Look()
    pids = look.descendants([os.getpid()])
    return [thread.tid for pid in pids for thread in look.threads_of(pid) if thread.comm in comms]
