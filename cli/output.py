"""Windows in; NDJSON, Arrow IPC or plain-text tables on a stream out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, BinaryIO

from schedtel.access.files import open_to_write
from schedtel.cli.display.choices import Choice
from schedtel.cli.service import discard_output
from schedtel.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from schedtel.windows.window import Window

FORMATS = ("table", "ndjson", "arrow")
#: Formats of rows of features.
ROW_FORMATS = ("ndjson", "arrow", "csv")
#: Formats of the table of lives.
LIFE_FORMATS = (*FORMATS, "csv", "parquet")
_EXTENSIONS = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "ndjson",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".txt": "table",
    ".csv": "csv",
    ".parquet": "parquet",
}


def format_for(chosen: str | None, output: str | None, formats: Sequence[str] = FORMATS) -> str:
    """The format that the user chose, else the one of the output file's extension, else the first of ``formats``.

    Raises :class:`UsageError` when the extension is that of none of them.
    """
    if chosen or not output:
        return chosen or formats[0]
    extension = "." + output.rpartition(".")[2]
    if _EXTENSIONS.get(extension) not in formats:
        known = " ".join(known for known, kind in _EXTENSIONS.items() if kind in formats)
        raise UsageError(f"cannot tell the format of {output!r} by its extension (give --format, or one of {known})")
    return _EXTENSIONS[extension]


class Output:
    """A stream to write to, whose errors say that it is the output that failed.

    Methods raise :class:`UsageError`, and :class:`BrokenPipeError` if the reader of a pipe has gone.
    """

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, part: bytes) -> int:
        try:
            return self._stream.write(part)
        except OSError as error:
            raise self._named(error) from error

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            raise self._named(error) from error

    def close(self) -> None:
        try:
            self._stream.close()
        except OSError as error:
            raise self._named(error) from error

    def _named(self, error: OSError) -> Exception:
        if isinstance(error, BrokenPipeError):
            return error
        if self._stream is sys.stdout.buffer:
            discard_output(sys.stdout)
        return UsageError(f"cannot write {self._name}: {error.strerror or error} (check the disk and the path)")


@contextmanager
def opened(output: str | None) -> Iterator[Output]:
    """The output file, opened for writing; stdout if ``output`` is None or ``-``.

    Raises :class:`UsageError` when the file cannot be opened.
    """
    if output in (None, "-"):
        stdout = Output(sys.stdout.buffer, "the output")
        yield stdout
        stdout.flush()
        return
    try:
        file = open(output, "wb", opener=open_to_write)  # noqa: SIM115  (closing() below closes it)
    except OSError as error:
        raise UsageError(f"cannot write {output}: {error.strerror} (choose another file)") from error
    with closing(Output(file, output)) as stream:
        yield stream


def _nothing() -> None:
    """Nothing has to be done between the parts of a window that is not from this machine."""


def write_windows(
    windows: Iterable[Window],
    stream: Output,
    kind: str,
    table: str,
    choice: Choice,
    meanwhile: Callable[[], None] = _nothing,
) -> None:
    """Write every window when it arrives, and flush, so that the reader of a pipe sees it at once.

    :param kind: one of ``FORMATS``.
    :param table: the table that Arrow IPC contains.
    :param choice: the rows and their order in plain-text tables.
    :param meanwhile: called after each part of a window; a window of 100,000 tasks takes a third of a second to write.
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


def _write_arrow(windows: Iterable[Window], stream: Output, table: str) -> None:
    from schedtel.windows.schema import ARROW  # noqa: PLC0415  (live output starts without pyarrow)

    write_batches((getattr(window, table) for window in windows), stream, ARROW[table])


def write_batches(batches: Iterable[pa.RecordBatch], stream: Output, schema: pa.Schema) -> None:
    """Write batches as an Arrow IPC stream, each when it arrives."""
    import pyarrow as pa  # noqa: PLC0415  (live output starts without pyarrow)

    # pyarrow must not close the sink, which may be stdout.
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=False)
    with pa.ipc.new_stream(pa.PythonFile(_Unclosable(stream), "w"), schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)
            stream.flush()


class _Unclosable:
    """A stream whose ``close()`` does nothing."""

    closed = False

    def __init__(self, stream: Output) -> None:
        self.write, self.flush = stream.write, stream.flush

    def close(self) -> None:
        """Does nothing: the caller closes the stream."""


def _plain(choice: Choice) -> Callable[[Window], Iterator[bytes]]:
    from schedtel.cli.display.cells import plain_rows  # noqa: PLC0415  (rich: 2.5 MB that NDJSON does without)
    from schedtel.cli.display.view import View  # noqa: PLC0415  (see above)

    view = View(choice)

    def page(window: Window) -> Iterator[bytes]:
        view.add(window)
        rows = plain_rows(140, lambda console: console.print(view.render()))
        yield ("\n".join(rows) + "\n\n").encode()

    return page
