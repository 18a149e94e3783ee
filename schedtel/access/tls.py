"""Certificates in PEM: files in; :class:`Tls` out."""

from dataclasses import dataclass

from schedtel.access.files import read_file
from schedtel.errors import UsageError


@dataclass(frozen=True)
class Tls:
    """Contents of PEM files: this side's certificate with its key, and the authority that signs the other side's."""

    certificate: bytes = b""
    key: bytes = b""
    authority: bytes = b""


def read_tls(certificate: str | None, key: str | None, authority: str | None) -> Tls:
    """Read the files; a path that is None gives empty bytes.

    Raises :class:`UsageError` when a file cannot be read or is not PEM, and for a certificate or key without the other.
    An empty path is one that cannot be read.
    """
    if (certificate is None) != (key is None):
        raise UsageError(
            "cannot use half a pair: certificate and key belong together (give both --tls-cert and --tls-key)"
        )
    return Tls(*(_pem(path) for path in (certificate, key, authority)))


def _pem(path: str | None) -> bytes:
    if path is None:
        return b""
    content = read_file(path, "certificate or key")
    if b"-----BEGIN " not in content:
        raise UsageError(f"cannot use {path}: it is not PEM (openssl x509 -inform der turns DER into it)")
    return content
