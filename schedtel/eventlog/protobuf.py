"""Columns in; messages of Protocol Buffers, one a row, out. Encoding: https://protobuf.dev/programming-guides/encoding.

A message of many rows is a matrix of bytes as wide as the longest row, beside one of booleans that tells which bytes
are there. So parts of a message are put beside each other, and a message into another one, without a loop over rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_VARINT, _LENGTH = 0, 2


@dataclass(frozen=True)
class Rows:
    """Bytes by row: their values and whether they are there, both of shape (n, width)."""

    octets: np.ndarray
    used: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """How many bytes each row has."""
        return self.used.sum(axis=1)

    def tobytes(self) -> bytes:
        """All rows, one after the other."""
        return self.octets[self.used].tobytes()


def varints(values: np.ndarray) -> Rows:
    """A varint for each integer; of negative ones as the types int32 and int64 have them."""
    bits = values.astype(np.int64).view(np.uint64)
    width = max(1, -(-int(bits.max(initial=0)).bit_length() // 7))
    rest = bits[:, None] >> (7 * np.arange(width, dtype=np.uint64))
    used = rest != 0
    used[:, 0] = True
    goes_on = np.zeros_like(used)
    goes_on[:, :-1] = used[:, 1:]
    return Rows(((rest & np.uint64(0x7F)).astype(np.uint8) | goes_on.astype(np.uint8) << 7), used)


def beside(*parts: Rows) -> Rows:
    """Each row's parts, one after the other."""
    return Rows(
        np.concatenate([part.octets for part in parts], axis=1), np.concatenate([part.used for part in parts], axis=1)
    )


def numbers(field: int, values: np.ndarray) -> Rows:
    """A field of a number in each row."""
    return beside(_same(_tag(field, _VARINT), len(values)), varints(values))


def texts(field: int, values: np.ndarray) -> Rows:
    """A field of a text in each row.

    :param values: bytes of UTF-8, shape (n,) of a dtype S.
    """
    width = values.dtype.itemsize
    octets = np.frombuffer(values.tobytes(), np.uint8).reshape(len(values), width)
    used = np.arange(width) < np.char.str_len(values)[:, None]
    return messages(field, Rows(octets, used))


def messages(field: int, content: Rows) -> Rows:
    """A field of a message, or of bytes, in each row."""
    return beside(_same(_tag(field, _LENGTH), len(content.octets)), varints(content.sizes), content)


def number(field: int, value: int) -> bytes:
    """A field of a number."""
    return numbers(field, np.array([value])).tobytes()


def block(field: int, content: bytes) -> bytes:
    """A field of a message, of bytes or of packed numbers."""
    return _tag(field, _LENGTH) + varints(np.array([len(content)])).tobytes() + content


def packed(field: int, values: np.ndarray) -> bytes:
    """A field of many numbers."""
    return block(field, varints(values).tobytes())


def _tag(field: int, kind: int) -> bytes:
    return varints(np.array([field << 3 | kind])).tobytes()


def _same(octets: bytes, rows: int) -> Rows:
    """The same bytes in each row."""
    shape = (rows, len(octets))
    return Rows(np.broadcast_to(np.frombuffer(octets, np.uint8), shape), np.ones(shape, bool))
