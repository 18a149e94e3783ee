"""Tokens: a file or the environment in; a usable token out."""

import os
import stat

from schedtel.access.files import read_with_mode
from schedtel.errors import UsageError

TOKEN_VARIABLE = "SCHEDTEL_TOKEN"
#: 16 characters of hexadecimal are 64 bits, more than can be guessed over a network.
_SHORTEST_TOKEN = 16


def read_token(path: str | None) -> str | None:
    """The token in a file, else in the environment variable ``SCHEDTEL_TOKEN``; None if neither is given.

    Raises :class:`UsageError` for a file that every user can read, and where :func:`check_token` refuses the token. An
    empty path, and an empty variable, are refused like any other wrong one: they are no request to do without a token.
    """
    if path is not None:
        content, mode = read_with_mode(path, "token")
        if mode & stat.S_IROTH:
            raise UsageError(f"cannot use the token in {path}: every user can read it (chmod 600 {path})")
        return check_token(content.decode(errors="replace").strip())
    given = os.environ.get(TOKEN_VARIABLE)
    return check_token(given.strip()) if given is not None else None


def check_token(token: str) -> str:
    """The token unchanged. Raises :class:`UsageError` if it is too short, or cannot be sent in a header."""
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"cannot use this token: it must be at least {_SHORTEST_TOKEN} printable ASCII characters "
            "without blanks (openssl rand -hex 32 makes one)"
        )
    return token
