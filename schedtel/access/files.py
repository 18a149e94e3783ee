"""Small files that a user names: a token, a certificate."""

from pathlib import Path

from schedtel.errors import UsageError


def read_file(path: str, what: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {what} {path}: {error.strerror} (check the path)") from error
