"""Windows and requests in; Arrow batches and tickets of a Flight stream out, and back.

The stream ``windows`` has one row for each event. The row has the tables of a window as nested Arrow with their
dictionaries, so the unpacked window equals the packed one, bit for bit; a window of more than 1 MiB comes in several
rows, which :mod:`schedtel.flight.assembly` puts together. The streams named after a table, and ``groups``, have one
table each, for any Flight client: labels are plain text, a batch has at most 1 MiB, and JSON in the batch's
``app_metadata`` says which window it is of, and the number of windows missed before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa

from schedtel.errors import StreamError, UsageError
from schedtel.flight.slices import SLICE_BYTES, size_of, slices
from schedtel.foreign_text import utf8
from schedtel.windows.arrow import from_list, from_numpy
from schedtel.windows.schema import ARROW, DEFINITIONS_VERSION
from schedtel.windows.tables import empty
from schedtel.windows.validation import check_name
from schedtel.windows.window import Window

#: Kinds of events: a window; a heartbeat without news; the run is over; the server stops before the run's end.
WINDOW, ALIVE, END, STOP = "window", "alive", "end", "stop"
#: Kind of a row that has a slice of a table of the next window.
PART = "part"
KINDS = (WINDOW, PART, ALIVE, END, STOP)
STREAMS = ("windows", *ARROW, "groups")
#: Longest ticket accepted, in bytes. Ours are short JSON objects.
_LONGEST_TICKET = 1024
_PREFIX = "schedtel."
#: Most facts of a stream, and most characters of each that are kept. There are about ten; a filter may name a path.
_MOST_FACTS, _LONGEST_FACT = 64, 4096

_NESTED = {name: pa.struct(list(schema)) for name, schema in ARROW.items()}
_FIELDS = [
    pa.field("event", pa.string()),
    pa.field("sequence", pa.int64()),
    pa.field("windows_missed", pa.int64()),
    *(pa.field(name, pa.list_(rows)) for name, rows in _NESTED.items()),
]


@dataclass(frozen=True)
class Event:
    """One event of a feed, for a subscriber.

    :param kind: ``window``, ``alive``, ``end`` or ``stop``.
    :param sequence: number of the window among all that this server has published, from 1.
    :param windows_missed: number of windows between the last delivered one and this one; they are not delivered later.
    :param window: the window; None unless ``kind`` is ``window``.
    """

    kind: str
    sequence: int = 0
    windows_missed: int = 0
    window: Window | None = None


@dataclass(frozen=True)
class Request:
    """A subscriber's request: the JSON in a ticket.

    :param stream: one of :data:`STREAMS`.
    :param start: ``now``; or ``history``, to begin with the oldest window that the server keeps.
    :param run, after: continue after this sequence number, if the server is still in that run.
    :param by: the grouping of the stream ``groups``, as in :meth:`schedtel.Window.groups`.
    """

    stream: str = "windows"
    start: str = "now"
    run: str = ""
    after: int = 0
    by: str = "cgroup"

    def ticket(self) -> bytes:
        return json.dumps(asdict(self)).encode()


def parse_request(ticket: bytes) -> Request:
    """The request in a ticket. Raises :class:`UsageError` for a malformed ticket."""
    if len(ticket) > _LONGEST_TICKET:
        raise UsageError(f"cannot read a ticket of {len(ticket)} bytes: the longest has {_LONGEST_TICKET}")
    try:
        fields = json.loads(ticket)
        request = Request(**fields)
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError("cannot read the ticket: it is no JSON object of known fields (see Request)") from error
    _check(request)
    return request


def _check(request: Request) -> None:
    given, expected = ([type(value) for value in asdict(r).values()] for r in (request, Request()))
    if given != expected or request.start not in ("now", "history") or request.after < 0:
        raise UsageError("cannot read the ticket: a field has a value it cannot have (see Request)")
    if request.stream not in STREAMS:
        raise UsageError(f"cannot stream {request.stream[:40]!r}: there are {', '.join(STREAMS)}")


# ---- the stream `windows` ----


def metadata(facts: Mapping[str, str]) -> dict[str, str]:
    """Metadata of a schema, what a reader must know to trust the numbers: the definitions' version and the facts."""
    known = {"definitions_version": str(DEFINITIONS_VERSION), **facts}
    return {_PREFIX + name: value for name, value in known.items()}


def windows_schema(facts: Mapping[str, str]) -> pa.Schema:
    return pa.schema(_FIELDS, metadata=metadata(facts))


def facts_of(schema: pa.Schema) -> dict[str, str]:
    """The facts in the metadata of a stream's schema, without the prefix.

    Raises :class:`StreamError` if the server has other definitions or other columns.
    """
    texts = ((utf8(k), utf8(v)) for k, v in (schema.metadata or {}).items())
    facts = {name.removeprefix(_PREFIX): one_line(value) for name, value in texts if name.startswith(_PREFIX)}
    version = facts.get("definitions_version", "none")
    if version != str(DEFINITIONS_VERSION):
        raise StreamError(
            f"its definitions have version {version}, this schedtel has {DEFINITIONS_VERSION} "
            "(use the same schedtel on both sides)"
        )
    if not schema.equals(pa.schema(_FIELDS)):
        raise StreamError("its columns are not those of this schedtel (use the same schedtel on both sides)")
    if len(facts) > _MOST_FACTS:
        raise StreamError(f"it says {len(facts)} facts of its windows (is it schedtel that serves there?)")
    try:
        check_name("run", facts.get("run"))
    except ValueError as error:
        raise StreamError(f"{error} (is it schedtel that serves there?)") from error
    return facts


def one_line(text: str) -> str:
    """What a server says, in one line of printable characters and no longer than a path may be."""
    words = text[:_LONGEST_FACT]
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def pack(event: Event, schema: pa.Schema) -> list[pa.RecordBatch]:
    """An event as batches of one row: one, or, for a window of more than 1 MiB, several.

    Of several, the last has the event and the window's summary; those before it are of the kind :data:`PART` and have a
    slice of one table each. The tables are not copied.
    """
    window, head = event.window, (event.kind, event.sequence, event.windows_missed)
    if window is None or size_of(window) <= SLICE_BYTES:
        return [_row(head, {} if window is None else {name: getattr(window, name) for name in ARROW}, schema)]
    large = [(name, piece) for name in ARROW if name != "summary" for piece in slices(getattr(window, name))]
    parts = [_row((PART, event.sequence, 0), {name: piece}, schema) for name, piece in large if piece.num_rows]
    return [*parts, _row(head, {"summary": window.summary}, schema)]


def _row(head: tuple[str, int, int], tables: Mapping[str, pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    heads = [from_list([value], kind.type) for value, kind in zip(head, schema, strict=False)]
    nested = [_nest(tables.get(name), schema.field(name).type) for name in ARROW]
    return pa.RecordBatch.from_arrays([*heads, *nested], schema=schema)


def _nest(batch: pa.RecordBatch | None, kind: pa.ListType) -> pa.ListArray:
    """A table as a list array of shape (1,); the list is empty if there is no table."""
    if batch is None:
        return _list(_no_rows(kind.value_type), 0, kind)
    return _list(pa.StructArray.from_arrays(batch.columns, fields=list(kind.value_type)), batch.num_rows, kind)


def _no_rows(kind: pa.StructType) -> pa.StructArray:
    return pa.StructArray.from_arrays([pa.nulls(0, f.type) for f in kind], fields=list(kind))


def _list(values: pa.StructArray, length: int, kind: pa.ListType) -> pa.ListArray:
    return pa.ListArray.from_arrays(from_numpy(np.array([0, length], np.int32)), values, type=kind)


# ---- the streams of one table ----


def table_schema(request: Request, facts: Mapping[str, str]) -> pa.Schema:
    """The schema of the stream of one table, with labels as plain text."""
    schema = plain(_empty_groups(request.by)).schema if request.stream == "groups" else _plain_schema(request.stream)
    return schema.with_metadata(metadata(facts))


def _plain_schema(name: str) -> pa.Schema:
    fields = [f.with_type(pa.string()) if pa.types.is_dictionary(f.type) else f for f in ARROW[name]]
    return pa.schema(fields)


def _empty_groups(by: str) -> pa.RecordBatch:
    return Window(**{name: empty(name) for name in ARROW}).groups(by)


def table_of(window: Window, request: Request) -> pa.RecordBatch:
    """The table of a window that a request names, with labels as plain text."""
    return plain(window.groups(request.by) if request.stream == "groups" else getattr(window, request.stream))


def plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with its dictionaries decoded: Flight for Python sends no dictionaries next to app_metadata."""
    arrays = [a.dictionary_decode() if pa.types.is_dictionary(a.type) else a for a in batch.columns]
    fields = [f.with_type(a.type) for f, a in zip(batch.schema, arrays, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields))


def marker(event: Event, part: int = 1, parts: int = 1) -> bytes:
    """The ``app_metadata`` of a batch.

    ``{"event": "window", "sequence": 7, "windows_missed": 2, "part": 1, "parts": 1}``. The batches of one window have
    the same sequence number; the windows missed before it are counted in the first.
    """
    missed = event.windows_missed if part == 1 else 0
    said = {"event": event.kind, "sequence": event.sequence, "windows_missed": missed, "part": part, "parts": parts}
    return json.dumps(said).encode()
