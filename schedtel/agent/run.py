"""What an agent is asked to do in; the agent at work in a place, and everything as it was in the end, out.

Whatever is wrong is found before anything is changed: the policy, the quarantine, the place, and the log, in this
order.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schedtel.access.uri import is_uri
from schedtel.agent.book import Book
from schedtel.agent.classes import Classes
from schedtel.agent.config import Asked
from schedtel.agent.guard import Guard
from schedtel.agent.here import Place, Tell, Windows, here
from schedtel.agent.log import DecisionLog
from schedtel.agent.loop import Agent
from schedtel.agent.policies.files import save_policy
from schedtel.agent.policies.policy import Policy
from schedtel.agent.quarantine import Quarantine
from schedtel.agent.settings import chosen_policy
from schedtel.agent.status import Status


@dataclass
class Ready:
    """An agent that is ready to run.

    :param windows: those it decides by; ``windows.stop()`` ends the run.
    """

    windows: Windows
    policy: Policy
    _agent: Agent
    _save: str | None = None

    def run(self) -> None:
        """Decide until the windows end, then save what was learned, also where the machine was lost.

        Raises what :func:`save_policy` raises, and :class:`StreamError` for a machine that was lost.
        """
        if self._save is None:
            self._agent.run(self.windows)
            return
        save_policy(self.policy, self._save)  # so that a file that cannot be written is known now
        try:
            self._agent.run(self.windows)
        finally:
            save_policy(self.policy, self._save)


@contextmanager
def prepared(asked: Asked, observer: Callable[[Status], object], tell: Tell, place: Place = here) -> Iterator[Ready]:
    """An agent whose windows have begun; leaving the context puts everything back.

    :param observer: is given the view of each decision.
    :param tell: is given one line for what a person should know besides.
    :param place: where it is at work.

    Raises :class:`SchedtelError` for whatever is wrong, before anything is changed.
    """
    settings = asked.settings
    policy = chosen_policy(settings)
    quarantine = Quarantine(state_directory(asked.log), time.monotonic_ns, tell)
    classes = Classes()
    with place(settings, asked.duration, tell) as (windows, machine):
        log = DecisionLog(asked.log, policy.names) if asked.log else None
        guard = Guard(settings.arms, settings.slos, quarantine, classes, time.monotonic_ns)
        agent = Agent(settings, policy, machine, guard, classes, Book(log, tell), observer)
        yield Ready(windows, policy, agent, asked.save)


def state_directory(log: str | None) -> Path | None:
    """Where the quarantine is kept: systemd's directory for the service, or that of the log; None: nowhere."""
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.partition(":")[0])
    return Path(log) if log and not is_uri(log) else None
