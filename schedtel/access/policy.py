"""Rules for serving and for asking: an address, certificates and a token in; an error out where they are not safe."""

from schedtel.access.tls import Tls
from schedtel.access.uri import Address
from schedtel.errors import UsageError


def check_serving(address: Address, tls: Tls, token: str | None) -> None:
    """Check what a server is about to serve.

    Raises :class:`UsageError` where it would show this machine's tasks to a network without TLS and a token, and for
    certificates that do not fit the address.
    """
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
    """Check what a client is about to ask.

    Raises :class:`UsageError` where the token would cross a network unencrypted, and for certificates without TLS.
    """
    if token and address.kind == "tcp" and not address.is_loopback:
        raise UsageError(f"cannot send the token to {address.uri}: it is not encrypted (write grpc+tls://)")
    if (tls.certificate or tls.authority) and address.kind != "tls":
        raise UsageError(f"cannot use certificates with {address.uri}: it is not TLS (write grpc+tls://)")
