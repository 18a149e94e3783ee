"""Paths that a user names in; the contents of these small files (a token, a certificate) out."""

from pathlib import Path

from schedtel.errors import UsageError


def read_file(path: str, what: str) -> bytes:
    """The file's content. Raises :class:`UsageError` where it cannot be read; ``what`` names it in the message."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {what} {path}: {error.strerror} (check the path)") from error
