"""Files of safetensors: the library in, or the error that says what lacks it; and what a file says of its arrays, out.

The format (https://github.com/huggingface/safetensors) holds arrays by name, and a text of metadata, in which ours have
one JSON object under a key. Nothing of it is executed.
"""

import json
from typing import Any

from schedtel.errors import CapabilityError

_HEADER_LENGTH = 8


def library(purpose: str, extra: str) -> Any:
    """safetensors for numpy arrays.

    :param purpose: what cannot be done without it, in words for the message.
    :param extra: of schedtel, which installs it.

    Raises :class:`CapabilityError` where it is not installed.
    """
    try:
        import safetensors.numpy  # noqa: PLC0415  (of an extra)
    except ImportError as error:
        raise CapabilityError(
            f"cannot {purpose}: safetensors is not installed (pip install 'schedtel[{extra}]')"
        ) from error
    return safetensors.numpy


def said_in(content: bytes, key: str) -> Any:
    """What the metadata of a file have under a key. Raises any error for a file that is none of ours."""
    length = int.from_bytes(content[:_HEADER_LENGTH], "little")
    return json.loads(json.loads(content[_HEADER_LENGTH : _HEADER_LENGTH + length])["__metadata__"][key])
