"""What an agent is to do on a target in; a process that switches there, and windows for the agent, out.

Whatever the agent calls is checked here, before it reaches that process. Nothing of it outlives the lease: the bench
ends the process, and :meth:`Acting.end` the windows.
"""

import contextlib
import json
import logging
import math
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schedtel.agent.classes import CLASSES
from schedtel.agent.here import traced
from schedtel.agent.policies.policy import MOST_ARMS
from schedtel.durations import parse_duration
from schedtel.errors import SchedtelError, UsageError
from schedtel.flight.feeds import LiveFeed
from schedtel.flight.wire import END, STOP
from schedtel.live import LiveSource
from schedtel.schedulers.names import parse_arm, parse_scope
from schedtel.target.bench import Order
from schedtel.target.messages import MOST_THREADS
from schedtel.target.switcher import Job
from schedtel.windows.grid import window_length
from schedtel.workloads.fields import Fields

_log = logging.getLogger(__name__)
#: How long the process may take for an answer; to attach a sched_ext scheduler takes 20 s at most.
PATIENCE_S = 24.0
#: Largest number of a process, of a thread, and of a start (PID_MAX_LIMIT of include/linux/threads.h).
_BOUNDS = (1 << 22, 1 << 22, 1 << 62)
#: Windows that are kept for the agent; one that is slower goes on with the newest.
_HISTORY = 8
_LONGEST_DURATION = 40
_MODULE = "schedtel.target.switcher"


@dataclass(frozen=True)
class Attendance:
    """What an agent asks for.

    :param arms: those that it may switch to.
    :param window: length of its windows, such as ``1s``.
    :param scope: the text of the selection that arms are for, and whose windows are taken; None: all of the machine.
    :param duration: after which the windows end; None: they go on.
    :param acts: whether it will switch.
    """

    arms: tuple[str, ...]
    window: str
    scope: str | None
    duration: str | None
    acts: bool


def attendance_of(table: object) -> Attendance:
    """What the table of a call asks for. Raises :class:`UsageError` for what cannot be asked."""
    fields = Fields(table, "the agent")
    named = fields.items("arms")
    if len(named) > MOST_ARMS or not all(isinstance(name, str) for name in named):
        raise fields.refuse("arms", named, f"at most {MOST_ARMS} texts")
    window = _short(fields, "window")
    window_length(window)
    scope = str(parse_scope(fields.text("for"))) if "for" in fields else None
    duration = _short(fields, "duration") if "duration" in fields else None
    if duration is not None:
        parse_duration(duration)
    acts = fields.flag("acts")
    fields.end()
    return Attendance(tuple(str(parse_arm(name)) for name in named), window, scope, duration, acts)


def _short(fields: Fields, name: str) -> str:
    """The text of a duration, which messages repeat."""
    text = fields.text(name)
    if len(text) > _LONGEST_DURATION:
        raise fields.refuse(name, text, 'a duration (such as "5s")')
    return text


class Acting:
    """An agent at work on this machine. Its calls may come in any thread, one at a time.

    :param asked: what it has asked for, which is allowed.
    """

    def __init__(self, asked: Attendance) -> None:
        self._asked = asked
        self._ours, theirs = socket.socketpair()
        self._theirs: socket.socket | None = theirs
        self._ours.settimeout(PATIENCE_S)
        self._answers = self._ours.makefile("rb")
        self._calling, self._lock = threading.Lock(), threading.Lock()
        self._source: LiveSource | None = None
        self._is_over = False

    def order(self) -> Order:
        """The process that switches. Raises :class:`UsageError` if it was ordered before."""
        with self._lock:
            theirs, self._theirs = self._theirs, None
        if theirs is None:
            raise UsageError("cannot open the windows of a session twice (begin another one)")
        job = Job(self._asked.arms, CLASSES, self._asked.scope, self._asked.acts)
        return Order("agent", _MODULE, job.text(), math.inf, theirs)

    def open(self) -> LiveFeed:
        """The windows, once the process has been ordered and can switch to each arm.

        Raises :class:`UsageError` with its reason where it cannot, and :class:`SchedtelError` where nothing can be
        traced.
        """
        with self._one_call():
            answer = self._answer()
        if "refused" in answer:
            raise UsageError(str(answer["refused"]))
        scope = None if self._asked.scope is None else parse_scope(self._asked.scope)
        source = traced(self._asked.window, scope, self._asked.duration)
        with self._lock:
            self._source = source
            if self._is_over:
                source.stop()
        _log.info("an agent has begun, with %s", ", ".join(self._asked.arms))
        feed = LiveFeed(source.metadata, history=_HISTORY)
        threading.Thread(target=self._publish, args=(source, feed), name="agent-windows", daemon=True).start()
        return feed

    def _publish(self, source: LiveSource, feed: LiveFeed) -> None:
        """In a thread of its own: have the windows sent until they end."""
        ended = STOP
        try:
            with source:
                for window in source:
                    feed.publish(window)
            ended = STOP if self._is_over else END
        except SchedtelError as error:
            _log.warning("the windows of the agent have ended: %s", error)
        finally:
            feed.end(ended)

    def end(self) -> None:
        """End the windows, and what waits for an answer. The process is ended by the bench."""
        with self._lock:
            self._is_over = True
            if self._source is not None:
                self._source.stop()
        with contextlib.suppress(OSError):
            self._ours.shutdown(socket.SHUT_RDWR)

    # ---- calls of the agent ----

    def tell(self, fields: Fields) -> dict[str, Any]:
        classes = Fields(fields.need("classes"), "the classes")
        fields.end()
        named = {name: classes.take(name, []) for name in CLASSES}
        classes.end()
        for name, threads in named.items():
            if not isinstance(threads, list) or not all(map(_is_thread, threads)):
                raise classes.refuse(name, threads, "a list of threads: process, thread, and start in ns")
        if sum(map(len, named.values())) > MOST_THREADS:
            raise UsageError(f"cannot take so many threads: at most {MOST_THREADS:,} (use --for)")
        return self._acting("tell", classes=named)

    def switch(self, fields: Fields) -> dict[str, Any]:
        arm = fields.text("arm")
        fields.end()
        if arm not in self._asked.arms:
            raise UsageError("cannot switch to this arm: it is none of those that the session began with")
        return self._acting("switch", arm=arm)

    def rescan(self, fields: Fields) -> dict[str, Any]:
        fields.end()
        return self._acting("rescan")

    def restore(self, fields: Fields) -> dict[str, Any]:
        fields.end()
        return self._acting("restore")

    def look(self, fields: Fields) -> dict[str, Any]:
        fields.end()
        return self._call("look")

    def _acting(self, do: str, **more: Any) -> dict[str, Any]:
        if not self._asked.acts:
            raise UsageError("cannot act: this session only watches (begin another one)")
        return self._call(do, **more)

    def _call(self, do: str, **more: Any) -> dict[str, Any]:
        """What the process answers. Raises :class:`UsageError` where it does not."""
        if self._theirs is not None:
            raise UsageError("cannot do that: this session's windows are not open yet (open them)")
        with self._one_call():
            try:
                self._ours.sendall(json.dumps({"do": do, **more}).encode() + b"\n")
            except OSError as error:
                raise _gone() from error
            return self._answer()

    @contextlib.contextmanager
    def _one_call(self) -> Iterator[None]:
        if not self._calling.acquire(blocking=False):
            raise UsageError("cannot do that: another call of this session is not answered yet (wait for its answer)")
        try:
            yield
        finally:
            self._calling.release()

    def _answer(self) -> dict[str, Any]:
        try:
            line = self._answers.readline()
        except OSError as error:
            raise _gone() from error
        if not line:
            raise _gone()
        return dict(json.loads(line))


def _gone() -> UsageError:
    return UsageError("cannot go on: the process that switches has ended, and all is put back (look at the target)")


def _is_thread(raw: object) -> bool:
    return (
        isinstance(raw, list)
        and len(raw) == len(_BOUNDS)
        and all(type(n) is int and 0 < n <= most for n, most in zip(raw, _BOUNDS, strict=True))
    )
