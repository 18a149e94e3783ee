"""Figures and a template in; HTML out, in a file that appears whole and that only its owner can read.

Names of commands and cgroups come from other users. They reach the page as JSON in a block that no browser executes,
and characters that could end the block are escaped. The script puts the names on the page as text, never as markup. The
page's own content security policy forbids all requests, and all scripts and styles except its own two, by their hashes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import string
from importlib import resources
from typing import Any

from schedtel.access.files import open_to_write
from schedtel.errors import UsageError
from schedtel.foreign_text import Printable

#: Scripts by what a page is about. Concatenated in their order they are one.
_SCRIPTS = {
    "recordings": (
        *("format.js", "bins.js", "model.js", "view.js", "frame.js", "charts.js", "tables.js"),
        *("preemptions.js", "waits.js"),
        *("sections.js", "headline.js", "page.js"),
    ),
    "decisions": (
        *("format.js", "bins.js", "decisions.js", "view.js", "frame.js", "charts.js", "tables.js"),
        *("decision_charts.js", "decision_sections.js", "page.js"),
    ),
    "events": (
        *("format.js", "bins.js", "events.js", "view.js", "frame.js", "charts.js", "tables.js"),
        *("event_charts.js", "event_sections.js", "page.js"),
    ),
}
_ESCAPED = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def render(document: dict[str, Any]) -> str:
    """The HTML of a page.

    :param document: the figures, from :func:`~schedtel.report.document_of`.
    """
    names = " and ".join(recording["name"] for recording in document["recordings"])
    return page_of(document, f"schedtel: {names}", "recordings")


def page_of(document: dict[str, Any], title: str, about: str) -> str:
    """The HTML of a page of another kind.

    :param document: the figures that its scripts read.
    :param about: a key of ``_SCRIPTS``.
    """
    style, script = _text("page.css"), "".join(map(_text, _SCRIPTS[about]))
    script = f'(() => {{\n"use strict";\n{script}}})();\n'
    return string.Template(_text("page.html")).substitute(
        title=_as_markup(title),
        policy=_policy(style, script),
        style=style,
        script=script,
        figures=_as_json(document),
    )


def _text(name: str) -> str:
    return (resources.files("schedtel.report") / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """A content security policy that allows this style and this script only (https://www.w3.org/TR/CSP3/)."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _as_json(document: dict[str, Any]) -> str:
    """JSON that cannot end the script element it stands in."""
    return json.dumps(document, separators=(",", ":"), allow_nan=False).translate(_ESCAPED)


def _as_markup(text: str) -> str:
    return Printable(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def write_page(text: str, path: str | os.PathLike[str]) -> None:
    """Write a page to a file of mode 0600, since it names other users' commands.

    The page is written to a file in the same directory, which is then renamed. A pipe or a device is written to
    directly.

    Raises :class:`UsageError` if the page cannot be written; the old file stays. Raises :class:`BrokenPipeError` for a
    pipe without a reader, which is no mistake of the user's.
    """
    try:
        target = os.path.realpath(path)  # fails if the working directory has been removed
        unfinished = f"{target}.unfinished-{os.getpid()}"
        if os.path.exists(path) and not os.path.isfile(path):
            with open(path, "w", encoding="utf-8", opener=open_to_write) as file:
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
