"""Commands for qemu in; its answers and events, over a pair of sockets that no other process has, out."""

import json
import socket
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Self

from schedtel.errors import CollectorError

_LONGEST_ANSWER = 1 << 20
_POLL_S = 0.05


_NONE: Mapping[str, object] = MappingProxyType({})


def order(command: str, arguments: Mapping[str, object] = _NONE) -> str:
    """A command as qemu's monitor reads it."""
    return json.dumps({"execute": command, "arguments": dict(arguments)}) + "\n"


class Monitor:
    """qemu's monitor (QMP). The guest runs only when it is told to.

    :param stopped: asked now and then whether to give up, which raises :class:`EOFError`, as qemu's end does.
    :param end: when :class:`TimeoutError` is raised, on the monotonic clock.
    """

    def __init__(self, stopped: Callable[[], bool], end: float) -> None:
        self._stopped, self._end = stopped, end
        self._ours, self._theirs = socket.socketpair()
        self._ours.settimeout(_POLL_S)
        self._left = b""
        self._events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ours.close()
        self._theirs.close()

    def words(self) -> list[str]:
        """What qemu's command line needs."""
        descriptor = self._theirs.fileno()
        return ["-chardev", f"socket,id=monitor,fd={descriptor}", "-mon", "chardev=monitor,mode=control", "-S"]

    def passed(self) -> tuple[int]:
        """The descriptor that qemu needs."""
        return (self._theirs.fileno(),)

    def begin(self) -> None:
        """When qemu was started."""
        self._theirs.close()  # so that qemu's end is the stream's end
        self._next()
        self.ask("qmp_capabilities")

    def ask(self, command: str, arguments: Mapping[str, object] = _NONE) -> object:
        """The answer to a command. Raises :class:`CollectorError` for a refusal."""
        self._ours.sendall(order(command, arguments).encode())
        while True:
            said = self._next()
            if "error" in said:
                raise CollectorError(f"cannot take a snapshot: {said['error'].get('desc')} (see docs/lab.md)")
            if "return" in said:
                return said["return"]
            self._events.append(said)

    def wait_for(self, event: str) -> dict[str, Any]:
        """The data of the next event of a kind; those before it are dropped."""
        while True:
            said = self._events.pop(0) if self._events else self._next()
            if said.get("event") == event:
                return dict(said.get("data", {}))

    def _next(self) -> dict[str, Any]:
        while b"\n" not in self._left:
            self._left += self._received()
        line, _, self._left = self._left.partition(b"\n")
        return dict(json.loads(line))

    def _received(self) -> bytes:
        while not self._stopped():
            if time.monotonic() > self._end:
                raise TimeoutError
            try:
                received = self._ours.recv(_LONGEST_ANSWER)
            except TimeoutError:
                continue
            except ConnectionError:
                break
            if not received:
                break
            return received
        raise EOFError
