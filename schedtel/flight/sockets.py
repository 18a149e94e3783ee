"""The sockets behind a Flight server, found among this process's descriptors: what Flight for Python has no word for.

gRPC owns them, and pyarrow shows neither its options nor a way to end a call from the server's side. But they are ours:
an option set on the listening socket is inherited by those it accepts, and a connection that is shut down ends the
calls on it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

from schedtel.access.uri import Address
from schedtel.errors import UsageError

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


def prepare_socket(address: Address) -> None:
    """Make the directory of a Unix socket, for its owner only, and take a dead server's socket away.

    Raises :class:`UsageError` when others may write there, or when somebody serves there already.
    """
    path = Path(address.path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = path.parent.stat()
        # Who may write to the directory could put a socket of their own there.
        if found.st_uid not in (0, os.geteuid()) or found.st_mode & 0o022:
            raise UsageError(f"cannot serve in {path.parent}: others may write there (chmod 700 {path.parent})")
        if path.exists() or path.is_symlink():
            _take_away(path)
    except OSError as error:
        raise UsageError(f"cannot serve on {path}: {error.strerror} (choose another path)") from error


def _take_away(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise UsageError(f"cannot serve on {path}: there is a file of that name (choose another path)")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise UsageError(f"cannot serve on {path}: somebody serves there already (choose another path)")
    path.unlink()
