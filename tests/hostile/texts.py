"""Names that another user, host or file may give: as bytes, as the kernel and files have them.

All but ``long`` and ``flag`` fit into the 15 bytes of a thread's name.
"""

from schedtel.foreign_text import text_of

TEXTS: dict[str, bytes] = {
    "empty": b"",
    "blanks": b"  a  b  ",
    "markup that ends nothing": b"[/x]",
    "markup that begins a style": b"[red]a[/red]",
    "markup of a link": b"[link=x:]a",
    "emoji code": b":skull:",
    "format of Python": b"{0}{x}%s%(a)d",
    "HTML": b"</script><b>&",
    "quotes": b"'\"`$(id);",
    "backslash at the end": b"a\\",
    "like an escape": b"\\x1b[2J\\n",
    "like a byte": b"\\xff\\\\xff",
    "systemd's escape": b"a\\x2db\\xc3",
    "level of the journal": b"<0>a",
    "option": b"--help",
    "title of the terminal": b"\x1b]0;owned\x07",
    "string to the terminal": b"\x1bP$q\x1b\\\x1b_a",
    "clears the terminal": b"\x1b[2J\x1b[31m",
    "control in one byte": b"\x9b2J",
    "control in UTF-8": b"\xc2\x9b2J\xc2\x85",
    "bell and backspace": b"a\x07\x08\x7f",
    "new line": b"a\nschedtel: b",
    "return": b"a\rTgid:\t1",
    "separators of Python": b"\x1c\x1d\x1e\x0b\x0c",
    "separators of Unicode": "\u2028\u2029\u00a0".encode(),
    "right to left": "\u202eabc\u202c".encode(),
    "isolates": "\u2066a\u2069\u200f".encode(),
    "invisible": "\u200b\ufeff\u00ad\u3164".encode(),
    "joined emoji": "\U0001f44d\U0001f3fd\u200d".encode(),
    "variation": "\u2764\ufe0fa".encode(),
    "marks at the beginning": "\u0301\u0301a".encode(),
    "a heap of marks": ("a" + "\u0301" * 7).encode(),
    "wide": "進程名字一".encode(),
    "Hebrew": "שלום".encode(),
    "private": "\ue000\U000f0000".encode(),
    "not assigned": "\U0003fffd\u0378".encode(),
    "no character": "\ufffe\uffff".encode(),
    "bytes": b"\xff\xfe\x80",
    "a byte behind a backslash": b"\\\xff\\\\\x80",
    "cut off": "进程".encode()[:-1],
    "surrogate": b"\xed\xb2\x80",
    "overlong": b"\xc0\xaf",
    "flag": "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7".encode(),
    "long": "nameless进程".encode() * 18,
}
#: The same as the tables have them.
TEXTS_OF_TABLES = {name: text_of(raw) for name, raw in TEXTS.items()}
