"""What an agent is asked to do in; the agent at work on this machine, and everything as it was in the end, out.

Whatever is wrong is found before anything is changed: the policy, the quarantine, the lock, the scope, each arm,
tracing and the log, in this order. The lock is given back when everything is put back.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from schedtel.access.uri import is_uri
from schedtel.agent.alone import only_agent
from schedtel.agent.book import Book
from schedtel.agent.classes import HOGS, SHORT, Classes
from schedtel.agent.config import Asked
from schedtel.agent.guard import Guard
from schedtel.agent.log import DecisionLog
from schedtel.agent.loop import Agent
from schedtel.agent.policies.files import save_policy
from schedtel.agent.policies.policy import Policy
from schedtel.agent.quarantine import Quarantine
from schedtel.agent.settings import AgentSettings, chosen_policy
from schedtel.agent.status import Status
from schedtel.agent.survival import Preferred
from schedtel.errors import CapabilityError
from schedtel.host.cgroups import cgroup_in, cgroup_root
from schedtel.kernel.filters import Filter
from schedtel.kernel.settings import Tracing
from schedtel.live import LiveSource
from schedtel.schedulers.knobs import unit_directories
from schedtel.schedulers.names import Selector
from schedtel.schedulers.selection import Changing
from schedtel.schedulers.switching import Schedulers

Tell = Callable[[str], object]


@dataclass
class Ready:
    """An agent that is ready to run.

    :param source: its windows; ``source.stop()`` ends the run.
    """

    source: LiveSource
    policy: Policy
    _agent: Agent
    _above: int | None
    _tell: Tell
    _save: str | None = None

    def run(self) -> None:
        """Decide until the source ends, then save what was learned. Raises what :func:`save_policy` raises."""
        if self._save:
            save_policy(self.policy, self._save)  # so that a file that cannot be written is known now
        self._decide()
        if self._save:
            save_policy(self.policy, self._save)

    def _decide(self) -> None:
        """This process is in real time meanwhile, where that is permitted."""
        if self._above is None:
            self._agent.run(self.source)
            return
        with Preferred(self._above) as preferred:
            if refused := preferred.refused:
                self._tell(f"this user may not keep the agent from being starved: {refused} (grant CAP_SYS_NICE)")
            self._agent.run(preferred.renewing(self.source))


@contextmanager
def prepared(asked: Asked, observer: Callable[[Status], object], tell: Tell) -> Iterator[Ready]:
    """An agent whose windows have begun; leaving the context puts everything back.

    :param observer: is given the view of each decision.
    :param tell: is given one line for what a person should know besides.

    Raises :class:`SchedtelError` for whatever is wrong, before anything is changed.
    """
    settings = asked.settings
    acts = settings.mode == "act"
    with ExitStack() as stack:
        policy = chosen_policy(settings)
        quarantine = Quarantine(state_directory(asked.log), time.monotonic_ns, tell)
        classes = Classes()
        if acts:
            stack.enter_context(only_agent())
        inferred = {SHORT: Changing(classes.short), HOGS: Changing(classes.hogs)}
        schedulers = stack.enter_context(Schedulers(settings.scope, classes=inferred))
        for arm in settings.arms:
            schedulers.check(arm)
        source = stack.enter_context(_source(settings, asked.duration))
        log = DecisionLog(asked.log, policy.names) if asked.log else None
        guard = Guard(settings.arms, settings.slos, quarantine, classes, time.monotonic_ns)
        agent = Agent(settings, policy, schedulers, guard, classes, Book(log, tell), observer)
        yield Ready(source, policy, agent, settings.real_time_priority if acts else None, tell, asked.save)


def _source(settings: AgentSettings, duration: str | None) -> LiveSource:
    return LiveSource(settings.window, filter_of(settings.scope), Tracing(preemptions="off"), duration=duration)


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


def state_directory(log: str | None) -> Path | None:
    """Where the quarantine is kept: systemd's directory for the service, or that of the log; None: nowhere."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    return Path(log) if log and not is_uri(log) else None
