"""A page in; a file or stdout with it, and a line that says so, out."""

from schedtel.cli import lines
from schedtel.cli.output import opened
from schedtel.report import write_page


def deliver(page: str, output: str, told: str = "") -> None:
    """Write a page of HTML where ``-o`` says: to a file that only its owner can read, or to stdout for ``-``.

    :param told: what is on it, in words.

    Raises :class:`UsageError` if it cannot be written.
    """
    if output == "-":
        with opened(output) as stream:
            stream.write(page.encode())
    else:
        write_page(page, output)
    what = f"{told}, " if told else ""
    lines.remark(f"wrote {'stdout' if output == '-' else output}: {what}{len(page.encode()) / 1e6:.2f} MB")
