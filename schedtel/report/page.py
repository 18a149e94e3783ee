"""JSON and a template in, HTML out; in a file that appears at once and that only its owner can read.

Names of commands and cgroups come from other users. They reach the page as JSON in a block that no browser executes,
with the characters escaped that could end the block, and the script puts them on the page as text, never as markup.
The page's own policy forbids any request, and any script or style but the two it came with, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import string
from importlib import resources
from typing import Any

from schedtel.errors import UsageError

#: In this order they make one script.
_SCRIPTS = ("format.js", "model.js", "frame.js", "charts.js", "tables.js", "preemptions.js", "sections.js", "page.js")
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def render(document: dict[str, Any]) -> str:
    """The page of what :func:`~schedtel.report.document_of` made."""
    style, script = _text("page.css"), "".join(map(_text, _SCRIPTS))
    script = f'(() => {{\n"use strict";\n{script}}})();\n'
    names = " and ".join(recording["name"] for recording in document["recordings"])
    return string.Template(_text("page.html")).substitute(
        title=_as_markup(f"schedtel: {names}"),
        policy=_policy(style, script),
        style=style,
        script=script,
        figures=_as_json(document),
    )


def _text(name: str) -> str:
    return (resources.files("schedtel.report") / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing from anywhere, but this style and this script (https://www.w3.org/TR/CSP3/)."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _as_json(document: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).translate(_ESCAPED)


def _as_markup(text: str) -> str:
    text = text.encode("utf-8", "backslashreplace").decode()  # a directory's name need not be text
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def write_page(text: str, path: str | os.PathLike[str]) -> None:
    """Write it beside its place and rename it, mode 0600: it names other users' commands.

    What is no file, a pipe or a device, is written to and stays what it is.

    Raises :class:`UsageError` when it cannot be written; what was there stays. A pipe without a reader is no mistake of
    the user's: :class:`BrokenPipeError`.
    """
    target = os.path.realpath(path)
    unfinished = f"{target}.unfinished-{os.getpid()}"
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            return
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
            os.rename(unfinished, target)
        except BaseException:
            os.unlink(unfinished)
            raise
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"cannot write {os.fspath(path)}: {error.strerror} (choose another file)") from error
