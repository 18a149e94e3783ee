"""The connections of a server in; those to close, so that no peer takes the places of all others, out.

A connection is *proven* once the server has accepted a call or a request on it. One that is not may come from any
peer, without a token. So the server bounds how many connections there are, and how long one may stay unproven.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Holder of connections of this user and of root, who can end the server anyway: they have no share.
OWN = ""
_ESTABLISHED = "01"
_TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
_IPV6_SITE = 64

Endpoint = tuple[str, int]


@dataclass(eq=False)
class Connection:
    """One connection: its peer's address and port, its holder, and the second (CLOCK_MONOTONIC) when it was accepted.

    ``holder``: the party that the connection counts for, as :func:`holders` names it; None before it is known.
    """

    peer: Endpoint
    since: float
    proven: bool = False
    holder: str | None = None


def surplus(connections: Sequence[Connection], most: int, share: int) -> list[Connection]:
    """The connections to close so that at most ``most`` stay, and at most ``share`` of each known holder but OWN.

    Unproven ones go first, the oldest of them first; of the proven ones the newest go first. While there are too many
    in all, the holder with the most connections loses one.
    """
    order = sorted(connections, key=lambda c: (c.proven, -c.since if c.proven else c.since))
    held = Counter(connection.holder for connection in connections)
    closed = []
    for connection in order:
        if connection.holder not in (OWN, None) and held[connection.holder] > share:
            held[connection.holder] -= 1
            closed.append(connection)
    gone = set(closed)
    return closed + _beyond([connection for connection in order if connection not in gone], held, most)


def _beyond(left: list[Connection], held: Counter[str | None], most: int) -> list[Connection]:
    closed: list[Connection] = []
    for proven in (False, True):
        of_holder: dict[str | None, deque[Connection]] = defaultdict(deque)
        for connection in left:
            if connection.proven == proven:
                of_holder[connection.holder].append(connection)
        while of_holder and len(left) - len(closed) > most:
            heaviest = max(of_holder, key=lambda holder: held[holder])
            held[heaviest] -= 1
            closed.append(of_holder[heaviest].popleft())
            if not of_holder[heaviest]:
                del of_holder[heaviest]
    return closed


def holders(peers: Iterable[Endpoint]) -> dict[Endpoint, str]:
    """The holder of each peer: its address, the /64 of an IPv6 address, and on this machine the user.

    For a peer on this machine it reads the kernel's table of sockets, which takes some milliseconds: not for each one.
    """
    addresses = {peer: _address(peer[0]) for peer in peers}
    local = {peer: address for peer, address in addresses.items() if address is not None and address.is_loopback}
    users = _users({port for _, port in local}) if local else {}
    found = {peer: _site(address) if address else peer[0] for peer, address in addresses.items()}
    return found | {peer: users.get((a.compressed, peer[1]), a.compressed) for peer, a in local.items()}


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _site(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if address.version == 4:
        return address.compressed
    return ipaddress.ip_network((int(address), _IPV6_SITE), strict=False).compressed


def _users(ports: set[int]) -> dict[Endpoint, str]:
    """The user of each connected TCP socket of this machine that has one of these ports of its own (proc(5)).

    The key is the socket's own address and port.
    """
    found: dict[Endpoint, str] = {}
    wanted = {f"{port:04X}" for port in ports}
    for table in _TABLES:
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:  # no IPv6, or no descriptor is left
            continue
        for fields in map(str.split, lines):
            # Inode 0: no process has the socket any more.
            if fields[1].rpartition(":")[2] in wanted and fields[3] == _ESTABLISHED and fields[9] != "0":
                found[_endpoint(fields[1])] = _user(int(fields[7]))
    return found


def _user(uid: int) -> str:
    return OWN if uid in (0, os.geteuid()) else f"uid {uid}"


def _endpoint(text: str) -> Endpoint:
    """``0100007F:1F90`` as address and port; the address is in words of 32 bits, in the machine's byte order."""
    words, _, port = text.partition(":")
    packed = b"".join(int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8))
    family = socket.AF_INET if len(packed) == 4 else socket.AF_INET6
    address = _address(socket.inet_ntop(family, packed))
    return (address.compressed if address else ""), int(port, 16)
