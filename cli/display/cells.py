"""Texts in; lines and tables of rich out. The only place of the command that makes a text that rich prints.

A plain ``str`` that reaches rich is markup: ``[/x]`` ends the program, ``[red]`` and ``:skull:`` change names, and an
escape sequence reaches the terminal. So rich's ``Text`` and ``Table`` are banned elsewhere (pyproject.toml), and what
is made here takes foreign names as they are and shows them as :class:`~schedtel.foreign_text.Printable`.
"""

from collections.abc import Callable
from unicodedata import bidirectional

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from schedtel.foreign_text import Printable

#: Before each cell of a row with a name in Hebrew, Arabic or the like. Without it, a terminal that writes these from
#: right to left takes the figures behind the name along (Unicode Standard Annex 9).
_LEFT_TO_RIGHT = "\u200e"
#: Where a page is printed: made by :func:`terminal_console` or :func:`plain_console`.
Screen = Console
#: A piece of a line: its text, or the text and its style.
Piece = str | tuple[str, str]


def line(*pieces: Piece) -> Text:
    """One line. What is longer than the terminal goes on in the next row."""
    texts = [Text(*_styled(piece)) for piece in pieces]
    return Text().join(texts) if texts else Text()


def _styled(piece: Piece) -> tuple[Printable, str]:
    text, style = (piece, "") if isinstance(piece, str) else piece
    return Printable(text), style


def below(part: RenderableType) -> Padding:
    """A part of a page with an empty row above it."""
    return Padding(part, (1, 0, 0, 0))


def _is_right_to_left(text: Text) -> bool:
    return not text.plain.isascii() and any(bidirectional(character) in ("R", "AL", "AN") for character in text.plain)


class Grid:
    """A table without borders. Each row takes one row of the screen if its columns do not wrap."""

    def __init__(self, gap: int = 2, *, header: bool = True) -> None:
        self._table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="dim", show_header=header)

    def column(
        self,
        header: str = "",
        *,
        right: bool = False,
        style: str = "",
        bold: bool = False,
        wraps: bool = False,
        most: int | None = None,
    ) -> None:
        """Add a column.

        :param right: whether it is aligned to the right, as numbers are.
        :param bold: whether its header is.
        :param wraps: whether a text that is too long is broken into rows; else it ends in an ellipsis.
        :param most: most characters of its width.
        """
        self._table.add_column(
            line(header),
            justify="right" if right else "left",
            style=style or None,
            header_style="bold" if bold else None,
            no_wrap=not wraps,
            overflow="ellipsis",
            max_width=most,
        )

    def row(self, *cells: Piece, style: str = "") -> None:
        """Add a row: a text, or a text and its style, for each column."""
        texts = [line(cell) for cell in cells]
        if any(map(_is_right_to_left, texts)):
            texts = [Text(_LEFT_TO_RIGHT).append_text(text) for text in texts]
        self._table.add_row(*texts, style=style or None)

    @property
    def row_count(self) -> int:
        return self._table.row_count

    def __rich__(self) -> Table:
        return self._table


def terminal_console(*, stderr: bool = False) -> Screen:
    """A console for the terminal. A text that is printed without :func:`line` is at least no markup."""
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)


def plain_console(width: int) -> Screen:
    """A console for a page that is not for a terminal: without colours and of a fixed width."""
    return Console(width=width, force_terminal=False, no_color=True, markup=False, emoji=False, highlight=False)


def plain_rows(width: int, draw: Callable[[Screen], object]) -> list[str]:
    """The rows of a page that is not for a terminal, without blanks at their ends.

    :param draw: prints the page.
    """
    console = plain_console(width)
    with console.capture() as captured:
        draw(console)
    return [row.rstrip() for row in captured.get().split("\n")[:-1]]
