"""Names and messages of other users, hosts and files in; text for tables, and text for a person, out.

The two differ. A table keeps a name as it is, because a program reads it: :func:`text_of` changes only bytes that are
no UTF-8, and :func:`bytes_of` gives them back. A person reads :class:`Printable`, in which no character acts on the
terminal, moves its neighbours or is invisible.
"""

from __future__ import annotations

import re
from typing import Self

#: What a byte that is no UTF-8 looks like in a table, with all backslashes before it.
_LIKE_A_BYTE = re.compile(r"(\\+)x([89a-f][0-9a-f])")
#: What Python decodes such a byte to (PEP 383).
_BYTE = re.compile("(\\\\*)([\udc80-\udcff])")
#: Characters that have a glyph for Python, but none of their own on a terminal: default-ignorable characters
#: (DerivedCoreProperties.txt of Unicode), the blank of Braille, and all that changes its neighbour's width or glyph:
#: variation selectors, joined Hangul, skin tones, and the letters that form flags.
_UNSEEN = re.compile(
    "[\u034f\u115f-\u11ff\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ud7b0-\ud7fb\ufe00-\ufe0f\uffa0"
    "\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]"
)
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def text_of(raw: bytes) -> str:
    r"""A name of the kernel or of a file as text for a table; :func:`bytes_of` is the inverse.

    UTF-8 stays as it is. A byte that is no UTF-8 becomes ``\xff``. Where a name itself has backslashes before such a
    text or such a byte, they are doubled, so that two names never become one. All other backslashes stay, such as
    those of systemd's ``\x2d``.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text = raw.decode(errors="surrogateescape")
    else:
        if b"\\" not in raw:
            return text
    text = _LIKE_A_BYTE.sub(r"\1\1x\2", text)
    return _BYTE.sub(lambda found: f"{2 * found[1]}\\x{ord(found[2]) - 0xDC00:02x}", text)


def bytes_of(text: str) -> bytes:
    """The name that :func:`text_of` made a text of."""

    def name(found: re.Match[str]) -> str:
        backslashes, odd = divmod(len(found[1]), 2)
        return "\\" * backslashes + (chr(0xDC00 + int(found[2], 16)) if odd else f"x{found[2]}")

    return _LIKE_A_BYTE.sub(name, text).encode(errors="surrogateescape")


def text_of_path(path: str) -> str:
    """A path or an argument, as Python decodes them (PEP 383), as text for a table."""
    return path if path.isascii() and "\\" not in path else text_of(path.encode(errors="surrogateescape"))


def utf8(raw: bytes) -> str:
    """Metadata of a file or of another host, which should be text already; bytes that are no UTF-8 are escaped."""
    return raw.decode(errors="backslashreplace")


class Printable(str):
    r"""Text that a person can read on one line of a terminal. Making one escapes what cannot be read.

    Control characters become ``\n``, ``\t`` or ``\x1b``; bidirectional controls, invisible characters and those of no
    known width become ``\u202e``; bytes that are no UTF-8 become ``\xff``. A combining mark stays where it has a letter
    to stand on: one or two behind another character. Escaping what is escaped changes nothing.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        return super().__new__(cls, text if text.isascii() and text.isprintable() else _escaped(text))


#: Most combining marks behind one character. More would reach into the lines above and below.
_MOST_MARKS = 2


def _escaped(text: str) -> str:
    from unicodedata import category  # noqa: PLC0415  (1 MB that names in ASCII do without)

    out: list[str] = []
    marks = _MOST_MARKS  # a mark at the beginning has nothing to stand on
    for character in text:
        is_mark = category(character) in ("Mn", "Me")
        seen = character.isprintable() and not _UNSEEN.match(character) and not (is_mark and marks >= _MOST_MARKS)
        marks = marks + 1 if seen and is_mark else 0 if seen and character != " " else _MOST_MARKS
        out.append(character if seen else _escape(character))
    return "".join(out)


def _escape(character: str) -> str:
    code = ord(character)
    if _BYTE.fullmatch(character):
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return _SHORT.get(character, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
