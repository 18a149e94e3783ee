"""Names of others: one text for each name, and no character that acts."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from texts import TEXTS

from schedtel.foreign_text import Printable, bytes_of, text_of, text_of_path

#: Parts of names between which the escapes could be mistaken.
_PARTS = st.sampled_from([b"\\", b"x", b"f", b"\xff", b"\x80", b"\\xff", b"\\x80", b"\\x2d", "é".encode(), b"a"])
NAMES = st.binary(max_size=16) | st.lists(_PARTS, max_size=8).map(b"".join)


@given(NAMES)
def test_a_table_has_one_text_for_each_name(raw):
    text = text_of(raw)
    assert text.encode().decode() == text
    assert bytes_of(text) == raw


@pytest.mark.parametrize("raw", TEXTS.values(), ids=TEXTS)
def test_hostile_names_come_back_from_their_texts(raw):
    assert bytes_of(text_of(raw)) == raw
    assert text_of_path(raw.decode(errors="surrogateescape")) == text_of(raw)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"bash", "bash"),
        ("進程".encode(), "進程"),
        (b"dev-disk-by\\x2duuid", "dev-disk-by\\x2duuid"),
        (b"a\\b", "a\\b"),
        (b"\x1b[2J\n", "\x1b[2J\n"),
        (b"a\xff", "a\\xff"),
        (b"a\\xff", "a\\\\xff"),
        (b"a\\\xff", "a\\\\\\xff"),
    ],
)
def test_a_table_keeps_what_is_text(raw, text):
    assert text_of(raw) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("bash", "bash"),
        ("進程 é", "進程 é"),
        ("a[/x]:skull:", "a[/x]:skull:"),
        ("\x1b]0;t\x07", "\\x1b]0;t\\x07"),
        ("a\n\r\tb", "a\\n\\r\\tb"),
        ("\x9b\x85", "\\u009b\\u0085"),
        ("\u202eabc", "\\u202eabc"),
        ("\u00a0\u3000", "\\u00a0\\u3000"),
        ("e\u0301\u0301\u0301", "e\u0301\u0301\\u0301"),
        ("\u0301e \u0301", "\\u0301e \\u0301"),
        ("\udcff\ud800", "\\xff\\ud800"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_a_person_sees_what_is_no_glyph(text, shown):
    assert Printable(text) == shown


def test_no_character_is_left_that_acts_or_is_invisible():
    for code in range(sys.maxunicode + 1):
        shown = Printable("a" + chr(code))
        assert shown.isprintable()
        if shown != "a" + chr(code):
            assert shown.isascii()
        elif unicodedata.category(chr(code)) not in ("Mn", "Me", "Mc"):
            assert cell_len(shown[1]) in (1, 2), hex(code)


@given(st.text(st.characters(), max_size=30))
def test_what_is_escaped_stays_as_it_is_and_can_be_written(text):
    shown = Printable(text)
    assert Printable(shown) == shown
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) <= 1
