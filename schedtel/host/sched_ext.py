"""/sys/kernel/sched_ext (kernel/sched/ext.c) in; what it says now, and which schedulers a window had, out."""

import itertools
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from schedtel.access.descriptors import EXHAUSTED
from schedtel.foreign_text import text_of

SYSFS = Path("/sys/kernel/sched_ext")
BTF = Path("/sys/kernel/btf/vmlinux")
#: What a kernel with sub-schedulers has, as BTF has its names: the kfunc that lends a CPU to one (7.1, only with
#: CONFIG_EXT_SUB_SCHED), and the form of operations that 7.2 wants for one and for what is above it.
_SUB_SCHEDULERS = (b"\0scx_bpf_sub_dispatch\0", b"\0sched_ext_ops_cid\0")
DISABLED, ENABLED, DISABLING = "disabled", "enabled", "disabling"
#: Stands for a scheduler of sched_ext that came and went between two readings, so that nobody saw its name.
UNSEEN = "sched_ext"
#: Between a scheduler and those that cgroups have below it.
_BELOW = "/"
_SUB_NAME = re.compile(r"sub-(\d+)")
_TRIES = 5


class Sub(NamedTuple):
    """A scheduler for one cgroup and those below it.

    :param cgroup_id: the inode number of the cgroup's directory.
    """

    cgroup_id: int
    ops: str


class State(NamedTuple):
    """What the kernel says of sched_ext. ``ops`` names the scheduler; it is None unless one is attached.

    :param state: ``disabled``, ``enabling``, ``enabled`` or ``disabling``.
    :param enable_seq: how many schedulers were attached since boot; those for one cgroup are not counted.
    :param subs: the schedulers that cgroups have of their own, below the one that is attached.
    """

    state: str
    ops: str | None
    enable_seq: int
    subs: tuple[Sub, ...] = ()

    @property
    def name(self) -> str | None:
        """What runs: the scheduler, and those of cgroups behind it, as in ``lender/vtime``."""
        return None if self.ops is None else _BELOW.join([self.ops, *(sub.ops for sub in self.subs)])


def read_state(sysfs: Path = SYSFS) -> State | None:
    """The state of sched_ext as it is now; None if the kernel is built without it.

    Each thing is a file of its own. So all are read anew where the state has changed meanwhile: else a scheduler would
    be seen while it is being enabled, and as counted already.

    Raises :class:`OSError` if no file descriptor is left to read it.
    """
    state, before, tries = _line(sysfs / "state"), None, 0
    ops, number, subs = None, 0, tuple[Sub, ...]()
    while state is not None and state != before and tries < _TRIES:
        ops = _line(sysfs / "root" / "ops") or None  # absent while no scheduler is attached
        subs = tuple(sorted(_subs(sysfs / "root"))) if ops else ()
        with suppress(ValueError):
            number = int(_line(sysfs / "enable_seq") or 0)
        before, state, tries = state, _line(sysfs / "state"), tries + 1
    return None if state is None else State(state, ops, number, subs)


def has_sub_schedulers(btf: Path = BTF) -> bool:
    """Whether the kernel can run a scheduler of sched_ext for one cgroup below that of the machine; by its BTF."""
    try:
        names = btf.read_bytes()
    except OSError:
        return False
    return all(name in names for name in _SUB_SCHEDULERS)


def _subs(scheduler: Path) -> Iterator[Sub]:
    """Those below a scheduler, in directories sub-ID, and those below them (scx_alloc_and_add_sched(), ext.c)."""
    names: list[str] = []
    with _may_be_gone():
        names = os.listdir(scheduler / "sub")
    for name in names:
        match, ops = _SUB_NAME.fullmatch(name), _line(scheduler / "sub" / name / "ops")
        if match and ops:
            yield Sub(int(match[1]), ops)
            yield from _subs(scheduler / "sub" / name)


def _line(path: Path) -> str | None:
    with _may_be_gone():
        return text_of(path.read_bytes().strip())
    return None


@contextmanager
def _may_be_gone() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in EXHAUSTED:
            raise


class SchedulerLabels:
    """Which schedulers each window had, by readings on both sides of its edges.

    :param kernels_own: the name of the scheduler that the kernel is built with: ``eevdf`` or ``cfs``.

    A swap between two readings on both sides of an edge may have been in either window, so both windows name both
    schedulers. Raises :class:`OSError` if no file descriptor is left.
    """

    def __init__(self, kernels_own: str, sysfs: Path = SYSFS) -> None:
        self._own, self._sysfs = kernels_own, sysfs
        #: What each reading showed that was new, and when. While schedulers change, a reading shows two of them.
        self._seen: list[tuple[tuple[str, ...], int]] = []
        self._attached = 0
        self.see()

    def see(self) -> None:
        """Read the state. To be called shortly before each edge."""
        now = read_state(self._sysfs) or State(DISABLED, None, 0)
        shown = [self._shown(now)]
        attached = now.enable_seq
        if now.state != DISABLED:
            # The kernel counts an attach a moment after it is complete, so the count may lack what is shown.
            last = [name.partition(_BELOW)[0] for name in self._seen[-1][0]] if self._seen else []
            is_another = bool(self._seen) and (now.ops or UNSEEN) not in last
            attached = max(attached, self._attached + is_another)
        if self._seen and attached > self._attached:
            is_one_hidden = attached - self._attached > (now.state != DISABLED)
            # Each attach begins with the kernel's own scheduler.
            shown = [(self._own,), *([(UNSEEN, self._own)] if is_one_hidden else []), *shown]
        self._attached = attached
        moment_ns = time.monotonic_ns()
        for names in shown:
            if not self._seen or self._seen[-1][0] != names:
                self._seen.append((names, moment_ns))

    def until(self, edge_ns: int) -> str:
        """The schedulers of the window that ended at an edge, in their order, joined by ``+``.

        To be called after that edge (CLOCK_MONOTONIC), once for each window.
        """
        self.see()
        names = (name for names, _ in self._seen for name in names)
        label = "+".join(name for name, _ in itertools.groupby(names))
        in_effect = max((n for n, (_, first_ns) in enumerate(self._seen) if first_ns <= edge_ns), default=0)
        del self._seen[:in_effect]
        return label

    def _shown(self, now: State) -> tuple[str, ...]:
        name = now.name or UNSEEN
        shown = {ENABLED: (name,), "enabling": (self._own, name), DISABLING: (name, self._own)}
        return shown.get(now.state, (self._own,))
