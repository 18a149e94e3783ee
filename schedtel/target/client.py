"""A URI in; calls of a target, and a session that it hears of, out. What a target answers is not trusted."""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from schedtel._version import __version__
from schedtel.access.policy import check_asking
from schedtel.access.tls import Tls
from schedtel.access.tokens import check_token
from schedtel.access.uri import parse_address
from schedtel.closing import Closing
from schedtel.errors import SchedtelError, StreamError, UsageError
from schedtel.flight.assembly import UntrustedError
from schedtel.flight.client import Subscription
from schedtel.flight.connection import Advice, call_options, connect, explain
from schedtel.flight.wire import Request, one_line
from schedtel.latch import Latch
from schedtel.target.lease import HEARTBEAT_S, LEASE_S, NICE
from schedtel.target.messages import decoded, encoded

#: How long an answer may take; that to `end` waits until all is undone.
_ANSWER_S, _END_S = 10.0, 8.0
_LONGEST_NAME = 256
_ADVICE = Advice(
    "answer of a target", "schedtel target serve", "run it again to go on", "see `schedtel target serve --help`"
)


class Connection(Closing):
    """A target, to be called. Raises :class:`UsageError` without a token, or for an address that is not safe."""

    def __init__(self, uri: str, token: str | None, tls: Tls) -> None:
        self._address = parse_address(uri)
        self.uri, self._tls = self._address.uri, tls
        if token is None:
            raise UsageError(f"cannot use target {uri} without a token (give --token-file, or set SCHEDTEL_TOKEN)")
        self._token = check_token(token)
        check_asking(self._address, tls, token)
        self._client, self._heard = connect(self._address, tls), False

    def call(self, action: str, timeout_s: float = _ANSWER_S, **fields: Any) -> dict[str, Any]:
        """The answer to an action.

        Raises :class:`UsageError` with the target's reason where it refuses, :class:`StreamError` where it does not
        answer, and :class:`UntrustedError` for an answer that is none.
        """
        import pyarrow.flight as fl  # noqa: PLC0415  (12 MB that other commands do not need)

        try:
            asked = fl.Action(action, encoded(fields))
            results = self._client.do_action(asked, call_options(self._token, timeout_s))
            # The first is all that a target sends; another program may send without an end.
            body = next((result.body.to_pybytes() for result in results), b"")
            self._heard = True
            return decoded(body)
        except fl.FlightServerError as error:
            self._heard = True
            raise UsageError(f"target {self.uri}: {explain(error, self._heard, _ADVICE)}") from error
        except UsageError as error:
            why = "what came is no answer (is it schedtel that serves there?)"
            raise UntrustedError(f"target {self.uri}: {why}") from error
        except (pa.ArrowException, OSError) as error:
            lost = "lost" if self._heard else "cannot use"
            raise StreamError(f"{lost} target {self.uri}: {explain(error, self._heard, _ADVICE)}") from error

    def describe(self) -> dict[str, Any]:
        """What the target allows, and its name. Raises :class:`StreamError` for a target of another schedtel."""
        found = self.call("describe")
        version = one_line(str(found.get("schedtel")))[:_LONGEST_NAME]
        if version != __version__:
            raise StreamError(
                f"cannot use target {self.uri}: it has schedtel {version}, and this is {__version__} (use the same on "
                "both sides)"
            )
        name = found.get("machine")
        if not isinstance(name, str) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
            raise UntrustedError(f"cannot use target {self.uri}: its machine has no name that can be used")
        return found

    def windows(self, run: str) -> Subscription:
        """The windows of a run that is done, by the name that the target gave it."""
        return Subscription(self.uri, self._token, self._tls, Request(start="history", run=run))

    def close(self) -> None:
        self._client.close()


class Session:
    """A session with a target, which is told twice a second that this process is there. A context manager.

    Leaving it has the target undo everything.

    :param lost: called, from another thread, once the target is lost.
    :param asked: what the session is for: the ``spec`` and the ``files`` of an experiment, or an ``agent``.
    """

    def __init__(self, connection: Connection, lost: Callable[[], object] = lambda: None, **asked: Any) -> None:
        self._connection, self._lost = connection, lost
        key = connection.call("begin", **asked).get("session")
        if not isinstance(key, str):
            raise UntrustedError(f"target {connection.uri}: it began no session (is it schedtel that serves there?)")
        self._key = key
        self._ended, self._heard = Latch(), threading.Condition()
        self._state: dict[str, Any] = {}
        self._count = 0
        self._error: SchedtelError | None = None
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()

    def call(self, action: str, **fields: Any) -> dict[str, Any]:
        """The answer to an action of this session. Raises as :meth:`Connection.call`."""
        try:
            return self._connection.call(action, session=self._key, **fields)
        except StreamError as error:
            raise self._loss(error) from error

    def require(self) -> None:
        """Raise the error of the heartbeat once the target is lost, or has taken this process for gone."""
        if self._error is not None:
            raise self._error

    def next_state(self) -> dict[str, Any]:
        """What the target says of the cell the next time that it is asked.

        Raises as :meth:`require`.
        """
        with self._heard:
            wanted = self._count + 1
            while self._count < wanted and self._error is None and self._thread.is_alive():
                self._heard.wait(HEARTBEAT_S)
            self.require()
            return self._state

    def _beat(self) -> None:
        """In a thread of its own: renew the lease until the session ends."""
        with suppress(OSError):  # this user may not
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
        last = time.monotonic()
        while not self._ended.wait(HEARTBEAT_S):
            asked = time.monotonic()
            try:
                state = self._connection.call("renew", max(0.5, last + LEASE_S - asked), session=self._key)
            except SchedtelError as error:
                if not _passes(error) or time.monotonic() > last + LEASE_S:
                    self._tell({}, self._loss(error))
                    self._lost()
                    return
                continue
            last = asked
            self._tell(state, None)

    def _loss(self, error: SchedtelError) -> SchedtelError:
        """The error, or what it means in a session: that the target is lost, and has undone everything."""
        if not _passes(error):
            return error
        cause = str(error).partition(f"{self._connection.uri}: ")[2].partition(" (")[0]
        return StreamError(f"lost target {self._connection.uri}: {cause} (run it again to go on)")

    def _tell(self, state: dict[str, Any], error: SchedtelError | None) -> None:
        with self._heard:
            self._state, self._error, self._count = state, error, self._count + 1
            self._heard.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        try:
            if self._error is None:  # else it undoes everything by itself
                self._connection.call("end", _END_S, session=self._key)
        except SchedtelError:
            if error is None:
                raise
        finally:
            self._thread.join()


def _passes(error: SchedtelError) -> bool:
    """Whether a call that failed may succeed a moment later."""
    return isinstance(error, StreamError) and not isinstance(error, UntrustedError)
