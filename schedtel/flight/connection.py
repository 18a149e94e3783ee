"""An address and a token in; a connection and the options of its calls, and errors as one line for a user, out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from schedtel.access.tls import Tls
from schedtel.access.uri import Address
from schedtel.flight.wire import one_line

#: gRPC ends a call with a larger message before it keeps it. A server's batches have at most 1 MiB, with dictionaries
#: and a single long row not more than twice that.
LARGEST_MESSAGE = 4 << 20


def connect(address: Address, tls: Tls) -> Any:
    """A client of Flight for a server; it connects with its first call."""
    import pyarrow.flight as fl  # noqa: PLC0415  (12 MB that `live` does not need)

    options: dict[str, Any] = {"tls_root_certs": tls.authority or None}
    # By default gRPC shares a connection, and so its flow control, between the clients of a process: one slow
    # client would stop all.
    options["generic_options"] = [
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.max_receive_message_length", LARGEST_MESSAGE),
    ]
    if tls.certificate:
        options |= {"cert_chain": tls.certificate, "private_key": tls.key}
    return fl.FlightClient(address.uri, **options)


def call_options(token: str | None, timeout: float | None = None) -> Any:
    """The options of a call that shows the token, and may take so many seconds."""
    import pyarrow.flight as fl  # noqa: PLC0415  (see above)

    headers = [(b"authorization", b"Bearer " + token.encode())] if token else []
    return fl.FlightCallOptions(timeout=timeout, headers=headers)


# ---- errors ----


@dataclass(frozen=True)
class Advice:
    """What a message about a server says besides the cause.

    :param what: what is to come from it.
    :param server: the command that serves there.
    :param again: what to do when it has gone.
    :param look: where a refusal that says no more is explained.
    """

    what: str
    server: str
    again: str
    look: str = "see what the server says"

    def filled(self, meaning: str) -> str:
        return meaning.format(server=self.server, again=self.again)


STREAMS = Advice("stream of windows", "schedtel serve", "subscribe again, or use `schedtel collect`, which does")
_GONE = r"Socket closed|Connection reset|Broken pipe|GOAWAY|shutdown|closed"
#: Pattern in an error of gRPC → what it means and what to do; specific patterns come first.
_MEANINGS = (
    (r"certificate has expired", "its certificate has expired (renew it)"),
    (
        r"[Hh]ostname [Vv]erification|not match|not in peer certificate",
        "its certificate is for another name (use the name it was made for)",
    ),
    (
        r"self.signed|unable to get (local )?issuer|CERTIFICATE_VERIFY_FAILED",
        "its certificate is not trusted (give its authority by --ca)",
    ),
    (r"CERTIFICATE_REQUIRED|certificate required", "it wants a certificate of ours (give --tls-cert and --tls-key)"),
    (
        r"WRONG_VERSION_NUMBER|[Hh]andshak",
        "one side speaks TLS and the other does not, or refuses our certificate (compare both URIs)",
    ),
    (r"No route to host|[Nn]etwork is unreachable", "no way leads there (is the host there, and its network up?)"),
    (r"Connection refused|No such file", "no server answers there (start `{server}` there, or correct the URI)"),
    (r"Permission denied", "this user may not use the socket (ask its owner)"),
    (r"DNS|resolve|Name or service", "no such host (correct the URI)"),
    (r"[Dd]eadline|[Tt]imed out|[Tt]imeout", "no answer (is the host there, and the port open?)"),
    (_GONE, "the server has gone ({again})"),
)


#: Most characters of a server's own words that are shown.
_LONGEST_WORDS = 300
#: How a server of another protocol behaves, and, after the handshake, a server that requires a client certificate.
_HUNG_UP = "it hung up (grpc+tls and grpc must not be mixed up; or it wants a certificate: --tls-cert and --tls-key)"


def explain(error: Exception, connected: bool, advice: Advice = STREAMS) -> str:
    """An error as one line for a user: the cause, and what to do.

    :param connected: whether the server had answered before the error.
    """
    import pyarrow.flight as fl  # noqa: PLC0415  (see above)

    text = one_line(" ".join(str(error).split()))
    if isinstance(error, fl.FlightCancelledError):  # what Flight makes of a message above LARGEST_MESSAGE
        return "it broke the stream off, or a batch is larger than schedtel's (is it schedtel that serves there?)"
    if isinstance(error, fl.FlightUnauthenticatedError | fl.FlightUnauthorizedError):
        return "the token is missing or wrong (give --token-file, or set SCHEDTEL_TOKEN)"
    if isinstance(error, fl.FlightUnavailableError | fl.FlightTimedOutError | fl.FlightInternalError):
        if not connected and re.search(_GONE, text):
            return _HUNG_UP
        meaning = next((meaning for words, meaning in _MEANINGS if re.search(words, text)), None)
        return advice.filled(meaning) if meaning else _advised(_first(text), advice)
    if isinstance(error, fl.FlightServerError):
        return _advised(_first(text), advice)
    return f"what came is no {advice.what}: {_first(text)} (is it schedtel that serves there?)"


def _first(text: str) -> str:
    """The server's own message, without the text that Flight and gRPC put around it."""
    text = re.split(r"\. Detail:|\.? gRPC client debug context", text, maxsplit=1)[0]
    return text.removeprefix("Flight returned unavailable error, with message: ").rstrip(".")[:_LONGEST_WORDS]


def _advised(text: str, advice: Advice) -> str:
    return text if text.endswith(")") else f"{text} ({advice.look})"
