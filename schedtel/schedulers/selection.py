"""A selection in: a process tree, a command name, a cgroup, a systemd unit, or a class; its threads out.

Threads of the kernel, of this process and of its helpers are never selected.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from schedtel.errors import UsageError
from schedtel.host.procfs import tgid_of
from schedtel.schedulers import threads
from schedtel.schedulers.knobs import cgroup_directory, thread_ids_in, unit_directories
from schedtel.schedulers.names import Selector, parse_selector
from schedtel.schedulers.threads import Look, Seen, Thread, still_there
from schedtel.suggestions import did_you_mean


@dataclass(frozen=True)
class Changing:
    """A class that threads also leave, by a function that returns its threads as they were seen.

    A thread that is no longer of it is put back at the next look. So is one that has only inherited what was set: it is
    not of the class before it was seen to be.
    """

    members: Callable[[], Iterable[Seen]]


#: The threads of a class: their tids, a function that returns them, a selection that is no class itself, or a class
#: that threads leave.
Members = Iterable[int] | Callable[[], Iterable[int]] | str | Changing


class Tree:
    """A process, its descendants, and those of them whose parent has ended, as far as they were seen before.

    :param adopts: whether this process is the subreaper that gets orphans of the tree: its children, too, are of it.

    Raises :class:`UsageError` if there is no such process.
    """

    def __init__(self, pid: int, *, adopts: bool = False) -> None:
        root = threads.read_thread(pid, pid)
        if root is None or root.is_kernel_thread:
            raise UsageError(f"cannot select process {pid}: no such process (see `ps -e`)")
        self._root, self._adopts = root, adopts
        self._known = {pid: root.start}
        #: Of the last call of :meth:`members`: processes whose parent has ended, so that this process is their parent.
        self.adopted: list[int] = []
        self._look: Look | None = None

    def members(self, own: Collection[int], look: Look) -> Collection[int]:
        """The pids of the tree. ``own`` are helpers of this process, which it has not adopted."""
        if look is not self._look:
            self._look = look
            self._search(own, look)
        return self._known.keys()

    def _search(self, own: Collection[int], look: Look) -> None:
        self._known = {pid: start for pid, start in self._known.items() if _start_of(pid, look) == start}
        ours = look.children(os.getpid()) if self._adopts else ()
        self.adopted = [pid for pid in ours if self._is_adopted(look.thread(pid, pid), own)]
        found = {pid: _start_of(pid, look) for pid in look.descendants([*self._known, *self.adopted])}
        self._known |= {pid: start for pid, start in found.items() if start is not None}

    def _is_adopted(self, leader: Thread | None, own: Collection[int]) -> bool:
        return (
            leader is not None
            and leader.start >= self._root.start
            and leader.tgid not in own
            and leader.tgid != self._root.tgid
        )


def _start_of(pid: int, look: Look) -> int | None:
    leader = look.thread(pid, pid)
    return leader.start if leader else None


def refuse_unknown_class(name: str, classes: Collection[str]) -> None:
    """Raise :class:`UsageError` for a class that is none of the caller's."""
    if name not in classes:
        cause = did_you_mean(name, classes) if classes else "none was given"
        raise UsageError(f"cannot select class {name!r}: {cause} (see --class)")


class Selection:
    """The threads that the rules of arms select.

    :param scope: what rules without a selection are for, and what those with one choose from; None: such rules choose
        from the whole machine, and those without are refused.
    :param classes: name → members, for rules such as ``hogs:idle``.
    :param adopts: see :class:`Tree`.
    :param spares: processes that are never selected.

    Raises :class:`UsageError` if the scope is a process that does not exist.
    """

    def __init__(
        self,
        scope: Selector | None = None,
        classes: Mapping[str, Members] | None = None,
        *,
        adopts: bool = False,
        spares: Collection[int] = (),
    ) -> None:
        self.scope = scope
        self._classes = dict(classes or {})
        self._trees: dict[str, Tree] = {}
        self._adopts = adopts
        self._spares = frozenset(spares)
        #: Processes that help this one, which are never selected.
        self.own: set[int] = set()
        #: The last look, and whether a thread was of the scope then.
        self._look: Look | None = None
        self._is_inside: Callable[[Thread], bool] = lambda _: True
        if scope is not None:
            self.check(scope)

    def check(self, selector: Selector | None) -> None:
        """Raise :class:`UsageError` for a selection that names nothing on this machine, or no class of the caller's."""
        if selector is None:
            if self.scope is None:
                raise UsageError(
                    "cannot use a rule without a selection: it would be for all of the machine "
                    "(choose a scope, or write comm=…, cgroup=…, unit=…, pid=… before it)"
                )
        elif selector.kind == "class":
            refuse_unknown_class(selector.name, self._classes)
        elif selector.kind == "pid":
            self._tree(selector)
        elif selector.kind != "comm":
            self.cgroups(selector)

    def threads(self, selector: Selector | None, look: Look) -> list[Thread]:
        """The threads of the scope that a selection chooses; of all of the scope for None."""
        if selector is None:
            return list(self._named(self.scope, look)) if self.scope else []
        if look is not self._look:
            self._look, self._is_inside = look, self._in_scope(look)
        return list(filter(self._is_inside, self._named(selector, look)))

    def may_leave(self, selector: Selector | None) -> bool:
        """Whether a selection is a class that threads leave."""
        return (
            selector is not None and selector.kind == "class" and isinstance(self._classes.get(selector.name), Changing)
        )

    def cgroups(self, selector: Selector | None) -> list[Path]:
        """The directories of the cgroups that a rule's selection, or else the scope, names.

        Raises :class:`UsageError` if it names none.
        """
        named = selector or self.scope
        if named is not None and named.kind == "unit":
            return unit_directories(named.name)
        if named is not None and named.kind == "cgroup":
            return [cgroup_directory(named.name)]
        raise UsageError(f"cannot set what cgroups have of {named or 'nothing'}: name a cgroup (cgroup=/x or unit=x)")

    def adopted(self, look: Look) -> list[int]:
        """Processes of the scope whose parent has ended, so that this process is their parent."""
        if not self._adopts or self.scope is None or self.scope.kind != "pid":
            return []
        tree = self._tree(self.scope)
        tree.members(self.own, look)
        return tree.adopted

    def _named(self, selector: Selector, look: Look) -> Iterator[Thread]:
        excluded = {os.getpid(), *self._spares, *self.own}
        for thread in self._found(selector, look):
            if thread.tgid not in excluded and not thread.is_kernel_thread and not thread.is_over:
                yield thread

    def _in_scope(self, look: Look) -> Callable[[Thread], bool]:
        """Whether a thread is of the scope; no other thread is read to tell."""
        scope = self.scope
        if scope is None:
            return lambda _: True
        if scope.kind == "pid":
            pids = self._tree(scope).members(self.own, look)
            return lambda thread: thread.tgid in pids
        if scope.kind == "comm":
            name = os.fsencode(scope.name)
            return lambda thread: thread.comm == name
        tids = set(self._tids_in(scope))
        return lambda thread: thread.tid in tids

    def _tids_in(self, selector: Selector) -> Iterator[int]:
        return (tid for cgroup in self.cgroups(selector) for tid in thread_ids_in(cgroup))

    def _found(self, selector: Selector, look: Look) -> Iterator[Thread]:
        if selector.kind == "pid":
            for tgid in self._tree(selector).members(self.own, look):
                yield from look.threads_of(tgid)
        elif selector.kind == "comm":
            name = os.fsencode(selector.name)
            for tgid in look.processes:
                yield from (thread for thread in look.threads_of(tgid) if thread.comm == name)
        elif selector.kind == "class":
            yield from self._members(self._classes[selector.name], look)
        else:
            yield from _by_tid(self._tids_in(selector), look)

    def _members(self, members: Members, look: Look) -> Iterator[Thread]:
        if isinstance(members, str):
            return self._found(parse_selector(members), look)
        if isinstance(members, Changing):
            return still_there(members.members(), look)
        return _by_tid(members() if callable(members) else members, look)

    def _tree(self, selector: Selector) -> Tree:
        if selector.name not in self._trees:
            adopts = self._adopts and selector == self.scope
            self._trees[selector.name] = Tree(int(selector.name), adopts=adopts)
        return self._trees[selector.name]


def _by_tid(tids: Iterable[int], look: Look) -> Iterator[Thread]:
    for tid in dict.fromkeys(tids):
        thread = look.thread(tgid_of(tid), tid)
        if thread:
            yield thread
