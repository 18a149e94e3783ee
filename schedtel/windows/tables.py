"""Records of one window in; its Arrow tables out.

The table ``tasks`` is made in :mod:`schedtel.windows.task_table`; :mod:`schedtel.windows.columns` reads columns back.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa

from schedtel.foreign_text import text_of
from schedtel.records import layout
from schedtel.records.throttled import Throttled
from schedtel.windows.arrow import from_list, from_numpy
from schedtel.windows.columns import (
    OTHER_COMM,
    OTHER_TID,
    batch_of,
    column,
    concatenate,
    empty,
    group_sums,
    histograms,
    is_other,
)
from schedtel.windows.schema import ARROW
from schedtel.windows.task_table import tasks_batch

__all__ = [
    "NOBODY",
    "OTHER_COMM",
    "OTHER_TID",
    "column",
    "concatenate",
    "cpus_batch",
    "empty",
    "group_sums",
    "histograms",
    "is_other",
    "machine_batch",
    "preemptions_batch",
    "tasks_batch",
    "throttled_batch",
]

#: Name of the preemptor where a task lost its CPU and the CPU went idle.
NOBODY = "(idle)"
_THROTTLED_COUNTS = ("throttled_ns", "periods", "throttled_periods")


def cpus_batch(window_id: int, cpu_numbers: np.ndarray, banks: np.ndarray) -> pa.RecordBatch:
    """The ``cpus`` table of one window.

    :param cpu_numbers: shape (cpus,).
    :param banks: shape (cpus,) of ``layout.CPU_BANK``.
    """
    time = banks["time_ns"].astype(np.int64)
    waits = banks["samples"]["histogram"][:, :, :2].sum(axis=(1, 2), dtype=np.uint32)
    columns: dict[str, object] = {
        "window_id": np.full(len(banks), window_id),
        "cpu": cpu_numbers,
        "busy_ns": time[:, [layout.CPU_BUSY, layout.CPU_UNTRACKED, layout.CPU_TEARDOWN]].sum(axis=1),
        "idle_ns": time[:, layout.CPU_IDLE],
        "teardown_ns": time[:, layout.CPU_TEARDOWN],
        "untracked_ns": time[:, layout.CPU_UNTRACKED],
        "offline_ns": time[:, layout.CPU_OFFLINE],
        "switches": banks["switches"],
        "wait_histogram": waits,
    }
    return batch_of(columns, "cpus")


def preemptions_batch(
    window_id: int, entries: np.ndarray, by: str, path_of: Callable[[int], str | None]
) -> pa.RecordBatch:
    """The ``preemptions`` table of one window: a row for each pair of groups, summed over the CPUs.

    The pair with the most wait comes first.

    :param entries: shape (n,) of ``layout.PREEMPTION``.
    :param by: what the groups are, ``cgroup`` or ``comm``.
    :param path_of: cgroup id to path; None where the path is not known.
    """
    if not len(entries):  # as in each window of a tracing that does not ask for them
        return empty("preemptions")
    sides = [entries[side]["words"] for side in ("victim", "preemptor")]
    pairs = np.concatenate([_padded_names(words) for words in sides] if by == "comm" else sides, axis=1)
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
    return batch_of(columns, "preemptions")


def _padded_names(words: np.ndarray) -> np.ndarray:
    """Names of groups, shape (n, 2), with zeroes from a name's first zero on; the last byte, the group's kind, stays.

    Before Linux 5.17, a new name leaves the end of a longer one there (__set_task_comm(), fs/exec.c).
    """
    text = np.ascontiguousarray(words).view(np.uint8).reshape(len(words), 16).copy()
    text[:, :15] *= np.logical_and.accumulate(text[:, :15] != 0, axis=1)
    return text.view(words.dtype)


def _groups_of(words: np.ndarray, by: str, path_of: Callable[[int], str | None]) -> tuple[pa.Array, pa.Array]:
    """Groups of shape (n, 2), words of ``layout.GROUP``: their names as a dictionary of strings, and ids of cgroups."""
    unique, index = np.unique(words, axis=0, return_inverse=True)
    name_of_group = [_group_name(group.tobytes(), by, path_of) for group in unique]
    known = np.array([name is not None for name in name_of_group], bool)
    names = from_list([name for name in name_of_group if name is not None], pa.string())
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
    name = text_of(group.partition(b"\0")[0])
    # A task may take the name of a group that is no command. A backslash before its name tells the two apart.
    return f"\\{name}" if name.lstrip("\\") in (NOBODY, OTHER_COMM) else name


def machine_batch(window_id: int, machine: Mapping[str, object] | None) -> pa.RecordBatch:
    """The ``machine`` table of one window: one row, or none if there are no readings of the machine.

    :param machine: the columns without ``window_id``, name to value; None in a column is null.
    """
    if machine is None:
        return empty("machine")
    row = {"window_id": window_id, **machine}
    return pa.RecordBatch.from_arrays(
        [from_list([row[field.name]], field.type) for field in ARROW["machine"]], schema=ARROW["machine"]
    )


def throttled_batch(window_id: int, throttled: Sequence[Throttled]) -> pa.RecordBatch:
    """The ``throttled`` table of one window: a row for each cgroup."""
    counts = {name: np.array([getattr(t, name) for t in throttled], np.int64) for name in _THROTTLED_COUNTS}
    names = from_list([t.cgroup for t in throttled], pa.string())
    places = from_numpy(np.arange(len(throttled), dtype=np.int32))
    labels = pa.DictionaryArray.from_arrays(places, names)
    return batch_of({"window_id": np.full(len(throttled), window_id), "cgroup": labels, **counts}, "throttled")
