"""What is to be changed, in; it changed, and put back, out.

A change is plain values, so that it can be written to a journal, and another process can put it back. It is put back
only where the kernel still shows what was set: what another program has changed since is left to it.
"""

import errno
import os
import time
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL

from schedtel.errors import SchedtelError
from schedtel.schedulers import attributes, knobs, loader_service, threads
from schedtel.schedulers.attributes import Attributes
from schedtel.schedulers.threads import Look, Thread

#: Each pass finds the children that were born during the one before it.
_MOST_PASSES = 20
#: A user other than root may set an autogroup's nice value ten times a second (proc_sched_autogroup_set_nice(),
#: kernel/sched/autogroup.c).
_AUTOGROUP_TRIES, _AUTOGROUP_PAUSE_S = 20, 0.05

_Value = tuple[int, ...] | str


@dataclass(frozen=True)
class Change:
    """One change of one thing.

    :param kind: ``attributes`` and ``affinity`` of a thread, a session's ``autogroup``, a ``file`` of a cgroup, a
        ``loader``, which is ended, or the scheduler of a ``service`` on the system's bus.
    :param target: of a thread or a loader its tgid, tid and start in ticks; of an autogroup its name; of a file its
        path and its inode; of a service its name.
    :param before: what it is put back to.
    :param after: what the kernel shows while it is changed.
    :param since: clock ticks since boot when it was changed.
    """

    kind: str
    target: tuple[int | str, ...]
    before: _Value
    after: _Value
    since: int

    @property
    def key(self) -> tuple[object, ...]:
        """What it is of: two changes of one thing have the same."""
        return (self.kind, *self.target)


def read(change: Change) -> _Value | None:
    """What the kernel shows now; None if the thread, the group or the file is gone.

    Raises :class:`OSError` if the kernel refuses to say, and :class:`SchedtelError` if a service does not answer.
    """
    if change.kind in _OF_THREADS:
        tgid, tid, start = map(int, change.target)
        thread = threads.read_thread(tgid, tid)
        return _OF_THREADS[change.kind](tid) if thread and thread.start == start and not thread.is_over else None
    if change.kind == "autogroup":
        found = _member(str(change.target[0]))
        return (found[1],) if found else None
    if change.kind == "service":
        return loader_service.read_running()
    path, inode = change.target
    return _content(str(path)) if _inode(str(path)) == inode else None


def write(change: Change, value: _Value) -> None:
    """Set what is changed to a value. A thread that has ended meanwhile is none of ours any more.

    Raises :class:`OSError` if the kernel refuses, and :class:`SchedtelError` if a service does.
    """
    if change.kind == "attributes":
        attributes.put(int(change.target[1]), attributes_of(value))
    elif change.kind == "affinity":
        _set_affinity(int(change.target[1]), value)
    elif change.kind == "loader":
        os.kill(int(change.target[0]), SIGKILL)
    elif change.kind == "autogroup":
        _set_autogroup(str(change.target[0]), str(value[0]))
    elif change.kind == "service":
        loader_service.run(str(value))
    else:
        Path(str(change.target[0])).write_text(str(value), encoding="ascii")


def _nobody(_look: Look) -> Iterable[int]:
    return ()


def undo(
    changes: Iterable[Change],
    kept: Container[tuple[object, ...]] = (),
    adopted: Callable[[Look], Iterable[int]] = _nobody,
) -> list[Change]:
    """Put back changes, the last one first, and what children have inherited of them. Returns those that failed.

    A thread that has ended, and one that shows something else than what was set, is left alone, and has not failed.

    :param kept: keys of changes that stay, so that a child which was changed itself is not put back with its parent.
    :param adopted: as of :func:`inherited`, by the look that it also takes.
    """
    ahead, failed = list(changes), list[Change]()
    known: dict[tuple[object, ...], Change] = {}
    for _ in range(_MOST_PASSES):
        known |= {change.key: change for change in ahead}
        failed += [change for change in reversed(ahead) if not _put_back(change)]
        look = Look()
        heard = inherited(known.values(), look, adopted(look))
        ahead = [change for change in heard if change.key not in kept]
        if not ahead:
            break
    return failed


def _put_back(change: Change) -> bool:
    try:
        if read(change) == change.after:
            write(change, change.before)
    except ProcessLookupError:
        pass
    except (OSError, SchedtelError):
        return False
    return True


def inherited(changes: Iterable[Change], look: Look, adopted: Iterable[int] = ()) -> list[Change]:
    """Changes of threads that a changed thread has forked since: they show what was set, and were never set.

    Each is put back to what its ancestor is put back to.

    :param adopted: processes that are known to descend from the changed threads, though their parent has ended. The
        first change of each kind is taken for their ancestor's.
    """
    of_threads = [change for change in changes if change.kind in ("attributes", "affinity")]
    if not of_threads:
        return []
    known = {change.key for change in of_threads}
    heirs = _heirs(of_threads, look)
    first = list({change.kind: change for change in reversed(of_threads)}.values())
    heirs = dict.fromkeys(adopted, first) | heirs
    return [
        change
        for tgid, models in _spread(heirs, look).items()
        for thread in look.threads_of(tgid)
        for change in _born(thread, models, known)
    ]


def _heirs(changes: list[Change], look: Look) -> dict[int, list[Change]]:
    """Process → the changes of its threads, for processes that are still the same."""
    found: dict[int, list[Change]] = {}
    for change in changes:
        tgid, tid, start = map(int, change.target)
        thread = look.thread(tgid, tid)
        if thread and thread.start == start:
            found.setdefault(tgid, []).append(change)
    return found


def _spread(heirs: dict[int, list[Change]], look: Look) -> dict[int, list[Change]]:
    """The same for all processes below them: a process without changes of its own has its parent's."""
    found, ahead = {}, [(tgid, heirs[tgid]) for tgid in heirs]
    while ahead:
        tgid, models = ahead.pop()
        if tgid not in found:
            found[tgid] = models
            ahead += [(child, models) for child in look.children(tgid) if child not in heirs]
    return found


def _born(thread: Thread, models: list[Change], known: set[tuple[object, ...]]) -> Iterator[Change]:
    """What a thread has inherited, of each kind by the first change that fits."""
    target = (thread.tgid, thread.tid, thread.start)
    for kind in {model.kind for model in models}:
        likely = [model for model in models if model.kind == kind and thread.start >= model.since]
        if likely and (kind, *target) not in known:
            shown = _shown(replace(likely[0], target=target))
            yield from [replace(model, target=target) for model in likely if model.after == shown][:1]


def _shown(change: Change) -> _Value | None:
    try:
        return read(change)
    except OSError:
        return None


def is_over(change: Change, look: Look) -> bool:
    """Whether the thread that was changed has ended; of groups and files nothing is known."""
    if change.kind not in _OF_THREADS:
        return False
    tgid, tid, start = map(int, change.target)
    thread = look.thread(tgid, tid)
    return thread is None or thread.start != start


def values_of(attributes_: Attributes) -> tuple[int, ...]:
    """Attributes as the value of a change."""
    found = attributes_
    return found.policy, found.nice, found.priority, found.slice_ns, int(found.reset_on_fork)


def attributes_of(value: _Value) -> Attributes:
    """The attributes that the value of a change says."""
    policy, nice, priority, slice_ns, reset = map(int, value)
    return Attributes(policy, nice, priority, slice_ns, bool(reset))


def _read_attributes(tid: int) -> _Value | None:
    found = attributes.get(tid)
    return values_of(found) if found else None


def _read_affinity(tid: int) -> _Value | None:
    try:
        return tuple(sorted(os.sched_getaffinity(tid)))
    except ProcessLookupError:
        return None


def _set_affinity(tid: int, value: _Value) -> None:
    try:
        os.sched_setaffinity(tid, map(int, value))
    except ProcessLookupError:
        return


def _is_running(_tid: int) -> _Value | None:
    return "running"


#: Kind → how it is read, of a thread that is known to be the same.
_OF_THREADS: dict[str, Callable[[int], _Value | None]] = {
    "attributes": _read_attributes,
    "affinity": _read_affinity,
    "loader": _is_running,
}


def _member(group: str) -> tuple[int, int] | None:
    """A process of an autogroup, and the group's nice value; None if the group is gone."""
    for pid in Look().processes:
        found = knobs.autogroup_of(pid)
        if found and found[0] == group:
            return pid, found[1]
    return None


def _set_autogroup(group: str, nice: str) -> None:
    for _ in range(_AUTOGROUP_TRIES):
        found = _member(group)
        if found is None:
            return
        try:
            Path(f"/proc/{found[0]}/autogroup").write_text(nice, encoding="ascii")
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
            time.sleep(_AUTOGROUP_PAUSE_S)
        else:
            return
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _content(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read().strip()


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0
