"""The sockets behind a Flight server: set their options and shut them down, as Flight for Python cannot.

gRPC owns the sockets, and pyarrow exposes neither their options nor a way to end a call from the server's side. But
they are descriptors of this process, listed in /proc/self/fd. Accepted sockets inherit an option set on the listening
socket, and shutting a connection down ends the calls on it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from schedtel.access.descriptors import soft_limit
from schedtel.access.uri import Address
from schedtel.errors import UsageError

#: A peer that vanishes without closing its connection is detected after this long, with or without data in flight.
_GONE_AFTER_S = 60
_PROBE_EVERY_S = 15


def watch_peers(address: Address, port: int) -> None:
    """Make the kernel end connections whose peer has vanished (tcp(7): accepted sockets inherit these options)."""
    for sock in _sockets(address, port):
        if sock.family != socket.AF_UNIX and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _PROBE_EVERY_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _GONE_AFTER_S // _PROBE_EVERY_S - 1)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _GONE_AFTER_S * 1000)


def hang_up(address: Address, port: int, peer: str | None = None) -> int:
    """Shut down a server's connections and return how many.

    :param peer: only the connection of this peer, as Flight names it (``ipv4:127.0.0.1:5000``); None for all. Peers of
        a Unix socket have no names: there only None has a meaning.
    """
    ended = 0
    for sock in _sockets(address, port):
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) and peer in (None, _name(sock)):
            with contextlib.suppress(OSError):  # the peer closed it first
                sock.shutdown(socket.SHUT_RDWR)
                ended += 1
    return ended


def connections(address: Address, port: int) -> dict[int, str]:
    """The accepted connections of a server: the inode of each socket, and its peer as Flight names it."""
    found = {}
    for sock in _sockets(address, port):
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            found[os.fstat(sock.fileno()).st_ino] = _name(sock)
    return found


def shut_down(inodes: Collection[int]) -> int:
    """Shut down the sockets with these inodes, and return how many."""
    ended = 0
    for sock in _all_sockets():
        if os.fstat(sock.fileno()).st_ino in inodes:
            with contextlib.suppress(OSError):  # the peer closed it first
                sock.shutdown(socket.SHUT_RDWR)
                ended += 1
    return ended


def endpoint_of(name: str) -> tuple[str, int]:
    """Address and port of a peer as Flight names it: ``ipv4:127.0.0.1:5000``, ``ipv6:%5B::1%5D:5000``."""
    host, _, port = name.partition(":")[2].rpartition(":")
    return unquote(host).strip("[]"), int(port) if port.isdecimal() else 0


def _name(sock: socket.socket) -> str:
    if sock.family == socket.AF_UNIX:
        return ""
    with contextlib.suppress(OSError):
        host, port, *flow_and_scope = sock.getpeername()
        if host.startswith("::ffff:"):  # gRPC listens for IPv4 and IPv6 with one socket
            return f"ipv4:{host.removeprefix('::ffff:')}:{port}"
        if ":" not in host:
            return f"ipv4:{host}:{port}"
        # A link-local peer is named with its interface, as "%2", and the name is quoted.
        scope = f"%25{flow_and_scope[1]}" if flow_and_scope[1] else ""
        return f"ipv6:%5B{host}{scope}%5D:{port}"
    return ""


def _sockets(address: Address, port: int) -> Iterator[socket.socket]:
    """Yield duplicates of the server's sockets, listening and accepted. Each is closed before the next is yielded."""
    for sock in _all_sockets():
        with contextlib.suppress(OSError):  # the peer closed it meanwhile
            if _is_ours(sock, address, port):
                yield sock


def _all_sockets() -> Iterator[socket.socket]:
    """Yield this process's sockets, as duplicates that are closed before the next is yielded.

    Where no descriptor is left for a duplicate, the socket itself is yielded: gRPC may close it at any moment.
    """
    for number in _descriptors():
        with contextlib.suppress(OSError):  # closed meanwhile
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue
            with contextlib.ExitStack() as leaving:
                try:
                    duplicate = os.dup(number)
                except OSError:
                    sock = socket.socket(fileno=number)
                    leaving.callback(sock.detach)
                else:
                    sock = _socket_of(duplicate, leaving)
                yield sock


def _socket_of(duplicate: int, leaving: contextlib.ExitStack) -> socket.socket:
    """The socket of a descriptor, closed on leaving; raises OSError if another file has taken the socket's number."""
    try:
        return leaving.enter_context(socket.socket(fileno=duplicate))
    except OSError:
        os.close(duplicate)
        raise


def _descriptors() -> Iterable[int]:
    """The descriptors of this process; where none is left to list them with, all numbers that one may have."""
    try:
        return map(int, os.listdir("/proc/self/fd"))
    except OSError:
        return range(soft_limit())


def _is_ours(sock: socket.socket, address: Address, port: int) -> bool:
    if sock.type != socket.SOCK_STREAM:
        return False
    if address.kind == "unix":
        return sock.family == socket.AF_UNIX and sock.getsockname() == address.path
    return sock.family in (socket.AF_INET, socket.AF_INET6) and sock.getsockname()[1] == port


def prepare_socket(address: Address) -> None:
    """Make the directory of a Unix socket, for its owner only, and remove the socket of a dead server.

    Raises :class:`UsageError` if other users may write to the directory, or if another server listens there.
    """
    path = Path(address.path)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = path.parent.stat()
        # A user who may write to the directory could put a socket of his own there.
        if directory.st_uid not in (0, os.geteuid()) or directory.st_mode & 0o022:
            raise UsageError(f"cannot serve in {path.parent}: others may write there (chmod 700 {path.parent})")
        if path.exists() or path.is_symlink():
            _remove_dead(path)
    except OSError as error:
        raise UsageError(f"cannot serve on {path}: {error.strerror} (choose another path)") from error


def _remove_dead(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise UsageError(f"cannot serve on {path}: there is a file of that name (choose another path)")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if probe.connect_ex(str(path)) == 0:
            raise UsageError(f"cannot serve on {path}: a server is there already (choose another path)")
    path.unlink()
