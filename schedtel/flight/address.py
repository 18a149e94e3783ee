"""Where a stream is served, and who may have it: URIs, tokens and certificates in; what is safe out, the rest refused.

    grpc://127.0.0.1:8815           this machine only; without a token, all its users
    grpc+unix:///run/schedtel/s     a Unix socket: whoever may enter its directory, which only its owner can
    grpc+tls://host:8815            any network: with a certificate and a token

Tokens come from a file or the environment, never from the command line, which all users of a machine can read.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from schedtel.errors import UsageError

DEFAULT_URI = "grpc://127.0.0.1:8815"
TOKEN_VARIABLE = "SCHEDTEL_TOKEN"
_KINDS = {"grpc": "tcp", "grpc+tcp": "tcp", "grpc+tls": "tls", "grpc+unix": "unix"}
#: 16 characters of hexadecimal are 64 bits, more than can be guessed over a network.
_SHORTEST_TOKEN = 16
#: sun_path of struct sockaddr_un, with its final zero (include/uapi/linux/un.h).
_LONGEST_PATH = 107


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
        if self.kind == "unix" or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def is_uri(where: str | os.PathLike[str]) -> bool:
    """Whether this is the address of a stream, and not of a recording."""
    return str(where).partition("://")[0] in _KINDS and "://" in str(where)


def parse_address(uri: str) -> Address:
    """Raises :class:`UsageError` for what is no address of a stream."""
    try:
        parts = urlsplit(uri)
        kind, host, port = _KINDS[parts.scheme], parts.hostname or "", parts.port
    except (KeyError, ValueError) as error:
        raise _wrong(uri, "no such scheme or port") from error
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UsageError(f"cannot use {parts.scheme}://…: only host, port or path go into a URI (give tokens by file)")
    if kind == "unix":
        return _unix_address(uri, host, parts.path)
    if not host or port is None or parts.path not in ("", "/"):
        raise _wrong(uri, "host and port are needed, and nothing else")
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


# ---- tokens and certificates ----


@dataclass(frozen=True)
class Tls:
    """Certificates in PEM: one's own with its key, and the authority whose certificates the other side must show."""

    certificate: bytes = b""
    key: bytes = b""
    authority: bytes = b""


def read_tls(certificate: str | None, key: str | None, authority: str | None) -> Tls:
    """Read the files. Raises :class:`UsageError` when one cannot be read, is not PEM, or lacks its other half."""
    if bool(certificate) != bool(key):
        raise UsageError(
            "cannot use half a pair: certificate and key belong together (give both --tls-cert and --tls-key)"
        )
    return Tls(*(_pem(path) for path in (certificate, key, authority)))


def _pem(path: str | None) -> bytes:
    if not path:
        return b""
    content = _read(path, "certificate or key")
    if b"-----BEGIN " not in content:
        raise UsageError(f"cannot use {path}: it is not PEM (openssl x509 -inform der turns DER into it)")
    return content


def _read(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {what} {path}: {error.strerror} (check the path)") from error


def read_token(path: str | None) -> str | None:
    """The token in a file, else in the environment variable ``SCHEDTEL_TOKEN``; None where there is neither.

    Raises :class:`UsageError` for a file that every user can read, and for a token that can be guessed.
    """
    if path:
        content = _read(path, "token").decode(errors="replace")
        if os.stat(path).st_mode & stat.S_IROTH:
            raise UsageError(f"cannot use the token in {path}: every user can read it (chmod 600 {path})")
        return check_token(content.strip())
    given = os.environ.get(TOKEN_VARIABLE)
    return check_token(given.strip()) if given is not None else None


def check_token(token: str) -> str:
    """Raises :class:`UsageError` for a token that is too short, or cannot be sent in a header."""
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"cannot use this token: it must be at least {_SHORTEST_TOKEN} printable ASCII characters "
            "without blanks (openssl rand -hex 32 makes one)"
        )
    return token


def check_serving(address: Address, tls: Tls, token: str | None) -> None:
    """Raises :class:`UsageError` for an address that would show this machine's tasks to a network unprotected."""
    if address.kind == "tls" and not tls.certificate:
        raise UsageError(f"cannot serve {address.uri}: TLS needs a certificate (give --tls-cert and --tls-key)")
    if address.kind != "tls" and (tls.certificate or tls.authority):
        raise UsageError(f"cannot serve {address.uri} with a certificate: it is not TLS (write grpc+tls://)")
    if address.is_loopback:
        return
    if address.kind != "tls":
        raise UsageError(
            f"cannot serve {address.uri}: beyond this machine only TLS is served (write grpc+tls://, with --tls-cert "
            "and --tls-key)"
        )
    if not token:
        raise UsageError(f"cannot serve {address.uri}: without a token anyone could read it (give --token-file)")


def check_asking(address: Address, tls: Tls, token: str | None) -> None:
    """Raises :class:`UsageError` where a token would cross a network for anyone to read."""
    if token and address.kind == "tcp" and not address.is_loopback:
        raise UsageError(f"cannot send the token to {address.uri}: it is not encrypted (write grpc+tls://)")
    if (tls.certificate or tls.authority) and address.kind != "tls":
        raise UsageError(f"cannot use certificates with {address.uri}: it is not TLS (write grpc+tls://)")


# ---- Unix sockets ----


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
