"""Texts in; lines on stdout and stderr out. The only place of the command that writes text for a person.

What is written may contain names and messages of other users, hosts and files, so every line is made
:class:`~schedtel.foreign_text.Printable` here: it stays one line, and no character of it acts on the terminal.
"""

import click

from schedtel.foreign_text import Printable


def answer(text: str) -> None:
    """Write one line of an answer to stdout. A line may be indented, but not broken."""
    _write(Printable(text), err=False)


def remark(text: str) -> None:
    """Write one line on stderr."""
    _write(Printable(text), err=True)


def document(text: str) -> None:
    """Write a text of this program to stdout: help, a schema, JSON. It has lines of its own, and no foreign names but
    those that JSON escapes.
    """
    click.echo(text)


def _write(line: Printable, *, err: bool) -> None:
    click.echo(line, err=err)


def in_one_line(message: str) -> Printable:
    """A message that may have been broken into lines, as one line."""
    return Printable(" ".join(message.split()))
