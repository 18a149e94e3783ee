"""The longest waits of one window in; its table ``waits`` out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from schedtel.foreign_text import text_of
from schedtel.records import layout
from schedtel.windows.arrow import from_list, from_numpy
from schedtel.windows.columns import batch_of
from schedtel.windows.tables import NOBODY

#: Most rows of the table. Of each CPU and kind as many are kept, so that those of the whole machine are among them.
MOST_WAITS = layout.LONGEST_WAITS
#: Kinds of waits, as the table has them.
KINDS = ("wakeup", "preempt")


def waits_batch(window_id: int, waits: np.ndarray) -> pa.RecordBatch:
    """The ``waits`` table of one window: a row for each of the longest waits, the longest first.

    :param waits: shape (WAIT_KINDS, n) of ``layout.WAIT``; an entry of 0 ns is none.
    """
    kinds, places = np.nonzero(waits["wait_ns"])
    found = waits[kinds, places]
    order = np.lexsort((found["tid"], found["since_ns"], -found["wait_ns"].astype(np.int64)))[:MOST_WAITS]
    found, kinds = found[order], kinds[order].astype(np.int32)
    behind, idle = found["behind_tid"], found["behind_tid"] == 0
    names = [NOBODY if none else _name(comm) for none, comm in zip(idle, found["behind_comm"].tolist(), strict=True)]
    columns: dict[str, object] = {
        "window_id": np.full(len(found), window_id),
        "tid": found["tid"],
        "tgid": from_numpy(found["tgid"].astype(np.int32), found["tgid"] < layout.TGID_UNKNOWN),
        "start_boottime_ns": _known(found["start_boottime_ns"]),
        "comm": _labels([_name(comm) for comm in found["comm"].tolist()]),
        "cpu": from_numpy(found["cpu"].astype(np.int32), found["cpu"] != layout.WAIT_CPU_UNKNOWN),
        "kind": pa.DictionaryArray.from_arrays(from_numpy(kinds), from_list(KINDS, pa.string())),
        "wait_start_ns": _known(found["since_ns"]),
        "wait_ns": found["wait_ns"],
        "goes_on": found["goes_on"] != 0,
        "behind_tid": from_numpy(behind.astype(np.int32), behind != layout.WAIT_TID_UNKNOWN),
        "behind_comm": _labels(names, behind != layout.WAIT_TID_UNKNOWN),
    }
    return batch_of(columns, "waits")


def behind_of(row: Mapping[str, Any]) -> str | None:
    """The last on the CPU, by a row of ``waits``: name and tid, or :data:`NOBODY`; None if that is not known."""
    if row["behind_tid"] is None:
        return None
    return f"{row['behind_comm']} {row['behind_tid']}" if row["behind_tid"] else NOBODY


def _name(comm: bytes) -> str:
    # Behind its end, a name may have the end of a longer one: see _padded_names() in tables.py.
    return text_of(comm.partition(b"\0")[0])


def _known(times: np.ndarray) -> pa.Array:
    """Times, null where they are 0."""
    return from_numpy(times.astype(np.int64), times != 0)


def _labels(names: list[str], known: np.ndarray | None = None) -> pa.DictionaryArray:
    distinct = dict.fromkeys(names)
    places = {name: place for place, name in enumerate(distinct)}
    indices = np.array([places[name] for name in names], np.int32)
    return pa.DictionaryArray.from_arrays(from_numpy(indices, known), from_list(list(distinct), pa.string()))
