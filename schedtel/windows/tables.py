"""Records of the kernel in, Arrow tables out. Vectorised: no Python per row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from schedtel.records import layout
from schedtel.records.histogram import add_spills
from schedtel.records.throttled import Throttled
from schedtel.windows.arrow import bits, fixed_list, from_list, from_numpy, lists_to_numpy, to_numpy, valid
from schedtel.windows.memory import Memory
from schedtel.windows.schema import ARROW, SPARSE, TASK_SUMS

#: Identity of the row that stands for all tasks without one of their own.
OTHER_TID = 0
OTHER_COMM = "other"
_ALL_KNOWN: Mapping[str, np.ndarray] = MappingProxyType({})
#: The preemptor where a task lost its CPU and nobody took it.
NOBODY = "(idle)"


def _fields(record: np.dtype, start: int = 0) -> dict[str, tuple[np.dtype, int]]:
    """Name → dtype and byte offset."""
    found = {name: record.fields[name][:2] for name in record.names or ()}  # type: ignore[index]
    return {name: (kind, start + offset) for name, (kind, offset) in found.items() if name != "padding"}


_BANK = _fields(layout.BANK, _fields(layout.TASK_RECORD)["bank"][1])
_TASK_FIELDS = layout.TASK_RECORD.names or ()
#: A row for several tasks together: a TASK_RECORD but for the width of its histograms.
_OTHER_RECORD = np.dtype([(n, layout.WIDE_BANK if n == "bank" else layout.TASK_RECORD[n]) for n in _TASK_FIELDS])
#: What a record has before its histograms.
_HEAD_WORDS = _BANK[layout.TASK_HISTOGRAMS[0]][1] // 8
#: Where its histograms are, one behind the other, in words of 16 bits.
_HISTOGRAM_WORDS = slice(4 * _HEAD_WORDS, 4 * _HEAD_WORDS + 2 * layout.TASK_BUCKETS)
_HEAD = {
    name: field
    for name, field in (_fields(layout.TASK_RECORD) | _BANK).items()
    if field[1] < 8 * _HEAD_WORDS and name != "bank"
}


#: Records that are turned around together: they fit into the cache, and are fetched once for all columns.
_BLOCK = 512


def _columns(parts: Sequence[np.ndarray], memory: Memory) -> dict[str, np.ndarray]:
    """The fields of an array of TASK_RECORD, and perhaps one of _OTHER_RECORD behind it, n records in all.

    Each is of shape (n,), longer ones of shape (words, n), histograms of shape (n, buckets); words are int64. All but
    the histograms are turned around together: field by field, every column would fetch every record from memory again.
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
    """The two histograms of all rows, in an array of shape (2, n, buckets), which is returned.

    As one plane of 16-bit words, since numpy takes ten times as long where it widens a field of a structured array.
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
    """One FOLDED record, shape (1,), that is the sum of several; max_wait_ns is the largest."""
    total = np.zeros(1, layout.FOLDED)
    for kind, words in _FOLDED_WORDS:
        total.view(kind)[words] = folded.view(kind).reshape(len(folded), -1)[:, words].sum(axis=0)
    total["bank"]["max_wait_ns"] = folded["bank"]["max_wait_ns"].max(initial=0)
    return total


def _runs(*words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where neighbours begin that are equal in all words of shape (n,), and the run that each belongs to.

    Threads of one process come one behind the other.
    """
    begins = np.zeros(len(words[0]), bool)
    for word in words:
        begins[1:] |= word[1:] != word[:-1]
    runs = begins.cumsum()
    begins[:1] = True
    return begins.nonzero()[0], runs


def _distinct(values: list[Any]) -> tuple[list[Any], np.ndarray]:
    """The distinct ones of n values in their order of appearance, and each one's index into them: int32 of shape (n,).

    ``np.unique()`` would do so without Python for each value; but sorting names takes five times as long.
    """
    numbers: dict[Any, int] = {}
    index = [numbers.setdefault(value, len(numbers)) for value in values]
    return list(numbers), np.array(index, np.int32)


def _ended(words: np.ndarray) -> np.ndarray:
    """Texts of shape (n, 2) with zeroes behind their first; the last byte stays, which says what kind a group is.

    Before Linux 5.17, a new name leaves the end of a longer one there (__set_task_comm(), fs/exec.c).
    """
    text = np.ascontiguousarray(words).view(np.uint8).reshape(len(words), 16).copy()
    text[:, :15] *= np.logical_and.accumulate(text[:, :15] != 0, axis=1)
    return text.view(words.dtype)


def _text(words: np.ndarray, runs: np.ndarray) -> pa.Array:
    """16 bytes of text of each run, shape (2, runs), as a dictionary of strings; what is not UTF-8 is escaped."""
    written, index = _distinct(np.ascontiguousarray(words.T).view("S16").reshape(-1).tolist())
    # Behind its end, a text may have that of a longer one: see _ended().
    unique, renumbered = _distinct([name.partition(b"\0")[0] for name in written])
    names = [name.decode(errors="backslashreplace") for name in unique]
    return pa.DictionaryArray.from_arrays(from_numpy(renumbered[index][runs]), from_list(names, pa.string()))


def _cgroup_paths(ids: np.ndarray, runs: np.ndarray, path_of: Callable[[int], str | None]) -> pa.Array:
    """The id of each run, shape (runs,), as a dictionary of paths; 0, the row ``other``, has none."""
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


#: Table → column → numpy dtype of what becomes a column of plain values. Asking the schema costs as much as the column.
_KINDS = {
    table: {f.name: np.dtype(f.type.to_pandas_dtype()) for f in ARROW[table] if pa.types.is_primitive(f.type)}
    for table in ("tasks", "cpus", *SPARSE)
}


def _arrow(columns: dict[str, object], table: str) -> pa.RecordBatch:
    schema, kinds = ARROW[table], _KINDS[table]
    return pa.RecordBatch.from_arrays([_array(columns[name], kinds.get(name)) for name in schema.names], schema=schema)


def _array(values: object, kind: np.dtype | None, known: pa.Buffer | None = None) -> pa.Array:
    if isinstance(values, pa.Array):
        return values
    assert isinstance(values, np.ndarray)
    if kind is None:
        return fixed_list(values)
    return from_numpy(values if values.dtype == kind else values.astype(kind), known)


def tasks_batch(
    window_id: int,
    records: np.ndarray,
    folded: np.ndarray,
    path_of: Callable[[int], str | None],
    unknown: Sequence[str] = (),
    memory: Memory | None = None,
    unknown_rows: Mapping[str, np.ndarray] = _ALL_KNOWN,
) -> pa.RecordBatch:
    """The ``tasks`` table of one window: a row per record, then the row ``other`` if anything was folded.

    :param records: shape (n,) of ``layout.TASK_RECORD``.
    :param folded: shape (m,) of ``layout.FOLDED``.
    :param path_of: cgroup id to path.
    :param unknown: columns that the backend cannot tell: null.
    :param memory: lends most of what the table needs.
    :param unknown_rows: column → which records it cannot tell it of, booleans of shape (n,): null there.
    """
    total = _sum_folded(folded)
    parts = [records, _other_record(total)] if total.view(np.uint8).any() else [records]
    own = np.arange(sum(map(len, parts))) < len(records)
    columns = _columns(parts, memory or Memory())
    found = _task_columns(columns, own, path_of) | _folding(window_id, total, own)
    found |= {name: pa.nulls(len(own), ARROW["tasks"].field(name).type) for name in unknown}
    found |= {name: _without(found[name], name, own, where) for name, where in unknown_rows.items()}
    return _arrow(found, "tasks")


def _without(values: object, name: str, own: np.ndarray, where: np.ndarray) -> pa.Array:
    """A column, null also where it is not known of a record; the row ``other`` stays as it is."""
    array = _array(values, _KINDS["tasks"][name])
    known = valid(array)
    known[: len(where)] &= ~where
    return pa.Array.from_buffers(array.type, len(own), [bits(known), *array.buffers()[1:]])


def _other_record(total: np.ndarray) -> np.ndarray:
    """What was folded, as a record that is nobody's: shape (1,)."""
    other = np.zeros(1, _OTHER_RECORD)
    other["tid"] = other["tgid"] = OTHER_TID
    other["comm"] = OTHER_COMM.encode()
    other["alive_ns"], other["bank"] = total["alive_ns"], total["bank"]
    return other


def _folding(window_id: int, total: np.ndarray, own: np.ndarray) -> dict[str, object]:
    return {
        "window_id": np.full(len(own), window_id),
        "folded_tasks": from_numpy(np.where(own, 0, total["tasks"].astype(np.int64)), ~own),
    }


#: Columns that the row `other` has not, though 0 means something in them.
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


#: Columns that are null where they are 0: not known, or not happened.
_KNOWN_UNLESS_0 = ("previous_tid", "fork_ns", "arrival_ns", "first_cpu_ns", "completion_ns")


def _task_columns(c: dict[str, np.ndarray], own: np.ndarray, path_of: Callable[[int], str | None]) -> dict[str, object]:
    """All columns but the window's number and what was folded. ``own`` is false in the row ``other``."""
    known = {name: bits(c[name] != 0) for name in _KNOWN_UNLESS_0}
    own_bits, kinds = bits(own), _KINDS["tasks"]
    starts, runs = _runs(*c["comm"], c["cgroup_id"])
    return {
        **{name: c[name] for name in ("tid", "tgid", "alive_ns", *_BANK_COUNTS, *layout.TASK_HISTOGRAMS)},
        **{name: _array(c[name], kinds[name], own_bits) for name in _OWN},
        **_times(c["time_ns"]),
        "comm": _text(c["comm"][:, starts], runs),
        "cgroup": _cgroup_paths(c["cgroup_id"][starts], runs, path_of),
        **{name: _array(c[name], kinds[name], bitmap) for name, bitmap in known.items()},
        "tat_ns": from_numpy(c["completion_ns"] - c["arrival_ns"], known["completion_ns"]),
        "rt_ns": from_numpy(c["first_cpu_ns"] - c["arrival_ns"], known["first_cpu_ns"]),
        "exit_code": _exit_codes(c["exit_code"], known["completion_ns"]),
    }


def cpus_batch(window_id: int, cpu_numbers: np.ndarray, banks: np.ndarray) -> pa.RecordBatch:
    """The ``cpus`` table of one window from banks of shape (cpus,) of ``layout.CPU_BANK``."""
    time = banks["time_ns"].astype(np.int64)
    waits = banks["samples"]["histogram"][:, :, :2].sum(axis=(1, 2), dtype=np.uint32)
    columns: dict[str, object] = {
        "window_id": np.full(len(banks), window_id),
        "cpu": cpu_numbers,
        "busy_ns": time[:, [layout.CPU_BUSY, layout.CPU_UNTRACKED, layout.CPU_TEARDOWN]].sum(axis=1),
        "idle_ns": time[:, layout.CPU_IDLE],
        "teardown_ns": time[:, layout.CPU_TEARDOWN],
        "untracked_ns": time[:, layout.CPU_UNTRACKED],
        "switches": banks["switches"],
        "wait_histogram": waits,
    }
    return _arrow(columns, "cpus")


def preemptions_batch(
    window_id: int, entries: np.ndarray, by: str, path_of: Callable[[int], str | None]
) -> pa.RecordBatch:
    """The ``preemptions`` table of one window: a row a pair of groups, added over the CPUs; the longest wait first.

    :param entries: shape (n,) of ``layout.PREEMPTION``.
    :param by: what the groups are, ``cgroup`` or ``comm``.
    :param path_of: cgroup id to path.
    """
    sides = [entries[side]["words"] for side in ("victim", "preemptor")]
    pairs = np.concatenate([_ended(words) for words in sides] if by == "comm" else sides, axis=1)
    distinct, index = np.unique(pairs, axis=0, return_inverse=True)
    wait, longest = (np.zeros(len(distinct), np.int64) for _ in range(2))
    np.add.at(wait, index.reshape(-1), entries["wait_ns"].astype(np.int64))
    np.maximum.at(longest, index.reshape(-1), entries["max_wait_ns"].astype(np.int64))
    counts = np.bincount(index.reshape(-1), entries["count"], len(distinct)).astype(np.int64)
    order = np.argsort(-wait, kind="stable")
    columns: dict[str, object] = {"window_id": np.full(len(order), window_id)}
    columns |= {"count": counts[order], "wait_ns": wait[order], "max_wait_ns": longest[order]}
    for name, words in (("victim", distinct[order, :2]), ("preemptor", distinct[order, 2:])):
        columns[name], columns[f"{name}_cgroup_id"] = _groups_of(words, by, path_of)
    return _arrow(columns, "preemptions")


def _groups_of(words: np.ndarray, by: str, path_of: Callable[[int], str | None]) -> tuple[pa.Array, pa.Array]:
    """Groups of shape (n, 2), words of ``layout.GROUP``: their names as a dictionary of strings, and ids of cgroups."""
    unique, index = np.unique(words, axis=0, return_inverse=True)
    found = [_group_name(group.tobytes(), by, path_of) for group in unique]
    known = np.array([name is not None for name in found], bool)
    names = from_list([name for name in found if name is not None], pa.string())
    places, index = np.cumsum(known) - 1, index.reshape(-1)
    identified = (words[:, 0] != 0) & (by == "cgroup")
    labels = from_numpy(places[index].astype(np.int32), known[index])
    return pa.DictionaryArray.from_arrays(labels, names), from_numpy(words[:, 0].astype(np.int64), identified)


def _group_name(group: bytes, by: str, path_of: Callable[[int], str | None]) -> str | None:
    kind = group[-1]
    if kind != layout.GROUP_NAMED:
        return NOBODY if kind == layout.GROUP_IDLE else OTHER_COMM
    if by == "cgroup":
        return path_of(int.from_bytes(group[:8], "little"))
    return group.partition(b"\0")[0].decode(errors="backslashreplace")


def throttled_batch(window_id: int, throttled: Sequence[Throttled]) -> pa.RecordBatch:
    """The ``throttled`` table of one window: a row a cgroup."""
    counts = {name: np.array([getattr(t, name) for t in throttled], np.int64) for name in _THROTTLED_COUNTS}
    names = from_list([t.cgroup for t in throttled], pa.string())
    places = from_numpy(np.arange(len(throttled), dtype=np.int32))
    labels = pa.DictionaryArray.from_arrays(places, names)
    return _arrow({"window_id": np.full(len(throttled), window_id), "cgroup": labels, **counts}, "throttled")


_THROTTLED_COUNTS = ("throttled_ns", "periods", "throttled_periods")


def empty(table: str) -> pa.RecordBatch:
    """A table without rows."""
    schema = ARROW[table]
    return pa.RecordBatch.from_arrays([pa.nulls(0, field.type) for field in schema], schema=schema)


def column(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """One numeric or boolean column as numpy, shape (rows,); nulls are 0 or false."""
    return to_numpy(batch.column(name))


def is_other(batch: pa.RecordBatch) -> np.ndarray:
    """Which rows of a ``tasks`` batch are the row ``other``: booleans of shape (rows,)."""
    return column(batch, "tid") == OTHER_TID


def group_sums(batch: pa.RecordBatch, codes: np.ndarray, groups: int) -> dict[str, np.ndarray]:
    """Sums of the summable columns and histograms of a ``tasks`` batch within each group, exact in int64.

    :param codes: shape (rows,), each row's group from 0 to groups - 1; every group has a row.
    """
    order = np.argsort(codes, kind="stable")
    starts = np.searchsorted(codes[order], np.arange(groups))
    sums = {name: _reduce(column(batch, name)[order], starts, np.add) for name in TASK_SUMS}
    sums["max_wait_ns"] = _reduce(column(batch, "max_wait_ns")[order], starts, np.maximum)
    for name in layout.TASK_HISTOGRAMS:
        sums[name] = _reduce(histograms(batch, name)[order].astype(np.int64), starts, np.add)
    return sums


def _reduce(values: np.ndarray, starts: np.ndarray, operation: np.ufunc) -> np.ndarray:
    return operation.reduceat(values, starts, axis=0) if len(starts) else values[:0]


def histograms(batch: pa.RecordBatch, name: str) -> np.ndarray:
    """A histogram column as numpy of shape (rows, buckets)."""
    return lists_to_numpy(batch.column(name))


def concatenate(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> pa.RecordBatch:
    """Batches of one schema as one batch."""
    table = pa.Table.from_batches(list(batches), schema=schema).unify_dictionaries().combine_chunks()
    return (
        table.to_batches()[0]
        if table.num_rows
        else pa.RecordBatch.from_arrays([pa.nulls(0, f.type) for f in schema], schema=schema)
    )
