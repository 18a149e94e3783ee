"""Arms in; one of them in effect, and the way the machine was before back, out: the interface to all that is below.

What is in effect is read from the kernel each time, and never from memory: another program, an ejection, or a thread
that changes itself may have been quicker.
"""

import time
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from schedtel.closing import Closing
from schedtel.errors import CollectorError
from schedtel.host.sched_ext import ENABLED, SYSFS, State, read_state
from schedtel.schedulers import attributes, loader_service, policy, sched_ext, sub_schedulers
from schedtel.schedulers.choices import Choice, choices
from schedtel.schedulers.guard import Guard
from schedtel.schedulers.in_kernel import not_built_in
from schedtel.schedulers.journal import Journal, put_back_forgotten
from schedtel.schedulers.names import EEVDF, Arm, Selector, parse_arm, parse_selector
from schedtel.schedulers.policy import Policy
from schedtel.schedulers.sched_ext import STALL_TIMEOUT_MS, Attached, Loader
from schedtel.schedulers.selection import Members, Selection
from schedtel.schedulers.serviced import Serviced
from schedtel.schedulers.sub_schedulers import by_cgroup
from schedtel.schedulers.threads import Look

#: Looking for threads that were born takes at most so small a part of a CPU, unless the pause would be too long.
_RESCAN_SHARE, _LONGEST_PAUSE_S = 0.01, 5.0


@dataclass(frozen=True)
class Current:
    """What the kernel says now.

    :param scheduler: ``eevdf`` for the kernel's own fair class, which is CFS before Linux 6.6; else the name of the
        sched_ext scheduler that is attached, and those of cgroups behind it, as in ``lender/vtime``.
    :param state: of sched_ext: ``disabled``, ``enabling``, ``enabled``, ``disabling``; None where it is not built in.
    :param threads: attributes of the threads in scope, as text → how many threads have them.
    :param cgroups: path of a cgroup that has a sched_ext scheduler of its own → its name.
    """

    scheduler: str
    state: str | None
    threads: Mapping[str, int]
    cgroups: Mapping[str, str]


class Switched(int):
    """How many things a switch changed, and how long it took. All times are in nanoseconds.

    :param detach_ns: to put back the last arm, until the kernel was back to its own scheduler and threads as they were.
    :param attach_ns: to bring the next one into effect, as the kernel shows it. What can be done before is not in it:
        an object of sched_ext that schedtel attaches itself is loaded while the last arm still holds.
    """

    detach_ns: int
    attach_ns: int

    def __new__(cls, changed: int, detach_ns: int = 0, attach_ns: int = 0) -> Self:
        made = super().__new__(cls, changed)
        made.detach_ns, made.attach_ns = detach_ns, attach_ns
        return made

    @property
    def gap_ns(self) -> int:
        """How long neither arm was fully in effect: the time under EEVDF is within."""
        return self.detach_ns + self.attach_ns


def pause_after(took_s: float, least_s: float) -> float:
    """Seconds to wait after a :meth:`Schedulers.rescan` that took some, so that it takes 1 % of a CPU at most."""
    return min(max(least_s, took_s / _RESCAN_SHARE), _LONGEST_PAUSE_S)


def _named(now: State | None) -> str:
    """The scheduler that the kernel runs by what it says of sched_ext."""
    return (now.name if now and now.state == ENABLED else None) or str(EEVDF)


class Schedulers(Closing):
    """Switches between arms, and puts everything back at its end, however the process ends. A context manager.

    The first switch to another arm than ``eevdf`` starts a guard: a process that puts things back if this one dies, by
    SIGKILL too. At the same time, what an earlier process and its guard have left is put back. One thread at a time may
    call this object.

    :param scope: the threads that arms are for: ``pid=N`` with descendants, ``comm=NAME``, ``cgroup=PATH``,
        ``unit=NAME``; None: each rule of an arm says it.
    :param classes: name of a class → its threads: tids, a function that returns tids, or the text of a selection.
    :param loaders: name of an ``scx:`` arm → its loader; others are ``scx_NAME`` on the path.
    :param adopts: that this process is a subreaper, and orphans of the scope become its children.
    :param spares: processes besides this one that no arm is for.
    :param journals: directory for the journal; None: the user's own, below /run.
    :param sysfs: where the kernel tells about sched_ext.
    :param stall_timeout_ms: after so long, the kernel ejects a scheduler that leaves a task waiting: ``ops.timeout_ms``
        of objects that schedtel attaches itself. It takes half of it longer at most.

    Raises :class:`UsageError` for a scope that names nothing.
    """

    def __init__(
        self,
        scope: Selector | str | None = None,
        *,
        classes: Mapping[str, Members] | None = None,
        loaders: Mapping[str, Loader] | None = None,
        adopts: bool = False,
        spares: Collection[int] = (),
        journals: Path | None = None,
        sysfs: Path = SYSFS,
        stall_timeout_ms: int = STALL_TIMEOUT_MS,
    ) -> None:
        named = parse_selector(scope) if isinstance(scope, str) else scope
        self._selection = Selection(named, classes, adopts=adopts, spares=spares)
        self._loaders, self._sysfs, self._journals = dict(loaders or {}), sysfs, journals
        self._stall_timeout_ms = stall_timeout_ms
        self._journal: Journal | None = None
        self._guard: Guard | None = None
        self._policy: Policy | None = None
        self._attached: Attached | Serviced | None = None

    def arms(self) -> list[Choice]:
        """What can be switched to here: ``eevdf``, an example of each policy setting, and each sched_ext scheduler.

        Nothing but a thread of this process is changed to find out.
        """
        return choices(self._loaders, self._sysfs)

    def current(self) -> Current:
        """What the kernel says now."""
        now = read_state(self._sysfs)
        found = (attributes.get(thread.tid) for thread in self._selection.threads(None, Look()))
        threads = Counter(str(one) for one in found if one)
        return Current(_named(now), now.state if now else None, threads, by_cgroup(now))

    def in_effect(self) -> str:
        """The scheduler that the kernel runs now: ``eevdf``, or the name of a sched_ext scheduler."""
        return _named(read_state(self._sysfs))

    def check(self, arm: Arm | str) -> Arm:
        """The arm, if it can be switched to here. Nothing but a thread of this process is changed to find out.

        Raises :class:`UsageError` or :class:`CapabilityError` with what it lacks.
        """
        found = parse_arm(arm) if isinstance(arm, str) else arm
        policy.check(found, self._selection)
        if found == EEVDF and self._attached is None:
            sched_ext.require_none(self._sysfs)
        if found.family == "scx":
            (sub_schedulers if found.cgroup else sched_ext).check(self._sysfs)
            self._loader_of(found)
        if found.family == "loader":
            if read_state(self._sysfs) is None:
                raise not_built_in()
            loader_service.check(found)
        return found

    def switch(self, arm: Arm | str) -> Switched:
        """Put the last arm's changes back, and bring another one into effect.

        Returns how many things it changed, and how long each half took.

        Raises :class:`UsageError` or :class:`CapabilityError` before anything is changed if the arm cannot be used
        here, and :class:`SchedtelError` after all has been put back if the kernel refuses it.
        """
        found = self.check(arm)
        journal = None if found == EEVDF else self._guarded()
        prepared = self._prepared(found)
        began_ns = time.monotonic_ns()
        try:
            self.restore()
        except BaseException:
            if prepared:
                prepared.detach()
            raise
        back_ns = time.monotonic_ns()
        if journal is None:
            sched_ext.require_none(self._sysfs)  # the service org.scx.Loader may have had one before
            return Switched(0, back_ns - began_ns)
        changed = self._bring(found, prepared, journal)
        return Switched(changed, back_ns - began_ns, time.monotonic_ns() - back_ns)

    def rescan(self) -> int:
        """Bring the arm into effect for threads that were born since; returns how many things were changed.

        Raises :class:`CollectorError` if the guard has ended, after putting all back.
        """
        if self._guard and not self._guard.is_alive():
            self._forget_guard()
            raise CollectorError("cannot go on: the guard that would undo changes was ended (all is put back)")
        return self._policy.rescan() if self._policy else 0

    def problem(self) -> str | None:
        """Why a sched_ext arm is no longer in effect: an ejection, its loader's end, another's attach; else None."""
        return self._attached.problem() if self._attached else None

    def restore(self) -> None:
        """Put everything back: the kernel's own scheduler, and threads and groups as they were.

        Raises :class:`SchedtelError` if the kernel refuses.
        """
        attached, self._attached = self._attached, None
        changed, self._policy = self._policy, None
        if attached:
            self._selection.own.difference_update(attached.pids)
            attached.detach()
            if self._journal:
                self._journal.clear()
        if changed:
            changed.restore()

    def close(self) -> None:
        """Put everything back, and end the guard. Safe to call twice."""
        try:
            self.restore()
        finally:
            self._end_guard()

    @property
    def helpers(self) -> frozenset[int]:
        """The pids of this object's child processes: its guard, and a sched_ext scheduler's loader."""
        return frozenset(self._selection.own)

    def _guarded(self) -> Journal:
        """The journal, with a guard that waits beside it. If that was ended, all is put back first."""
        if self._guard and not self._guard.is_alive():
            self._forget_guard()
        if self._journal is None:
            put_back_forgotten(self._journals)
            self._journal = Journal(self._journals)
            try:
                self._guard = Guard(self._journal)
            except BaseException:
                self._end_guard()
                raise
            self._selection.own.add(self._guard.pid)
        return self._journal

    def _forget_guard(self) -> None:
        try:
            self.restore()
        finally:
            self._end_guard()

    def _end_guard(self) -> None:
        guard, self._guard = self._guard, None
        journal, self._journal = self._journal, None
        if guard:
            self._selection.own.discard(guard.pid)
            guard.close()
        if journal:
            journal.close()

    def _prepared(self, arm: Arm) -> Attached | Serviced | None:
        """What attaches the arm's scheduler, with all done that can be done while the last arm holds."""
        if arm.family == "scx":
            return Attached(self._loader_of(arm), self._sysfs)
        return Serviced(arm, self._sysfs) if arm.family == "loader" else None

    def _loader_of(self, arm: Arm) -> Loader:
        if arm.cgroup:
            return sub_schedulers.find_loader(arm, self._stall_timeout_ms)
        return sched_ext.find_loader(arm.scheduler, self._loaders, self._stall_timeout_ms)

    def _bring(self, arm: Arm, prepared: Attached | Serviced | None, journal: Journal) -> int:
        """Bring an arm into effect; returns how many things were changed."""
        if prepared is None:
            self._policy = Policy(journal, self._selection)
            return self._policy.apply(arm)
        self._attached = prepared
        try:
            prepared.attach(lambda change: journal.append([change]))
        except BaseException:
            self.restore()
            raise
        self._selection.own.update(prepared.pids)
        return 1
