"""What an agent is to do in; this machine, as that agent watches it and acts on it, out.

Another place for an agent is given by its caller: see :data:`Place`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from schedtel.agent.classes import CLASSES
from schedtel.agent.machine import Machine, this_machine
from schedtel.agent.settings import AgentSettings
from schedtel.agent.survival import Preferred
from schedtel.errors import CapabilityError
from schedtel.host.cgroups import cgroup_in, cgroup_root
from schedtel.kernel.filters import Filter
from schedtel.kernel.settings import Tracing
from schedtel.live import LiveSource
from schedtel.schedulers.knobs import unit_directories
from schedtel.schedulers.names import Selector

if TYPE_CHECKING:
    from schedtel.windows.window import Window

Tell = Callable[[str], object]


class Windows(Protocol):
    """The windows of a machine, each as it ends."""

    def __iter__(self) -> Iterator[Window]: ...

    def stop(self) -> None:
        """End the iteration. Safe in a signal handler."""


class Seat(NamedTuple):
    """Where an agent is at work: it watches, and it acts."""

    windows: Windows
    machine: Machine


#: Settings, a duration such as ``1h`` or None, and a way to tell a person one line → where the agent is at work. All
#: that it has changed is put back when the context ends.
Place = Callable[[AgentSettings, str | None, Tell], AbstractContextManager[Seat]]


@contextmanager
def here(settings: AgentSettings, duration: str | None, tell: Tell) -> Iterator[Seat]:
    """This machine, whose windows have begun. This process is in real time where it is to act and may have that.

    Raises :class:`SchedtelError` for what cannot be had, in this order: the lock, the scope, each arm, tracing.
    """
    acts = settings.mode == "act"
    with (
        this_machine(settings.arms, CLASSES, settings.scope, acts=acts) as machine,
        traced(settings.window, settings.scope, duration) as source,
    ):
        if not acts:
            yield Seat(source, machine)
            return
        with Preferred(settings.real_time_priority) as preferred:
            if refused := preferred.refused:
                tell(f"this user may not keep the agent from being starved: {refused} (grant CAP_SYS_NICE)")
            yield Seat(_Renewing(source, preferred), machine)


class _Renewing:
    """The windows of a source; threads of this process that were started since are preferred before each."""

    def __init__(self, source: LiveSource, preferred: Preferred) -> None:
        self._source, self._preferred = source, preferred

    def stop(self) -> None:
        self._source.stop()

    def __iter__(self) -> Iterator[Window]:
        return self._preferred.renewing(self._source)


def traced(window: str, scope: Selector | None, duration: str | None) -> LiveSource:
    """The windows of the tasks that an agent's arms are for. Tracing begins at once."""
    return LiveSource(window, filter_of(scope), Tracing(preemptions="off"), duration=duration)


def filter_of(scope: Selector | None) -> Filter:
    """The tasks that are measured: those of the scope.

    All tasks are where a filter cannot name them: a cgroup that is not in the hierarchy of version 2.
    """
    if scope is None:
        return Filter()
    if scope.kind == "pid":
        return Filter(pid=int(scope.name))
    if scope.kind == "comm":
        return Filter(comm=scope.name)
    try:
        root = cgroup_root()
    except CapabilityError:
        return Filter()
    named = map(str, unit_directories(scope.name)) if scope.kind == "unit" else (scope.name,)
    found = next((place for place in (cgroup_in(root, one) for one in named) if place), None)
    return Filter(cgroup=str(found)) if found else Filter()
