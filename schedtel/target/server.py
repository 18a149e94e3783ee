"""Calls of Arrow Flight in; runs on this machine, and their figures and windows, out: ``schedtel target serve``.

An action has a table of JSON as its body and another one as its answer:

    describe                                → what is allowed here, and the name of this machine
    survey                                  → what an agent can have here: facts, arms, scoped, refused
    check     spec, files                   → nothing; an error if the experiment is not allowed
    begin     spec, files; or agent         → session: the key of all other calls, and the lease
    renew     session                       → how far the cell is; without one for LEASE_S, all is undone
    end       session                       → nothing, once all is undone

In the session of an experiment:

    run       session, cell, loops_per_us   → nothing; the cell begins
    result    session                       → the run, as its store has it

In that of an agent, whose calls :mod:`schedtel.target.acting` has:

    open      session                       → run: the name of its windows, which have begun
    tell      session, classes              → nothing; these are the threads of the classes
    switch    session, arm                  → changed: how many things; or refused, with the reason
    rescan    session                       → the same, for threads that were born or classed since
    restore   session                       → nothing; or refused
    look      session                       → scheduler and problem, as the kernel says now

The windows of a run that is done, and of an agent, are a stream, as of ``schedtel serve``.
"""

import hashlib
import logging
import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from schedtel._version import __version__
from schedtel.access.tls import Tls
from schedtel.access.uri import Address
from schedtel.agent.survey import Survey, survey
from schedtel.closing import Closing
from schedtel.durations import NS_PER_S
from schedtel.errors import UsageError
from schedtel.experiments.design import Cell, cells
from schedtel.experiments.spec import ExperimentSpec, spec_of
from schedtel.flight.feeds import ReplayFeed
from schedtel.flight.server import Action, Server
from schedtel.target import worker
from schedtel.target.acting import Acting, attendance_of
from schedtel.target.bench import DONE, RUNNING, Bench, Order, State
from schedtel.target.feed import RunFeed
from schedtel.target.lease import NICE
from schedtel.target.messages import encoded, fields_of
from schedtel.target.rules import Rules
from schedtel.workloads.fields import Fields

_log = logging.getLogger(__name__)
_Work = TypeVar("_Work")
#: What a worker takes beside its plan, with much room. One that takes longer hangs.
_SLACK_S = 60.0
#: A controller takes the windows of one run at a time; the others are for those that look at this machine.
_MOST_STREAMS = 8
#: How long `end` waits until all is undone.
_PATIENCE_S = 4.0
_MOST_FILES = 64
_MACHINE_ID = Path("/etc/machine-id")


@dataclass(frozen=True)
class _Experiment:
    """The experiment of the controller with the lease."""

    spec: ExperimentSpec
    files: dict[str, str]
    cells: dict[str, Cell]


class Target(Closing):
    """A running target; also a context manager. It listens at once, and acts in :meth:`run`.

    ``uri`` is the address it listens on, with the port that the kernel chose if the caller gave port 0.

    Raises :class:`UsageError` without a token, and for an address that is not safe, :class:`StreamError` if it cannot
    listen there.
    """

    def __init__(self, rules: Rules, address: Address, tls: Tls, token: str | None) -> None:
        if token is None:
            raise UsageError(
                "cannot serve a target without a token: who calls it acts on this machine (give --token-file, or set "
                "SCHEDTEL_TOKEN)"
            )
        self._rules, self._bench = rules, Bench(self._forget)
        self.lease = self._bench.lease
        self._lock = threading.Lock()
        self._work: _Experiment | Acting | None = None
        self._feed, self._shown = RunFeed(), State()
        with _preferred():
            self._server = Server(self._feed, None, address, tls, token, _MOST_STREAMS, self._actions())
        self.uri = self._server.uri

    def run(self) -> None:
        """Do what controllers ask for until :meth:`stop`. This thread must live until it returns."""
        self._bench.run()

    def stop(self) -> None:
        """End :meth:`run`. Safe in a signal handler."""
        self._bench.stop()

    def close(self) -> None:
        """Stop listening."""
        self._server.close()

    # ---- the actions ----

    def _actions(self) -> dict[str, Action]:
        calls: dict[str, tuple[str, Callable[[Fields], dict[str, Any] | bytes]]] = {
            "describe": ("what is allowed here", self._describe),
            "survey": ("what an agent can have here", self._survey),
            "check": ("say whether an experiment is allowed", self._check),
            "begin": ("begin a session for an experiment or an agent", self._begin),
            "renew": ("keep the session, and hear how far the cell is", self._renew),
            "end": ("end the session, and undo everything", self._end),
            "run": ("run a cell of an experiment", self._run),
            "result": ("the run that was made", self._result),
            "open": ("begin the windows of an agent", self._open),
            "tell": ("say which threads are of which class", self._of_agent(Acting.tell)),
            "switch": ("bring an arm into effect", self._of_agent(Acting.switch)),
            "rescan": ("bring it into effect for new threads", self._of_agent(Acting.rescan)),
            "restore": ("put everything back", self._of_agent(Acting.restore)),
            "look": ("say which scheduler runs, and whether the arm does", self._of_agent(Acting.look)),
        }
        return {name: Action(meaning, _answering(call)) for name, (meaning, call) in calls.items()}

    def _describe(self, _fields: Fields) -> dict[str, Any]:
        return {"schedtel": __version__, "machine": machine_name(self._rules.cpus), **asdict(self._rules)}

    def _survey(self, fields: Fields) -> dict[str, Any]:
        fields.end()
        found = survey()
        barred = {arm: why for arm in (*found.arms, *found.scoped) if (why := self._rules.why_not(arm))}
        arms, scoped = ([arm for arm in those if arm not in barred] for those in (found.arms, found.scoped))
        return asdict(Survey(found.facts, arms, scoped, {**found.refused, **barred}))

    def _check(self, fields: Fields) -> dict[str, Any]:
        self._allowed(fields)
        return {}

    def _allowed(self, fields: Fields) -> tuple[ExperimentSpec, dict[str, str]]:
        spec = spec_of(fields.need("spec"), "the experiment")
        files = _files(fields)
        fields.end()
        self._rules.allow(spec, files)
        return spec, files

    def _begin(self, fields: Fields) -> dict[str, Any]:
        work = self._agent(fields) if "agent" in fields else self._experiment(fields)
        key = self.lease.take()
        with self._lock:
            self._work = work
        return {"session": key}

    def _experiment(self, fields: Fields) -> _Experiment:
        spec, files = self._allowed(fields)
        return _Experiment(spec, files, {cell.key: cell for cell in cells(spec)})

    def _agent(self, fields: Fields) -> Acting:
        asked = attendance_of(fields.need("agent"))
        fields.end()
        self._rules.allow_agent(asked.arms)
        return Acting(asked)

    def _forget(self) -> None:
        """What was done under the lease is over."""
        with self._lock:
            work, self._work = self._work, None
        if isinstance(work, Acting):
            work.end()

    def _open(self, fields: Fields) -> dict[str, Any]:
        acting = self._held(fields, Acting)
        fields.end()
        self._bench.ask(acting.order())
        return {"run": self._feed.show(acting.open())}

    def _of_agent(self, call: Callable[[Acting, Fields], dict[str, Any]]) -> Callable[[Fields], dict[str, Any]]:
        return lambda fields: call(self._held(fields, Acting), fields)

    def _run(self, fields: Fields) -> dict[str, Any]:
        experiment = self._held(fields, _Experiment)
        key = fields.text("cell")
        loops_per_us = fields.number("loops_per_us", 0.001, 1e6) if "loops_per_us" in fields else None
        fields.end()
        cell = experiment.cells.get(key)
        if cell is None:
            raise UsageError("cannot run this cell: the experiment has none of this name")
        job = worker.described(experiment.spec, experiment.files, cell, self._rules.cpus, loops_per_us)
        most_s = self._rules.max_duration_ns / NS_PER_S + _SLACK_S
        self._bench.ask(Order(key, worker.__name__, job, most_s))
        _log.info("running %s under %s, repeat %d", cell.workload, cell.scheduler, cell.repeat)
        return {}

    def _renew(self, fields: Fields) -> dict[str, Any]:
        self.lease.renew(fields.text("session"))
        fields.end()
        found = self._bench.state()
        answer = {"state": found.state, "cell": found.key, "why": found.why}
        return {**answer, "run": self._name_of(found)} if found.state == DONE else answer

    def _name_of(self, found: State) -> str:
        """The name under which the windows of a run that is done are sent."""
        with self._lock:
            if self._shown is not found and found.recording is not None:
                self._shown = found
                self._feed.show(ReplayFeed(found.recording.metadata, found.recording))
            return self._feed.run

    def _result(self, fields: Fields) -> bytes:
        self._held(fields, _Experiment)
        fields.end()
        found = self._bench.state()
        if found.state != DONE:
            raise UsageError(f"cannot give the run: it is {'running' if found.state == RUNNING else 'not there'}")
        return found.run

    def _end(self, fields: Fields) -> dict[str, Any]:
        key = fields.text("session")
        fields.end()
        self.lease.give_back(key, _PATIENCE_S)
        return {}

    def _held(self, fields: Fields, kind: type[_Work]) -> _Work:
        """What the session of a call is for; the lease is renewed by it."""
        self.lease.renew(fields.text("session"))
        with self._lock:
            work = self._work
        if not isinstance(work, kind):
            raise UsageError("cannot do that: this session is for something else (begin another one)")
        return work


def _answering(call: Callable[[Fields], dict[str, Any] | bytes]) -> Callable[[bytes], bytes]:
    def answer(body: bytes) -> bytes:
        said = call(fields_of(body))
        return said if isinstance(said, bytes) else encoded(said)

    return answer


def _files(fields: Fields) -> dict[str, str]:
    table = fields.take("files", {})
    if not isinstance(table, dict) or len(table) > _MOST_FILES:
        raise UsageError(f"cannot use {fields.where}: files must be a table of at most {_MOST_FILES}")
    texts = Fields(table, "files")
    return {name: texts.text(name) for name in table}


# ---- this machine ----


def machine_name(cpus: tuple[int, ...]) -> str:
    """What tells runs of this machine, on these CPUs, from those of others: the id of the machine is hashed."""
    try:
        identity = _MACHINE_ID.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):  # a container may have none
        identity = ""
    digest = hashlib.sha256(f"schedtel target {identity}".encode()).hexdigest()[:12]
    return f"target {platform.node()} {digest}, CPUs {','.join(map(str, cpus))}"


@contextmanager
def _preferred() -> Iterator[None]:
    """Inside the context, threads begin with a lower nice value, where this user may set one."""
    before = os.getpriority(os.PRIO_PROCESS, 0)  # of this thread, and those that it starts inherit it (setpriority(2))
    try:
        os.setpriority(os.PRIO_PROCESS, 0, min(before, NICE))
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.setpriority(os.PRIO_PROCESS, 0, before)
