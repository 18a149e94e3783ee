"""A file of a recording of events in; its rows, checked, out. A file may be damaged, or made to do harm."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from schedtel.errors import RecordingError
from schedtel.eventlog.schema import ARROW, EVENTS_VERSION, KINDS, NULLABLE, no_rows
from schedtel.recordings.storage import Place
from schedtel.windows.arrow import from_numpy, to_numpy, valid

if TYPE_CHECKING:
    import pyarrow.parquet as pq

#: A file of ours has some megabytes; one that claims to have more rows than this is not read.
_MOST_ROWS = 1 << 28
_PREFIX = b"schedtel."
#: What the kernel can tell: times of 36 years of uptime, tids (PID_MAX_LIMIT), CPUs (NR_CPUS), numbers of events.
_TIMES, _TIDS, _CPUS, _NUMBERS = 1 << 60, 1 << 22, 8192, 1 << 62
_LIMITS = dict.fromkeys(("time_ns", "from_ns", "to_ns", "start_boottime_ns"), _TIMES)
_LIMITS |= dict.fromkeys(("tid", "tgid", "prev_tid", "parent_tid", "previous_tid"), _TIDS)
_LIMITS |= dict.fromkeys(("cpu", "target_cpu", "source_cpu"), _CPUS)
_LIMITS |= dict.fromkeys(("events", "entity", "parent", "queue", "weight", "slice_ns"), _NUMBERS)


class DamagedPart(Exception):  # noqa: N818  (it says of a part what it is; no caller outside of this package sees it)
    """A file cannot be used; the text says which and why."""


def read_facts(place: Place, name: str) -> dict[str, str]:
    """The metadata of a file of events, without the prefix.

    Raises :class:`DamagedPart`, and :class:`RecordingError` for a recording of another kind or version.
    """
    return _facts(place, _read(place, "events", name).schema)


def read_table(place: Place, table: str, name: str) -> pa.Table:
    """A table of a part; no rows where the part has none, and so no file.

    Raises :class:`DamagedPart`, and :class:`RecordingError` for a recording of another kind or version.
    """
    try:
        stored = _read(place, table, name)
    except FileNotFoundError as error:
        if table == "events":
            raise DamagedPart(f"{place.path(f'{table}/{name}')}: no such file") from error
        return no_rows(table)
    _facts(place, stored.schema)
    return _checked(place.path(f"{table}/{name}"), table, stored.replace_schema_metadata(ARROW[table].metadata))


def _read(place: Place, table: str, name: str) -> pa.Table:
    path = f"{table}/{name}"
    try:
        with place.open(path) as file:
            _need_table(file, table)
            stored = file.read()
        stored.validate(full=True)
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, MemoryError, ValueError) as error:
        cause = (str(error) or type(error).__name__).splitlines()[0].rstrip(".")
        raise DamagedPart(f"{place.path(path)}: {cause}") from error
    return stored


def _need_table(file: pq.ParquetFile, table: str) -> None:
    if not file.schema_arrow.equals(ARROW[table]):
        raise ValueError(f"its columns are not those of {table}")
    if file.metadata.num_rows > _MOST_ROWS:
        raise ValueError(f"it claims to have {file.metadata.num_rows} rows")


def _facts(place: Place, schema: pa.Schema) -> dict[str, str]:
    found = {key.removeprefix(_PREFIX): value for key, value in (schema.metadata or {}).items()}
    facts = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in found.items()}
    version = facts.get("events_version", "")
    if version != str(EVENTS_VERSION):
        raise RecordingError(
            f"cannot read {place}: its events have version {version[:20] or 'none'}, this schedtel has "
            f"{EVENTS_VERSION} (use the schedtel that wrote it)"
        )
    return facts


def _checked(path: str, table: str, stored: pa.Table) -> pa.Table:
    for name in stored.schema.names:
        if stored[name].null_count and name not in NULLABLE[table]:
            raise DamagedPart(f"{path}: {name} is null")
        if name in _LIMITS:
            values = column(stored, name)
            if values.min(initial=0) < 0 or values.max(initial=0) >= _LIMITS[name]:
                raise DamagedPart(f"{path}: {name} is out of range")
    return with_previous(path, stored) if table == "events" else stored


def column(table: pa.Table, name: str) -> np.ndarray:
    """A numeric column of a table as numpy; nulls are 0."""
    return np.concatenate([to_numpy(chunk) for chunk in table[name].chunks] or [np.zeros(0, np.int64)])


def known(table: pa.Table, name: str) -> np.ndarray:
    """Where a column is not null: booleans."""
    return np.concatenate([valid(chunk) for chunk in table[name].chunks] or [np.zeros(0, bool)])


def losses(gaps: pa.Table) -> np.ndarray:
    """The places of the rows of ``gaps`` that tell of lost events of a known CPU."""
    of_events = [cause != "books_full" for cause in gaps["cause"].to_pylist()]
    return np.flatnonzero(known(gaps, "cpu") & np.array(of_events, bool))


def words(table: pa.Table, name: str, vocabulary: tuple[str, ...]) -> np.ndarray:
    """A column of words as places in a vocabulary, -1 where it is null; int8.

    Raises :class:`DamagedPart` for a word that is not in it.
    """
    pieces = [np.zeros(0, np.int8)]
    for chunk in table[name].chunks:
        own = chunk.dictionary.to_pylist()
        if not set(own) <= set(vocabulary):
            raise DamagedPart(f"{name} has unknown words")
        places = np.array([vocabulary.index(word) for word in own] or [-1], np.int8)[to_numpy(chunk.indices)]
        pieces.append(np.where(valid(chunk), places, np.int8(-1)))
    return np.concatenate(pieces)


def with_previous(path: str, stored: pa.Table) -> pa.Table:
    """The events with ``prev_tid`` where the switch before tells it.

    Raises :class:`DamagedPart` where there is none before, and where times of a CPU go back.
    """
    try:
        switches = np.flatnonzero(words(stored, "event", KINDS) == KINDS.index("switch"))
    except DamagedPart as flaw:
        raise DamagedPart(f"{path}: {flaw}") from flaw
    cpus, times = column(stored, "cpu"), column(stored, "time_ns")
    order = np.argsort(cpus, kind="stable")
    same_cpu = np.diff(cpus[order].astype(np.int64)) == 0
    if (np.diff(times[order])[same_cpu] < 0).any():
        raise DamagedPart(f"{path}: times of a CPU go back")
    own = switches[np.argsort(cpus[switches], kind="stable")]
    tids, previous, told = column(stored, "tid"), column(stored, "prev_tid").copy(), known(stored, "prev_tid")
    untold = np.flatnonzero(~told[own])
    if (untold == 0).any() or (cpus[own[untold]] != cpus[own[untold - 1]]).any():
        raise DamagedPart(f"{path}: a switch does not tell which thread leaves")
    previous[own[untold]] = tids[own[untold - 1]]
    is_switch = np.zeros(len(tids), bool)
    is_switch[switches] = True
    place = stored.schema.get_field_index("prev_tid")
    return stored.set_column(place, ARROW["events"].field("prev_tid"), from_numpy(previous.astype(np.int32), is_switch))
