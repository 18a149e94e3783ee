"""A connection to a target in; the place there in which an agent is at work, out. What a target says is not trusted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from schedtel.agent.here import Place, Seat, Tell
from schedtel.agent.machine import Threads
from schedtel.agent.settings import AgentSettings
from schedtel.agent.survey import Survey
from schedtel.errors import CapabilityError, StreamError, UsageError
from schedtel.flight.assembly import UntrustedError
from schedtel.flight.client import Subscription
from schedtel.flight.wire import END, one_line
from schedtel.schedulers.names import EEVDF, parse_arm
from schedtel.target.client import Connection, Session
from schedtel.target.messages import MOST_THREADS
from schedtel.windows.window import Window

#: How long the target may take: to begin to trace, beside hogs, and for one arm in the place of another.
_OPEN_S, _SWITCH_S = 30.0, 25.0
#: Most characters of a target's own words, of the name of a scheduler, and of the name of a run.
_MOST_SAID, _LONGEST_NAME = 300, 128
#: Most lines of a survey.
_MOST_FACTS = 256


def there(connection: Connection) -> Place:
    """The place of an agent on a target: windows are traced there, and arms are switched there.

    It raises :class:`UsageError` with the target's reason where that refuses, and :class:`StreamError` where it does
    not answer. Once the target is lost, the windows end with a :class:`StreamError`.
    """

    @contextmanager
    def place(settings: AgentSettings, duration: str | None, tell: Tell) -> Iterator[Seat]:
        connection.describe()
        windows = TargetWindows(connection.uri, tell)
        with (
            Session(connection, windows.stop, agent=_asked(settings, duration)) as session,
            connection.windows(_run_of(connection, session.call("open", timeout_s=_OPEN_S))) as stream,
        ):
            yield Seat(windows.of(session, stream), TargetMachine(session))

    return place


def _asked(settings: AgentSettings, duration: str | None) -> dict[str, Any]:
    asked: dict[str, Any] = {"arms": list(settings.arms), "window": settings.window, "acts": settings.mode == "act"}
    if settings.scope is not None:
        asked["for"] = str(settings.scope)
    return asked if duration is None else asked | {"duration": duration}


def _run_of(connection: Connection, answer: Mapping[str, Any]) -> str:
    name = answer.get("run")
    if not isinstance(name, str) or not 0 < len(name) <= _LONGEST_NAME:
        raise UntrustedError(f"target {connection.uri}: its windows have no name (is it schedtel that serves there?)")
    return name


def survey_of(connection: Connection) -> Survey:
    """What an agent can have on a target.

    Raises :class:`UntrustedError` for what is no survey, and as :meth:`Connection.call`.
    """
    connection.describe()
    found = connection.call("survey", timeout_s=_OPEN_S)
    try:
        facts, refused = (_said_of(found[key]) for key in ("facts", "refused"))
        arms, scoped = ([str(parse_arm(arm)) for arm in found[key]] for key in ("arms", "scoped"))
    except (LookupError, AttributeError, TypeError, UsageError) as error:
        raise UntrustedError(f"target {connection.uri}: what came is no survey (is it schedtel there?)") from error
    if arms[:1] != [str(EEVDF)] or len(facts) + len(refused) + len(arms) + len(scoped) > _MOST_FACTS:
        raise UntrustedError(f"target {connection.uri}: what came is no survey (is it schedtel there?)")
    return Survey(facts, arms, scoped, refused)


class TargetWindows:
    """The windows of a target, until it is lost.

    :param uri: of the target, for messages.
    :param tell: is given a line for windows that were missed.
    """

    def __init__(self, uri: str, tell: Tell) -> None:
        self._uri, self._tell = uri, tell
        self._session: Session | None = None
        self._stream: Subscription | None = None

    def of(self, session: Session, stream: Subscription) -> "TargetWindows":
        """These windows, once they have begun."""
        self._session, self._stream = session, stream
        return self

    def stop(self) -> None:
        """End the iteration. Safe in a signal handler and from another thread."""
        if self._stream is not None:
            self._stream.stop()

    def __iter__(self) -> Iterator[Window]:
        assert self._session is not None
        assert self._stream is not None
        try:
            yield from self._taken(self._stream)
        except UntrustedError:
            raise
        except StreamError as error:
            self._session.require()
            raise StreamError(f"lost target {self._uri}: its windows broke off (look at the target)") from error
        self._session.require()  # which is why there are no more
        if self._stream.ended != END and not self._stream.left:
            raise StreamError(f"lost target {self._uri}: its windows have ended (look at the target)")

    def _taken(self, stream: Subscription) -> Iterator[Window]:
        for window in stream:
            if stream.gap_before:
                self._tell(f"{stream.gap_before} windows of the target were missed: this side was too slow")
            yield window


class TargetMachine:
    """A target as an agent acts on it: every call is answered there, by what the kernel says then.

    :param session: that of the agent.
    """

    def __init__(self, session: Session) -> None:
        self._session = session

    def tell(self, classes: Threads) -> None:
        threads = sum(map(len, classes.values()))
        if threads > MOST_THREADS:
            raise CapabilityError(
                f"cannot name {threads:,} threads to a target: at most {MOST_THREADS:,} (choose some with --for)"
            )
        if classes:
            self._call("tell", classes=dict(classes))

    def switch(self, arm: str) -> int:
        return self._changed(self._call("switch", arm=arm, timeout_s=_SWITCH_S))

    def restore(self) -> None:
        self._call("restore", timeout_s=_SWITCH_S)

    def rescan(self) -> int:
        return self._changed(self._call("rescan"))

    def problem(self) -> str | None:
        problem = self._call("look").get("problem")
        return None if problem is None else _said(problem)

    def in_effect(self) -> str:
        name = self._call("look").get("scheduler")
        if not isinstance(name, str) or not name:
            raise UntrustedError("the target does not say which scheduler it runs (is it schedtel that serves there?)")
        return _said(name)[:_LONGEST_NAME]

    def _call(self, action: str, **fields: Any) -> dict[str, Any]:
        """The answer to a call.

        Raises :class:`CapabilityError` with what the target's machine refuses. Where the target itself refuses, the
        session is over: that is a :class:`StreamError`.
        """
        try:
            answer = self._session.call(action, **fields)
        except UsageError as error:
            raise StreamError(str(error)) from error
        if "refused" in answer:
            raise CapabilityError(f"on the target: {_said(answer['refused'])}")
        return answer

    @staticmethod
    def _changed(answer: Mapping[str, Any]) -> int:
        changed = answer.get("changed")
        if not isinstance(changed, int) or changed < 0:
            raise UntrustedError("the target does not say how much it has changed (is it schedtel that serves there?)")
        return changed


def _said_of(table: Mapping[str, object]) -> dict[str, str]:
    return {_said(name): _said(value) for name, value in table.items()}


def _said(value: object) -> str:
    return one_line(str(value))[:_MOST_SAID]
