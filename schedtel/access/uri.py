"""URIs of streams in; parsed addresses out.

    grpc://127.0.0.1:8815           this machine only; without a token, all its users
    grpc+unix:///run/schedtel/s     a Unix socket: users who may enter its directory (made for its owner only)
    grpc+tls://host:8815            any network: with a certificate and a token

Tokens come from a file or the environment, never from the command line, which all users of a machine can read.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from schedtel.errors import UsageError

DEFAULT_URI = "grpc://127.0.0.1:8815"
_KINDS = {"grpc": "tcp", "grpc+tcp": "tcp", "grpc+tls": "tls", "grpc+unix": "unix"}
#: sun_path of struct sockaddr_un, with its final zero (include/uapi/linux/un.h).
_LONGEST_PATH = 107
#: A name as DNS has it (RFC 1123); underscores occur in names of containers.
_HOST_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")


@dataclass(frozen=True)
class Address:
    """A parsed URI. ``kind`` is ``tcp``, ``tls`` or ``unix``."""

    uri: str
    kind: str
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        return self.kind == "unix" or is_loopback(self.host)


def is_uri(where: str | os.PathLike[str]) -> bool:
    """Whether this is the address of a stream, and not of a recording."""
    return str(where).partition("://")[0] in _KINDS and "://" in str(where)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine, by its loopback address or as ``localhost``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def host_and_port(text: str) -> tuple[str, int]:
    """Split ``HOST:PORT``; an IPv6 host stands in brackets. Raises :class:`ValueError` for any other text."""
    if not is_plain(text):
        raise ValueError("not printable ASCII")
    parts = urlsplit(f"//{text}")
    more = "@" in parts.netloc or parts.query or parts.fragment or parts.path not in ("", "/")
    if more or not is_host(parts.hostname or "") or parts.port is None:
        raise ValueError("not HOST:PORT")
    return parts.hostname or "", parts.port


def is_host(text: str) -> bool:
    """Whether this can be a host: a name in ASCII, or an IP address without brackets."""
    try:
        return bool(_HOST_NAME.fullmatch(text) or ipaddress.ip_address(text))
    except ValueError:
        return False


def is_plain(text: str) -> bool:
    """Whether all characters are printable ASCII and no blanks; urlsplit() drops some of the others without a word."""
    return text.isascii() and text.isprintable() and " " not in text


def parse_address(uri: str) -> Address:
    """The parts of a stream's URI. Raises :class:`UsageError` for a text that is no such URI."""
    if "\0" in uri:
        raise _wrong(uri, "no path has a zero byte")
    if any("\ud800" <= character <= "\udfff" for character in uri):  # a byte of an argument that is no UTF-8
        raise _wrong(uri, "it is no UTF-8")
    try:
        parts = urlsplit(uri)
        kind, _valid_port = _KINDS[parts.scheme], parts.port  # `port` raises ValueError beyond 0 … 65535
    except (KeyError, ValueError) as error:
        raise _wrong(uri, "no such scheme or port") from error
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(f"cannot use {parts.scheme}://…: only host, port or path go into a URI (give tokens by file)")
    if kind == "unix":
        return _unix_address(uri, parts.hostname or "", parts.path)
    try:
        host, port = host_and_port(uri.partition("://")[2])
    except ValueError as error:
        raise _wrong(uri, "host and port are needed, in ASCII, and nothing else") from error
    return Address(uri.rstrip("/"), kind, host, port)


def _unix_address(uri: str, host: str, path: str) -> Address:
    if host or not path.startswith("/") or path.endswith("/"):
        raise _wrong(uri, "a Unix socket has an absolute path")
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise UsageError(f"cannot use {uri}: a socket's path has at most {_LONGEST_PATH} bytes (choose a shorter one)")
    return Address(uri, "unix", path=path)


def _wrong(uri: str, cause: str) -> UsageError:
    return UsageError(
        f"cannot use {uri!r} as a stream: {cause} (write grpc://127.0.0.1:8815, grpc+unix:///path or grpc+tls://host:port)"
    )
