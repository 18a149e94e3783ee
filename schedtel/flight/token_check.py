"""The token of a server in; each call without it refused, out."""

from __future__ import annotations

import hashlib
import hmac
import logging

import pyarrow.flight as fl

from schedtel.access.tokens import check_token

_log = logging.getLogger(__name__)


class TokenCheck(fl.ServerMiddlewareFactory):  # type: ignore[misc]  # pyarrow has no types
    """Refuses every call without the token. Raises :class:`UsageError` for a token that cannot be used."""

    def __init__(self, token: str) -> None:
        super().__init__()
        self._digest = _digest(check_token(token).encode())

    def start_call(self, _info: object, headers: dict[str, list[str]]) -> None:
        values = next((values for name, values in headers.items() if name.lower() == "authorization"), [])
        given = values[0] if len(values) == 1 else ""
        scheme, _, token = str(given).partition(" ")
        # Digests are compared, so that neither the time nor the length tells how close a guess is.
        if not hmac.compare_digest(_digest(token.encode(errors="replace")), self._digest) or scheme != "Bearer":
            _log.warning("a call was refused: its token is missing or wrong")
            raise fl.FlightUnauthenticatedError("the token is missing or wrong")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
