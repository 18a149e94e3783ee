"""Windows in; NDJSON, Arrow IPC or plain tables on a stream out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from schedtel.cli.display.choices import Choice
from schedtel.errors import UsageError

if TYPE_CHECKING:
    from schedtel.windows.window import Window

FORMATS = ("table", "ndjson", "arrow")
_EXTENSIONS = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".txt": "table",
}


def format_for(chosen: str | None, output: str | None) -> str:
    """The format asked for, else the one that fits the output file's extension, else ``table``."""
    if chosen or not output:
        return chosen or "table"
    extension = "." + output.rpartition(".")[2]
    if extension not in _EXTENSIONS:
        known = " ".join(_EXTENSIONS)
        raise UsageError(f"cannot tell the format of {output!r} by its extension (give --format, or one of {known})")
    return _EXTENSIONS[extension]


@contextmanager
def opened(output: str | None) -> Iterator[BinaryIO]:
    """The output file, or stdout where there is none or it is ``-``."""
    if output in (None, "-"):
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        file = open(output, "wb")  # noqa: SIM115  (the with below closes it; only opening may fail this way)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror} (choose another file)") from error
    with file:
        yield file


def _nothing() -> None:
    """What there is to do between the parts of a window that come from nowhere live."""


def write_windows(
    windows: Iterable[Window],
    stream: BinaryIO,
    kind: str,
    table: str,
    choice: Choice,
    meanwhile: Callable[[], None] = _nothing,
) -> None:
    """Write every window as it comes, flushed, so that a pipe's reader sees it at once.

    A window of 100,000 tasks takes a third of a second to write: ``meanwhile`` is called again and again in that time.
    """
    if kind == "arrow":
        _write_arrow(windows, stream, table)
        return
    text = _ndjson if kind == "ndjson" else _plain(choice)
    for window in windows:
        for part in text(window):
            stream.write(part)
            meanwhile()
        stream.flush()


def _ndjson(window: Window) -> Iterator[bytes]:
    yield from window.ndjson_parts()
    yield b"\n"


def _write_arrow(windows: Iterable[Window], stream: BinaryIO, table: str) -> None:
    import pyarrow as pa  # noqa: PLC0415  (what is live begins without it)

    from schedtel.windows.schema import ARROW  # noqa: PLC0415  (see above)

    # A sink that pyarrow must not close: it may be stdout.
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=False)
    with pa.ipc.new_stream(pa.PythonFile(_Unclosable(stream), "w"), ARROW[table], options=options) as writer:
        for window in windows:
            writer.write_batch(getattr(window, table))
            stream.flush()


class _Unclosable:
    """A file whose close() leaves it open."""

    closed = False

    def __init__(self, stream: BinaryIO) -> None:
        self.write, self.flush = stream.write, stream.flush

    def close(self) -> None:
        """Belongs to the caller."""


def _plain(choice: Choice) -> Callable[[Window], Iterator[bytes]]:
    from rich.console import Console  # noqa: PLC0415  (2.5 MB that NDJSON does without)

    from schedtel.cli.display.view import View  # noqa: PLC0415  (see above)

    view = View(choice)

    def page(window: Window) -> Iterator[bytes]:
        console = Console(width=140, force_terminal=False, no_color=True, highlight=False, legacy_windows=False)
        view.add(window)
        with console.capture() as capture:
            console.print(view.render())
        text = "\n".join(line.rstrip() for line in capture.get().splitlines())
        yield f"{text}\n\n".encode()

    return page
