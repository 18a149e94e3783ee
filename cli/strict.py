"""Arguments of the command line in; the same ones, or an error where click would silently go on with other values, out.

Every command is a :class:`StrictCommand` and every group a :class:`StrictGroup`, so what is refused here is refused for
each option of each command.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from schedtel.errors import UsageError

#: Type of a parameter → the texts that it takes, and what they are. Python's int() and float() also take digits of
#: other scripts, underscores, blanks, `nan`, and integers that fit into no 64 bits.
_NUMBERS = (
    (click.types.IntParamType, re.compile(r"[+-]?[0-9]{1,18}"), "an integer of at most 18 digits"),
    (click.types.FloatParamType, re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?"), "a decimal number"),
)
#: What is stored or sent as text. Names of files and of commands, in contrast, may be any bytes.
_TEXTS = ("NAME", "URI", "URL", "HOST:PORT")
_MOST_SHOWN = 40


class StrictCommand(click.Command):
    """A command that refuses empty values, an option that is given twice, and numbers that no machine has."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse twice: first for what the user wrote, then as click does.

        Raises :class:`UsageError` for what is refused.
        """
        values, _, order = self.make_parser(ctx).parse_args(list(args))
        _refuse_repeated(order)
        for parameter in order:
            for text in _texts(parameter, values):
                _check(parameter, text)
        return super().parse_args(ctx, args)


class StrictGroup(click.Group):
    """A group whose commands are strict."""

    command_class = StrictCommand
    group_class = type


def _refuse_repeated(order: list[click.Parameter]) -> None:
    """Refuse a repeated option that has one value: click keeps the last and drops the others without a word."""
    for parameter, times in Counter(order).items():
        if times > 1 and _has_value(parameter) and not parameter.multiple:
            raise UsageError(f"cannot use {_name(parameter)} {times} times: it has one value (give it once)")


def _has_value(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option) and not parameter.is_flag and not parameter.count


def _texts(parameter: click.Parameter, values: dict[str, Any]) -> Iterator[str]:
    """What the user wrote for a parameter; nothing for the words of a COMMAND, which are its own affair."""
    if parameter.type is click.UNPROCESSED:
        return
    given = values.get(parameter.name or "")
    yield from (text for text in (given if isinstance(given, list | tuple) else [given]) if isinstance(text, str))


def _check(parameter: click.Parameter, text: str) -> None:
    if not text:
        advice = "give a value" if parameter.required else "leave it out, or give a value"
        raise UsageError(f"cannot use {_name(parameter)} with an empty value: it names nothing ({advice})")
    if parameter.metavar in _TEXTS and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise UsageError(f"cannot use {_name(parameter)} {text[:_MOST_SHOWN]!r}: it is not UTF-8 (write it in UTF-8)")
    for kind, accepted, what in _NUMBERS:
        if isinstance(parameter.type, kind) and not accepted.fullmatch(text):
            raise UsageError(f"cannot use {_name(parameter)} {text[:_MOST_SHOWN]!r}: it must be {what} (such as 10)")


def _name(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len) if isinstance(parameter, click.Option) else parameter.human_readable_name
