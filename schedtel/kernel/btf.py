"""BTF, the kernel's type format: raw bytes in; struct layouts out.

Layout of the section: Documentation/bpf/btf.rst in the kernel tree. Only what the contract needs is read.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schedtel.errors import CapabilityError

if TYPE_CHECKING:
    import numpy as np

_HEADER, _MAGIC = struct.Struct("<HBBIIIII"), b"\x9f\xeb"
_INT, _PTR, _ARRAY, _STRUCT, _UNION, _ENUM, _TYPEDEF = 1, 2, 3, 4, 5, 6, 8
_VOLATILE, _CONST, _RESTRICT, _TYPE_TAG = 9, 10, 11, 18
_MODIFIERS = {_TYPEDEF, _VOLATILE, _CONST, _RESTRICT, _TYPE_TAG}
#: Kind → bytes after the 12-byte header: a fixed number, and a number for each of vlen elements.
_TRAILERS = {
    1: (4, 0),
    3: (12, 0),
    4: (0, 12),
    5: (0, 12),
    6: (0, 8),
    13: (0, 8),
    14: (4, 0),
    15: (0, 12),
    17: (4, 0),
    19: (0, 12),
}


@dataclass(frozen=True)
class Member:
    """One member of a struct: its name, and its offset and size in bytes."""

    name: str
    offset: int
    size: int


class ObjectTypes:
    """The types of one BPF object, from its raw BTF. Raises :class:`CapabilityError` for bytes that are not BTF."""

    def __init__(self, raw: bytes) -> None:
        if len(raw) < _HEADER.size or raw[:2] != _MAGIC:
            raise CapabilityError("cannot read the BPF object's BTF: it has none (rebuild or reinstall schedtel)")
        _, _, _, header, type_offset, type_bytes, string_offset, string_bytes = _HEADER.unpack_from(raw)
        self._strings = raw[header + string_offset : header + string_offset + string_bytes]
        self._raw = raw
        self._offsets = [0]
        position, end = header + type_offset, header + type_offset + type_bytes
        while position < end:
            self._offsets.append(position)
            _, info, _ = struct.unpack_from("<III", raw, position)
            fixed, each = _TRAILERS.get((info >> 24) & 0x1F, (0, 0))
            position += 12 + fixed + each * (info & 0xFFFF)

    def _name(self, offset: int) -> str:
        return self._strings[offset : self._strings.index(b"\0", offset)].decode()

    def _header(self, type_id: int) -> tuple[str, int, int, int]:
        """Name, kind, vlen, and size or referenced type."""
        name, info, size = struct.unpack_from("<III", self._raw, self._offsets[type_id])
        return self._name(name), (info >> 24) & 0x1F, info & 0xFFFF, size

    def _size(self, type_id: int) -> int:
        _, kind, _, size = self._header(type_id)
        if kind in _MODIFIERS:
            return self._size(size)
        if kind == _ARRAY:
            element, _, count = struct.unpack_from("<III", self._raw, self._offsets[type_id] + 12)
            return self._size(element) * count
        return 8 if kind == _PTR else int(size)

    def structs(self) -> dict[str, list[Member]]:
        """Every named struct: its members in order, plus its size as a last member named ``(end)``."""
        members_of = {}
        for type_id in range(1, len(self._offsets)):
            name, kind, vlen, size = self._header(type_id)
            if kind == _STRUCT and name:
                members_of[name] = [*self._members(type_id, vlen), Member("(end)", size, 0)]
        return members_of

    def _members(self, type_id: int, vlen: int) -> list[Member]:
        position = self._offsets[type_id] + 12
        fields = (struct.unpack_from("<III", self._raw, position + 12 * i) for i in range(vlen))
        return [Member(self._name(n), (bits & 0xFFFFFF) // 8, self._size(t)) for n, t, bits in fields]


def dtype_members(dtype: np.dtype) -> list[Member]:
    """A structured dtype in the same form as :meth:`ObjectTypes.structs`."""
    members = []
    for name in dtype.names or ():
        field, offset = dtype.fields[name][:2]  # type: ignore[index]
        members.append(Member(name, int(offset), field.itemsize))
    return [*members, Member("(end)", dtype.itemsize, 0)]


def check_contract(structs: dict[str, list[Member]], contract: dict[str, np.dtype]) -> None:
    """Compare the object's structs with the dtypes that numpy reads them with.

    Raises :class:`CapabilityError` for the first difference.
    """
    for name, dtype in contract.items():
        expected, actual = dtype_members(dtype), structs.get(name)
        if actual != expected:
            where = next((b or a for a, b in zip(expected, actual or [], strict=False) if a != b), name)
            raise CapabilityError(
                f"cannot use the BPF object: struct {name} differs from this Python's layout at {where} "
                "(the installation is mixed; rebuild with `make build` or reinstall schedtel)"
            )
