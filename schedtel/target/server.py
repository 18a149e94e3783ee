"""Calls of Arrow Flight in; runs on this machine, and their figures and windows, out: ``schedtel target serve``.

An action has a table of JSON as its body and another one as its answer:

    describe                                → what is allowed here, and the name of this machine
    check     spec, files                   → nothing; an error if the experiment is not allowed
    begin     spec, files                   → session: the key of all other calls, and the lease
    run       session, cell, loops_per_us   → nothing; the cell begins
    renew     session                       → how far the cell is; without one for LEASE_S, all is undone
    result    session                       → the run, as its store has it
    end       session                       → nothing, once all is undone

The windows of a run that is done are a stream, as of ``schedtel serve``.
"""

import hashlib
import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from schedtel._version import __version__
from schedtel.access.tls import Tls
from schedtel.access.uri import Address
from schedtel.durations import NS_PER_S
from schedtel.errors import UsageError
from schedtel.experiments.design import Cell, cells
from schedtel.experiments.spec import ExperimentSpec, spec_of
from schedtel.flight.feeds import Feed, ReplayFeed, Subscriber
from schedtel.flight.server import Action, Server
from schedtel.flight.wire import Event, Request
from schedtel.recordings.recording import Recording
from schedtel.target.bench import DONE, RUNNING, Bench, Order, State
from schedtel.target.lease import NICE
from schedtel.target.messages import encoded, fields_of
from schedtel.target.rules import Rules
from schedtel.workloads.fields import Fields

#: A controller takes the windows of one run at a time; the others are for those that look at this machine.
_MOST_STREAMS = 8
#: How long `end` waits until all is undone.
_PATIENCE_S = 4.0
_MOST_FILES = 64
_MACHINE_ID = Path("/etc/machine-id")


class RunFeed(Feed):
    """The windows of the run that was made last, for who names it."""

    def __init__(self) -> None:
        super().__init__({})
        self._shown: ReplayFeed | None = None

    def show(self, recording: Recording) -> str:
        """Have the windows of a recording sent, instead of those before. Returns the name of the run."""
        self._shown = ReplayFeed(recording.metadata, recording)
        self.run, self.facts = self._shown.run, self._shown.facts
        return self.run

    def events(self, request: Request, subscriber: Subscriber, gone: Callable[[], bool]) -> Iterator[Event]:
        shown = self._shown
        if shown is None or request.run != shown.run:
            raise UsageError("cannot send these windows: their run is not here any more (run it again)")
        return shown.events(request, subscriber, gone)


@dataclass(frozen=True)
class _Session:
    """What the controller with the lease has asked for."""

    key: str
    spec: ExperimentSpec
    files: dict[str, str]
    cells: dict[str, Cell]


class Target:
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
        self._rules, self._bench = rules, Bench(rules.cpus, rules.max_duration_ns / NS_PER_S)
        self.lease = self._bench.lease
        self._lock = threading.Lock()
        self._session: _Session | None = None
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # ---- the actions ----

    def _actions(self) -> dict[str, Action]:
        calls: dict[str, tuple[str, Callable[[Fields], dict[str, Any] | bytes]]] = {
            "describe": ("what is allowed here", self._describe),
            "check": ("say whether an experiment is allowed", self._check),
            "begin": ("begin a session for an experiment", self._begin),
            "run": ("run a cell of it", self._run),
            "renew": ("keep the session, and hear how far the cell is", self._renew),
            "result": ("the run that was made", self._result),
            "end": ("end the session, and undo everything", self._end),
        }
        return {name: Action(meaning, _answering(call)) for name, (meaning, call) in calls.items()}

    def _describe(self, _fields: Fields) -> dict[str, Any]:
        return {"schedtel": __version__, "machine": machine_name(self._rules.cpus), **asdict(self._rules)}

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
        spec, files = self._allowed(fields)
        found = {cell.key: cell for cell in cells(spec)}
        key = self.lease.take()
        with self._lock:
            self._session = _Session(key, spec, files, found)
        return {"session": key}

    def _run(self, fields: Fields) -> dict[str, Any]:
        session = self._of(fields)
        key = fields.text("cell")
        loops_per_us = fields.number("loops_per_us", 0.001, 1e6) if "loops_per_us" in fields else None
        fields.end()
        if key not in session.cells:
            raise UsageError("cannot run this cell: the experiment has none of this name")
        self._bench.ask(Order(session.spec, session.files, session.cells[key], loops_per_us))
        return {}

    def _renew(self, fields: Fields) -> dict[str, Any]:
        self._of(fields)
        fields.end()
        found = self._bench.state()
        answer = {"state": found.state, "cell": found.cell, "why": found.why}
        return {**answer, "run": self._name_of(found)} if found.state == DONE else answer

    def _name_of(self, found: State) -> str:
        """The name under which the windows of a run that is done are sent."""
        with self._lock:
            if self._shown is not found and found.recording is not None:
                self._shown = found
                self._feed.show(found.recording)
            return self._feed.run

    def _result(self, fields: Fields) -> bytes:
        self._of(fields)
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

    def _of(self, fields: Fields) -> _Session:
        """The session of a call, which is heard of by it."""
        self.lease.renew(fields.text("session"))
        with self._lock:
            assert self._session is not None
            return self._session


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
