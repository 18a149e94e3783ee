"""Output of several kinds in; one stream of bytes for a serial line, and the output again behind it, out.

A frame is a letter for its kind, the length of its content in four bytes, most significant first, and the content.
"""

import struct
from collections.abc import Iterator

from schedtel.errors import CollectorError

STDOUT, STDERR, RESULTS, STATUS = b"o", b"e", b"r", b"s"
#: To a guest with a terminal: what was typed, and the window's size as "rows columns".
INPUT, SIZE = b"i", b"z"
_KINDS = (STDOUT, STDERR, RESULTS, STATUS, INPUT, SIZE)
_HEAD = struct.Struct(">cI")
#: Longer contents are cut into several frames.
LONGEST = 1 << 16


def framed(kind: bytes, content: bytes) -> Iterator[bytes]:
    """The frames that carry a content; none for an empty one."""
    for begin in range(0, len(content), LONGEST):
        part = content[begin : begin + LONGEST]
        yield _HEAD.pack(kind, len(part)) + part


class FrameReader:
    """Takes bytes as they arrive, and gives the frames that are whole."""

    def __init__(self) -> None:
        self._left = bytearray()

    def feed(self, arrived: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Kind and content of each frame that is whole now. Raises :class:`CollectorError` for what is no frame."""
        self._left += arrived
        while len(self._left) >= _HEAD.size:
            kind, length = _HEAD.unpack_from(self._left)
            if kind not in _KINDS or length > LONGEST:
                raise CollectorError("cannot read the guest's answer: it is garbled (run it again)")
            if len(self._left) < _HEAD.size + length:
                return
            content = bytes(self._left[_HEAD.size : _HEAD.size + length])
            del self._left[: _HEAD.size + length]
            yield kind, content
