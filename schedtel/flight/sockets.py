"""The sockets behind a Flight server, found among this process's descriptors: what Flight for Python has no word for.

gRPC owns them, and pyarrow shows neither its options nor a way to end a call from the server's side. But they are ours:
an option set on the listening socket is inherited by those it accepts, and a connection that is shut down ends the
calls on it.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

from schedtel.flight.address import Address

#: A peer that has vanished without a word is noticed after so long, whether something was being sent to it or not.
_GONE_AFTER_S = 60
_PROBE_EVERY_S = 15


def watch_peers(address: Address, port: int) -> None:
    """Make the kernel end connections whose other side has vanished (tcp(7): accepted sockets inherit this)."""
    for found in _sockets(address, port):
        if found.family != socket.AF_UNIX and found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_EVERY_S)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _GONE_AFTER_S // _PROBE_EVERY_S - 1)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_AFTER_S * 1000)


def hang_up(address: Address, port: int, peer: str | None = None) -> int:
    """Shut connections of a server down: one peer's as Flight names it (``ipv4:127.0.0.1:5000``), or all.

    Returns how many. Peers of a Unix socket have no names: there it is all or none.
    """
    ended = 0
    for found in _sockets(address, port):
        if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and peer in (None, _name(found)):
            with contextlib.suppress(OSError):  # its other side was faster
                found.shutdown(socket.SHUT_RDWR)
                ended += 1
    return ended


def _name(found: socket.socket) -> str:
    if found.family == socket.AF_UNIX:
        return ""
    with contextlib.suppress(OSError):
        host, port = found.getpeername()[:2]
        if host.startswith("::ffff:"):  # gRPC listens on both families with one socket
            return f"ipv4:{host.removeprefix('::ffff:')}:{port}"
        return f"ipv6:%5B{host}%5D:{port}" if ":" in host else f"ipv4:{host}:{port}"
    return ""


def _sockets(address: Address, port: int) -> Iterator[socket.socket]:
    """Copies of this process's sockets with the server's own end, each closed again when the next one is asked for."""
    for number in map(int, os.listdir("/proc/self/fd")):
        with contextlib.suppress(OSError):  # closed meanwhile, or no socket
            if not os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(number)) as found:
                if _is_ours(found, address, port):
                    yield found


def _is_ours(found: socket.socket, address: Address, port: int) -> bool:
    if found.type != socket.SOCK_STREAM:
        return False
    if address.kind == "unix":
        return found.family == socket.AF_UNIX and found.getsockname() == address.path
    return found.family in (socket.AF_INET, socket.AF_INET6) and found.getsockname()[1] == port
