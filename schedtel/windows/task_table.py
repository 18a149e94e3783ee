"""Task records of one window in; its table ``tasks`` out. Vectorised: no Python code runs per row."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from schedtel.foreign_text import text_of
from schedtel.records import layout
from schedtel.records.histogram import add_spills
from schedtel.windows.arrow import bits, from_list, from_numpy, valid
from schedtel.windows.columns import KINDS, OTHER_COMM, OTHER_TID, array_of, batch_of
from schedtel.windows.memory import Memory
from schedtel.windows.schema import ARROW

_ALL_KNOWN: Mapping[str, np.ndarray] = MappingProxyType({})


def _fields(record: np.dtype, start: int = 0) -> dict[str, tuple[np.dtype, int]]:
    """Name → dtype and byte offset."""
    fields = {name: record.fields[name][:2] for name in record.names or ()}  # type: ignore[index]
    return {name: (kind, start + offset) for name, (kind, offset) in fields.items() if name != "padding"}


_BANK = _fields(layout.BANK, _fields(layout.TASK_RECORD)["bank"][1])
_TASK_FIELDS = layout.TASK_RECORD.names or ()
#: The row ``other``: a TASK_RECORD with histograms wide enough for the sums of several tasks.
_OTHER_RECORD = np.dtype([(n, layout.WIDE_BANK if n == "bank" else layout.TASK_RECORD[n]) for n in _TASK_FIELDS])
#: Length of a record's part before its histograms, in words of 64 bits.
_HEAD_WORDS = _BANK[layout.TASK_HISTOGRAMS[0]][1] // 8
#: Where a record's histograms are, one behind the other, in words of 16 bits.
_HISTOGRAM_WORDS = slice(4 * _HEAD_WORDS, 4 * _HEAD_WORDS + 2 * layout.TASK_BUCKETS)
_HEAD = {
    name: field
    for name, field in (_fields(layout.TASK_RECORD) | _BANK).items()
    if field[1] < 8 * _HEAD_WORDS and name != "bank"
}


#: Number of records that are transposed together: they fit into the cache, and are fetched once for all columns.
_BLOCK = 512


def _columns(parts: Sequence[np.ndarray], memory: Memory) -> dict[str, np.ndarray]:
    """The fields of all n records as columns.

    A column is of shape (n,), one of longer values of shape (words, n), a histogram of shape (n, buckets); words are
    int64. All fields but the histograms are transposed together, block by block: field by field, every column would
    fetch every record from memory again.

    :param parts: an array of TASK_RECORD, and, if there is a row ``other``, an array of _OTHER_RECORD behind it.
    """
    count, place = sum(map(len, parts)), 0
    words = memory.empty((_HEAD_WORDS, count), np.int64)
    for block in (part[start : start + _BLOCK] for part in parts for start in range(0, len(part), _BLOCK)):
        words[:, place : place + len(block)] = _words(block)[:, :_HEAD_WORDS].T
        place += len(block)
    columns = {name: _column(words, kind, offset) for name, (kind, offset) in _HEAD.items()}
    wide = memory.empty((len(layout.TASK_HISTOGRAMS), count, layout.TASK_BUCKETS), np.uint32)
    return columns | dict(zip(layout.TASK_HISTOGRAMS, _histograms(wide, *parts), strict=True))


def _histograms(out: np.ndarray, records: np.ndarray, *other: np.ndarray) -> np.ndarray:
    """Fill ``out``, of shape (2, n, buckets), with the two histograms of all rows, and return it.

    They are copied as one plane of 16-bit words, because numpy takes ten times as long to widen a field of a
    structured array.
    """
    words = _words(records).view(np.uint16)[:, _HISTOGRAM_WORDS].reshape(len(records), 2, layout.TASK_BUCKETS)
    out[:, : len(records)] = words.transpose(1, 0, 2)
    add_spills(records["bank"], *out)
    for part in other:
        out[:, len(records) :] = [part["bank"][name] for name in layout.TASK_HISTOGRAMS]
    return out


def _words(records: np.ndarray) -> np.ndarray:
    """Records as 8-byte words: shape (n, words)."""
    return np.ascontiguousarray(records).view(np.int64).reshape(len(records), records.itemsize // 8)


def _column(words: np.ndarray, kind: np.dtype, offset: int) -> np.ndarray:
    first, rest = divmod(offset, 8)
    if kind.itemsize > 8:
        return words[first : first + kind.itemsize // 8]
    return words[first] if kind.itemsize == 8 else words[first].view(kind)[rest // kind.itemsize :: 8 // kind.itemsize]


def _times(time: np.ndarray) -> dict[str, np.ndarray]:
    """Columns that are times of phases, from ``time_ns`` of shape (phases, n): each of shape (n,)."""
    wakeup, preempt, iowait = time[layout.WAKEUP_WAIT], time[layout.PREEMPT_WAIT], time[layout.IOWAIT]
    return {
        "cpu_ns": time[layout.RUNNING],
        "wait_ns": wakeup + preempt,
        "wakeup_wait_ns": wakeup,
        "preempt_wait_ns": preempt,
        "blocked_ns": time[layout.BLOCKED] + iowait,
        "iowait_ns": iowait,
    }


_BANK_COUNTS = (
    "burst_tat_sum_ns",
    "max_wait_ns",
    "voluntary_switches",
    "involuntary_switches",
    "wakeups",
    "migrations",
    "bursts",
    "waits_unfinished",
    "bursts_unfinished",
)


#: A FOLDED record is 64-bit words up to its first 32-bit field, and 32-bit words from there on.
_FOLDED_HALF = layout.FOLDED.fields["bank"][1] + layout.WIDE_BANK.fields["voluntary_switches"][1]  # type: ignore[index]
_FOLDED_WORDS = ((np.uint64, slice(_FOLDED_HALF // 8)), (np.uint32, slice(_FOLDED_HALF // 4, None)))


def _sum_folded(folded: np.ndarray) -> np.ndarray:
    """One FOLDED record, shape (1,), that is the sum of several; max_wait_ns and open_wait_ns are the largest."""
    total = np.zeros(1, layout.FOLDED)
    for kind, words in _FOLDED_WORDS:
        total.view(kind)[words] = folded.view(kind).reshape(len(folded), -1)[:, words].sum(axis=0)
    total["bank"]["max_wait_ns"] = folded["bank"]["max_wait_ns"].max(initial=0)
    total["open_wait_ns"] = folded["open_wait_ns"].max(initial=0)
    return total


def _runs(*words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The runs of rows that are equal in all words of shape (n,): where each begins, and the run of each row.

    Equal rows are neighbours, because the threads of a process come one behind the other.
    """
    begins = np.zeros(len(words[0]), bool)
    for word in words:
        begins[1:] |= word[1:] != word[:-1]
    runs = begins.cumsum()
    begins[:1] = True
    return begins.nonzero()[0], runs


def _distinct(values: list[Any]) -> tuple[list[Any], np.ndarray]:
    """The distinct ones of n values in their order of appearance, and each value's index into them: int32, shape (n,).

    ``np.unique()`` would need no Python code for each value, but it sorts, and sorting names takes five times as long.
    """
    numbers: dict[Any, int] = {}
    index = [numbers.setdefault(value, len(numbers)) for value in values]
    return list(numbers), np.array(index, np.int32)


def _text(words: np.ndarray, runs: np.ndarray) -> pa.Array:
    """16 bytes of text of each run, shape (2, runs), as a dictionary of strings; bytes outside UTF-8 are escaped."""
    raw, index = _distinct(np.ascontiguousarray(words.T).view("S16").reshape(-1).tolist())
    # Behind its end, a name may have the end of a longer one: see _padded_names() in tables.py.
    unique, renumbered = _distinct([name.partition(b"\0")[0] for name in raw])
    names = [text_of(name) for name in unique]
    return pa.DictionaryArray.from_arrays(from_numpy(renumbered[index][runs]), from_list(names, pa.string()))


def _cgroup_paths(ids: np.ndarray, runs: np.ndarray, path_of: Callable[[int], str | None]) -> pa.Array:
    """The id of each run, shape (runs,), as a dictionary of paths; id 0, that of the row ``other``, becomes null."""
    unique, index = _distinct(ids.tolist())
    paths = [path_of(identity) if identity else None for identity in unique]
    known = np.array([path is not None for path in paths], bool)
    renumbered = np.cumsum(known) - 1
    names = from_list([path for path in paths if path is not None], pa.string())
    index = index[runs]
    return pa.DictionaryArray.from_arrays(from_numpy(renumbered[index].astype(np.int32), known[index]), names)


def _exit_codes(status: np.ndarray, completed: pa.Buffer) -> pa.Array:
    """wait(2) statuses as exit codes: 0 to 255, or minus the signal."""
    signal = status & 0x7F
    return from_numpy(np.where(signal > 0, -signal, (status >> 8) & 0xFF).astype(np.int32), completed)


def tasks_batch(
    window_id: int,
    records: np.ndarray,
    folded: np.ndarray,
    path_of: Callable[[int], str | None],
    unknown: Sequence[str] = (),
    memory: Memory | None = None,
    unknown_rows: Mapping[str, np.ndarray] = _ALL_KNOWN,
) -> pa.RecordBatch:
    """The ``tasks`` table of one window: a row per record, then the row ``other`` if any task was folded.

    :param records: shape (n,) of ``layout.TASK_RECORD``.
    :param folded: shape (m,) of ``layout.FOLDED``.
    :param path_of: cgroup id to path; None where the path is not known.
    :param unknown: columns that the backend cannot tell: null.
    :param memory: lends most of the memory that the table needs.
    :param unknown_rows: column → booleans of shape (n,), true for the records of which the backend cannot tell it:
        null there.
    """
    total = _sum_folded(folded)
    parts = [records, _other_record(total)] if total.view(np.uint8).any() else [records]
    own = np.arange(sum(map(len, parts))) < len(records)
    by_field = _columns(parts, memory or Memory())
    columns = _task_columns(by_field, own, path_of) | _folding(window_id, total, own)
    columns |= {name: pa.nulls(len(own), ARROW["tasks"].field(name).type) for name in unknown}
    columns |= {name: _without(columns[name], name, own, where) for name, where in unknown_rows.items()}
    return batch_of(columns, "tasks")


def _without(values: object, name: str, own: np.ndarray, where: np.ndarray) -> pa.Array:
    """A column, made null in the records of ``where`` too; the row ``other`` stays as it is."""
    array = array_of(values, KINDS["tasks"][name])
    known = valid(array)
    known[: len(where)] &= ~where
    return pa.Array.from_buffers(array.type, len(own), [bits(known), *array.buffers()[1:]])


def _other_record(total: np.ndarray) -> np.ndarray:
    """The sum of the folded tasks as the record of the row ``other``: shape (1,)."""
    other = np.zeros(1, _OTHER_RECORD)
    other["tid"] = other["tgid"] = OTHER_TID
    other["comm"] = OTHER_COMM.encode()
    for name in ("alive_ns", "open_wait_ns", "bank"):
        other[name] = total[name]
    return other


def _folding(window_id: int, total: np.ndarray, own: np.ndarray) -> dict[str, object]:
    return {
        "window_id": np.full(len(own), window_id),
        "folded_tasks": from_numpy(np.where(own, 0, total["tasks"].astype(np.int64)), ~own),
    }


#: Columns that are null in the row `other`, because a 0 there would mean something.
_OWN = (
    "start_boottime_ns",
    "cgroup_id",
    "uid",
    "nice",
    "policy",
    "weight",
    "kernel_thread",
    "left_censored",
    "total_cpu_ns",
)


_UNKNOWN = layout.OPEN_WAIT_UNKNOWN.astype(np.int64)

#: Columns that are null where they are 0: not known, or not happened.
_KNOWN_UNLESS_0 = ("previous_tid", "fork_ns", "arrival_ns", "first_cpu_ns", "completion_ns")


def _task_columns(c: dict[str, np.ndarray], own: np.ndarray, path_of: Callable[[int], str | None]) -> dict[str, object]:
    """All columns but those of :func:`_folding`. ``own`` is false in the row ``other``."""
    known = {name: bits(c[name] != 0) for name in _KNOWN_UNLESS_0}
    known["open_wait_ns"] = bits(c["open_wait_ns"] != _UNKNOWN)
    own_bits, kinds = bits(own), KINDS["tasks"]
    starts, runs = _runs(*c["comm"], c["cgroup_id"])
    return {
        **{name: c[name] for name in ("tid", "tgid", "alive_ns", *_BANK_COUNTS, *layout.TASK_HISTOGRAMS)},
        **{name: array_of(c[name], kinds[name], own_bits) for name in _OWN},
        **_times(c["time_ns"]),
        "comm": _text(c["comm"][:, starts], runs),
        "cgroup": _cgroup_paths(c["cgroup_id"][starts], runs, path_of),
        **{name: array_of(c[name], kinds[name], bitmap) for name, bitmap in known.items()},
        "tat_ns": from_numpy(c["completion_ns"] - c["arrival_ns"], known["completion_ns"]),
        "rt_ns": from_numpy(c["first_cpu_ns"] - c["arrival_ns"], known["first_cpu_ns"]),
        "exit_code": _exit_codes(c["exit_code"], known["completion_ns"]),
    }
