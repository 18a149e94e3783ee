"""The path of a small file that a user names in; its table of TOML out."""

import os
import tomllib
from typing import Any

from schedtel.access.files import read_file
from schedtel.errors import UsageError


def read_toml(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """The table of a file of TOML.

    :param what: what the file should contain, in words for the message.

    Raises :class:`UsageError` as :func:`read_file`, and for what is no TOML.
    """
    content = read_file(os.fspath(path), what)
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {path}: {' '.join(str(error).split())} (write TOML)") from error
