"""The file of a trace in; its text in chunks of whole lines out, or the reason why it is no trace.

A file may be anything: binary, without lines, without end. It is refused while little of it has been read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import BinaryIO

from schedtel.errors import RecordingError
from schedtel.traces.form import complaint
from schedtel.traces.text import detect

_CHUNK_BYTES = 1 << 20
#: No tracer prints a longer line.
_LONGEST_LINE = 1 << 20
#: The first event stands in so much of the text, behind a header.
_MOST_HEAD = 2 << 20
#: Magic number of a file that is not text → its format, and what to do.
_BINARY_FORMATS = {
    b"PERFILE2": "perf's own format (give its text: perf script --ns -i FILE)",
    b"\x17\x08Dtracing": "trace-cmd's own format (give its text: trace-cmd report -t FILE)",
}


class TraceFile:
    """The text of a trace: a path, ``-`` for standard input, or an open binary stream.

    :param form: ``perf``, ``ftrace``, or ``auto``; afterwards ``form`` is one of the first two.

    Raises :class:`RecordingError` if it cannot be read, or is no trace.
    """

    def __init__(self, trace: str | os.PathLike[str] | BinaryIO, form: str) -> None:
        self.name, self._file, self.bytes_read = _name_of(trace), _opened(trace), 0
        try:
            self._head, found = self._read_head()
            self.form = self._checked(form, found)
        except RecordingError:
            if self._file is not trace:  # opened here, and the caller has no object to close
                self.close()
            raise

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size) or b""
        except OSError as error:
            raise RecordingError(f"cannot import {self.name}: {error.strerror} (check the file)") from error

    def _read_head(self) -> tuple[bytes, str | None]:
        """The text up to a chunk with an event, and in which format that is; else as much as should have had one."""
        head = chunk = self._read(_CHUNK_BYTES)
        found = detect(chunk)
        while not found and b"\n" in chunk and len(head) < _MOST_HEAD:
            chunk = self._read(_CHUNK_BYTES)
            head += chunk
            found = detect(chunk)
        return head, found

    def _checked(self, form: str, found: str | None) -> str:
        """The format that was found, if it is the one that the user has named, and if all of the head can be read."""
        binary = next((words for magic, words in _BINARY_FORMATS.items() if self._head.startswith(magic)), None)
        if binary:
            raise RecordingError(f"cannot import {self.name}: it is in {binary}")
        lines = self._head[: self._head.rfind(b"\n") + 1] or self._head
        if found and form not in ("auto", found):
            raise RecordingError(f"cannot import {self.name}: it is text of {found} (leave out --format {form})")
        wrong = complaint(lines, found)
        if wrong:
            raise RecordingError(f"cannot import {self.name}: {wrong}")
        if found is None:
            raise RecordingError(
                f"cannot import {self.name}: no line is an event as perf or ftrace print it "
                "(give the text of `perf script --ns`, `trace-cmd report -t` or ftrace's file trace)"
            )
        return found

    def __iter__(self) -> Iterator[bytes]:
        """Yield the text in chunks, cut at the ends of lines. Raises :class:`RecordingError` for a line without end."""
        rest, chunk, self._head = b"", self._head, b""
        while chunk:
            self.bytes_read += len(chunk)
            text = rest + chunk
            end = text.rfind(b"\n") + 1
            if len(text) - end > _LONGEST_LINE:
                raise RecordingError(
                    f"cannot import {self.name}: a line is longer than {_LONGEST_LINE >> 20} MiB (is it text?)"
                )
            if end:
                yield text[:end]
            rest = text[end:]
            chunk = self._read(_CHUNK_BYTES)
        if rest:
            yield rest

    @property
    def progress(self) -> float | None:
        """Part of the text that has been read, from 0 to 1; None if its length is not known."""
        try:
            size = os.fstat(self._file.fileno()).st_size
        except OSError:  # a stream without a file descriptor
            return None
        return min(1.0, self.bytes_read / size) if size else None

    def close(self) -> None:
        """Close the file, unless it is standard input."""
        if self._file is not sys.stdin.buffer:
            self._file.close()


def _name_of(trace: str | os.PathLike[str] | BinaryIO) -> str:
    if isinstance(trace, str | os.PathLike):
        return "standard input" if os.fspath(trace) == "-" else os.fspath(trace)
    return str(getattr(trace, "name", "a stream"))


def _opened(trace: str | os.PathLike[str] | BinaryIO) -> BinaryIO:
    if not isinstance(trace, str | os.PathLike):
        return trace
    if os.fspath(trace) == "-":
        return sys.stdin.buffer
    try:
        return open(trace, "rb")
    except OSError as error:
        raise RecordingError(f"cannot import {os.fspath(trace)}: {error.strerror} (name a text file, or -)") from error
