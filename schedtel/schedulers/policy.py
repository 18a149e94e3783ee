"""A policy arm and the threads that it is for in; these and their children changed, and put back, out."""

import dataclasses
import os
from collections.abc import Container, Iterator
from typing import NamedTuple

from schedtel.errors import CapabilityError, UsageError
from schedtel.schedulers import attributes, changes, knobs, threads, trial
from schedtel.schedulers.attributes import RR, Attributes
from schedtel.schedulers.changes import Change
from schedtel.schedulers.journal import Journal
from schedtel.schedulers.names import Arm, Rule
from schedtel.schedulers.selection import Selection
from schedtel.schedulers.settings import Setting
from schedtel.schedulers.threads import Look, Thread

#: The journal is written anew when it has more lines than this, and than this for each thread that has not ended.
_FEW_LINES, _MOST_LINES_A_CHANGE = 1000, 4
#: What is set of a thread by itself, so that one which leaves a class can be put back.
_OF_THREADS = frozenset({"attributes", "affinity"})


class _Step(NamedTuple):
    """A change and the value that is written for it; None where the kernel makes the change by itself."""

    change: Change
    value: tuple[int, ...] | str | None
    setting: Setting


class Policy:
    """The rules of an arm, in effect from :meth:`apply` to :meth:`restore`."""

    def __init__(self, journal: Journal, selection: Selection) -> None:
        self._journal, self._selection = journal, selection
        self._rules: tuple[Rule, ...] = ()
        self._made: dict[tuple[object, ...], Change] = {}
        #: What was set of each, by the same keys; what a thread has inherited is not in it.
        self._set: dict[tuple[object, ...], Setting] = {}
        self._default_slice_ns = 0
        #: Threads that the kernel did not let this user change, of those that were born since.
        self.refused = 0

    def apply(self, arm: Arm) -> int:
        """Change all threads that the arm's rules select now. Returns how many things were changed.

        Raises :class:`CapabilityError` if the kernel refuses one; then all are put back.
        """
        self._default_slice_ns = trial.default_slice_ns()
        self._rules = arm.rules
        try:
            return self._change(self._steps(Look(), with_groups=True), tolerant=False)
        except BaseException:
            self.restore()
            raise

    def rescan(self) -> int:
        """Change the threads that were born, named or classed since. Returns how many things were changed.

        What a thread has inherited is only noted, so that it is put back. A thread that has left a class is put back
        now, and so is what it has inherited from one that is in it.
        """
        look = Look()
        self._forget_ended(look)
        self._note(changes.inherited(self._made.values(), look, self._selection.adopted(look)))
        self._withdraw(look)
        return self._change(self._steps(look, with_groups=False), tolerant=True)

    def restore(self) -> None:
        """Put all back, children included. What others have changed since is left alone.

        Raises :class:`CapabilityError` if the kernel refuses; the journal keeps what could not be put back.
        """
        failed = changes.undo(self._made.values(), adopted=self._selection.adopted)
        self._rules, self._made, self._set, self.refused = (), {}, {}, 0
        self._journal.clear()
        if failed:
            self._journal.append(failed)
            raise CapabilityError(
                f"cannot put back {failed[0].kind} of {failed[0].target[0]} and {len(failed) - 1} others: the kernel "
                "refuses (run as root)"
            )

    def _forget_ended(self, look: Look) -> None:
        """Forget threads that have ended, but one of each kind: orphans are put back to what it was."""
        first = {change.kind: change.key for change in reversed(self._made.values())}
        kept = {key for key, change in self._made.items() if key in first.values() or not changes.is_over(change, look)}
        self._made = {key: change for key, change in self._made.items() if key in kept}
        self._set = {key: setting for key, setting in self._set.items() if key in kept}
        if self._journal.lines > max(_FEW_LINES, _MOST_LINES_A_CHANGE * len(self._made)):
            self._journal.rewrite(list(self._made.values()))

    def _withdraw(self, look: Look) -> None:
        """Put back threads for which no rule, or another one, holds by now; where the kernel refuses, the next time."""
        leaving = (rule.setting.kind for rule in self._rules if self._selection.may_leave(rule.selector))
        kinds = _OF_THREADS.intersection(leaving)
        if not kinds:
            return
        holding = self._holding(kinds, look)
        left = {
            key: change
            for key, change in self._made.items()
            if change.kind in kinds and (key not in holding or holding[key] != self._set.get(key))
        }
        if not left:
            return
        failed = {change.key for change in changes.undo(left.values(), kept=self._made.keys() - left.keys())}
        for key in left.keys() - failed:
            del self._made[key]
            self._set.pop(key, None)
        self._journal.rewrite(list(self._made.values()))

    def _holding(self, kinds: Container[str], look: Look) -> dict[tuple[object, ...], Setting]:
        """The setting that holds for each thread: that of the first rule of its kind that selects it."""
        found: dict[tuple[object, ...], Setting] = {}
        for rule in self._rules:
            if rule.setting.kind in kinds:
                for thread in self._selection.threads(rule.selector, look):
                    found.setdefault((rule.setting.kind, thread.tgid, thread.tid, thread.start), rule.setting)
        return found

    def _note(self, made: list[Change]) -> None:
        self._journal.append(made)
        self._made |= {change.key: change for change in made}

    def _change(self, steps: list[_Step], *, tolerant: bool) -> int:
        self._note([step.change for step in steps])
        self._set |= {step.change.key: step.setting for step in steps}
        return sum(self._make(step, tolerant) for step in steps)

    def _make(self, step: _Step, tolerant: bool) -> bool:
        """Make one change that is in the journal; note what the kernel shows then. Returns whether it was made."""
        if step.value is None:
            return False
        try:
            changes.write(step.change, step.value)
            shown = changes.read(step.change)
        except OSError as error:
            if not tolerant:
                raise _refused(step, error) from error
            self.refused += 1
            return False
        if shown is not None and shown != step.change.after:
            self._note([dataclasses.replace(step.change, after=shown)])
        return shown is not None

    def _steps(self, look: Look, *, with_groups: bool) -> list[_Step]:
        """What is to be changed that is not yet: for each thread and kind by the first rule that selects it."""
        found: dict[tuple[object, ...], _Step | None] = {}
        since = threads.boot_ticks()
        for rule in self._rules:
            if rule.setting.kind == "cgroup":
                found |= {step.change.key: step for step in (self._cgroup(rule, since) if with_groups else ())}
                continue
            for thread in self._selection.threads(rule.selector, look):
                for key, step in self._of_thread(rule.setting, thread, since):
                    found.setdefault(key, step)
        return [step for key, step in found.items() if step and key not in self._made]

    def _of_thread(
        self, setting: Setting, thread: Thread, since: int
    ) -> Iterator[tuple[tuple[object, ...], _Step | None]]:
        if setting.kind == "autogroup":
            found = knobs.autogroup_of(thread.tgid)
            target: tuple[int | str, ...] = (found[0],) if found else ()
        else:
            target = (thread.tgid, thread.tid, thread.start)
        key = (setting.kind, *target)
        if target and key not in self._made:
            yield key, self._planned(setting, target, since)

    def _planned(self, setting: Setting, target: tuple[int | str, ...], since: int) -> _Step | None:
        """The step for one thread or autogroup; None if it has ended, or already is as it should be."""
        before = changes.read(Change(setting.kind, target, (), (), since))
        if before is None or setting.kind != "attributes":
            change = Change(setting.kind, target, before or (), setting.values, since)
            return _Step(change, setting.values, setting) if before not in (None, setting.values) else None
        now = changes.attributes_of(before)
        own = dataclasses.replace(now, slice_ns=0) if now.slice_ns == self._default_slice_ns else now
        wanted = attributes.wanted(setting, own)
        if wanted is None or wanted == own:
            return None
        shown = wanted if wanted.slice_ns or wanted.policy == RR else self._with_default_slice(wanted)
        change = Change(setting.kind, target, changes.values_of(own), changes.values_of(shown), since)
        return _Step(change, changes.values_of(wanted), setting)

    def _with_default_slice(self, wanted: Attributes) -> Attributes:
        return dataclasses.replace(wanted, slice_ns=self._default_slice_ns)

    def _cgroup(self, rule: Rule, since: int) -> Iterator[_Step]:
        for path, value, is_written in _knobs(self._selection, rule):
            target = (path, os.stat(path).st_ino)
            before = changes.read(Change("file", target, "", "", since))
            if before is not None and before != value:
                change = Change("file", target, before, value, since)
                yield _Step(change, value if is_written else None, rule.setting)


def check(arm: Arm, selection: Selection) -> None:
    """Refuse an arm that this kernel or this user cannot apply, before anything is changed.

    Raises :class:`CapabilityError` or :class:`UsageError`.
    """
    for rule in arm.rules:
        selection.check(rule.selector)
        trial.require(rule.setting)
        if rule.setting.kind == "cgroup":
            _knobs(selection, rule)
        if rule.setting.kind == "autogroup":
            _require_own_session(selection, rule)


def _knobs(selection: Selection, rule: Rule) -> list[knobs.Knob]:
    """The files that a rule sets: of the cgroup in the hierarchy that has the cpu controller."""
    cgroups = selection.cgroups(rule.selector)
    with_cpu = [cgroup for cgroup in cgroups if any(cgroup.glob("cpu.[wsm]*"))] or cgroups
    return knobs.files_for(rule.setting, with_cpu[0])


def _require_own_session(selection: Selection, rule: Rule) -> None:
    """An autogroup is a session's. Refuse to go without one, or one with processes that the rule does not select."""
    look = Look()
    selected = {thread.tgid for thread in selection.threads(rule.selector, look)}
    groups = {found[0] for pid in selected if (found := knobs.autogroup_of(pid))}
    if selected and not groups:
        raise UsageError(
            f"cannot use {rule.setting}: process {min(selected)} has no autogroup, as its session is that of init "
            "(start what is selected with setsid)"
        )
    for pid, leader in look.processes.items():
        found = None if pid in selected or leader.is_over else knobs.autogroup_of(pid)
        if found and found[0] in groups:
            raise UsageError(
                f"cannot use {rule.setting}: process {pid} is in the same session, and not selected "
                "(start what is selected with setsid)"
            )


def _refused(step: _Step, error: OSError) -> CapabilityError:
    target = step.change.target
    what = f"thread {target[1]}" if step.change.kind in ("attributes", "affinity") else target[0]
    return CapabilityError(f"cannot set {step.setting} of {what}: {error.strerror} (run as root)")
