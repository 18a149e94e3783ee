"""Windows in; sums over a whole recording out, by cgroup, command name or process."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import pyarrow as pa

from schedtel.records.histogram import percentile_ns
from schedtel.records.layout import TASK_BUCKETS
from schedtel.windows import tables
from schedtel.windows.arrow import to_numpy, valid
from schedtel.windows.window import Window

GROUPINGS = ("cgroup", "comm", "process")
#: Sums kept for each group, in this order. The longest wait is kept apart, because it is a maximum.
SUMS = ("cpu_ns", "wait_ns", "wakeup_wait_ns", "preempt_wait_ns", "blocked_ns", "involuntary_switches", "bursts")
#: A recording of a build may have a million processes. Above this many groups, the smaller ones are folded into one
#: and half this many are kept.
MOST_GROUPS = 20_000
#: Names of the group of `other` rows, of the folded groups, and of the cgroups whose path is not known. They are longer
#: than a command's name can be (15), and no path.
OTHER, SMALLER, UNKNOWN = "(other: no row of their own)", "(smaller ones, summed)", "(cgroup not known)"
UNKNOWN_PROCESS = "(process not known)"


class Groups:
    """CPU time and waits of each group. ``add`` takes the next window, ``top`` returns the largest groups.

    ``folded`` counts the groups that were folded into one.

    :param by: one of :data:`GROUPINGS`.
    """

    def __init__(self, by: str, most_groups: int = MOST_GROUPS) -> None:
        self.by, self._most, self.folded = by, most_groups, 0
        self._index: dict[Hashable, int] = {}
        self._names: list[str] = []
        self._sums = np.zeros((64, len(SUMS)), np.int64)
        self._longest = np.zeros(64, np.int64)
        self._waits = np.zeros((64, TASK_BUCKETS), np.int64)

    def add(self, window: Window) -> None:
        """Add the rows of one window, each to its group."""
        batch = window.tasks
        if not batch.num_rows:
            return
        rows, starts, keys, names = self._grouped(batch)
        index = np.array([self._at(key, name) for key, name in zip(keys, names, strict=True)])
        columns = np.stack([tables.column(batch, name) for name in SUMS], axis=1)
        # add.at(), because `index` may name a group twice, and `+=` would add only one of the two.
        np.add.at(self._sums, index, np.add.reduceat(columns[rows], starts, axis=0))
        waits = tables.histograms(batch, "wait_histogram").astype(np.int64)
        np.add.at(self._waits, index, np.add.reduceat(waits[rows], starts, axis=0))
        longest = np.maximum.reduceat(tables.column(batch, "max_wait_ns")[rows], starts)
        np.maximum.at(self._longest, index, longest)
        if len(self._names) > self._most:
            self._fold_smaller()

    def _grouped(self, batch: pa.RecordBatch) -> tuple[np.ndarray, np.ndarray, list[Hashable], list[str]]:
        """Rows in the order of their groups, the first position of each group, and the groups' keys and names."""
        other = tables.is_other(batch)
        codes, key_of = _codes(batch, self.by)
        codes = np.where(other, -2, codes)
        rows = np.argsort(codes, kind="stable")
        distinct, starts = np.unique(codes[rows], return_index=True)
        named = [key_of(int(code), int(row)) for code, row in zip(distinct, rows[starts], strict=True)]
        return rows, starts, [key for key, _ in named], [name for _, name in named]

    def _at(self, key: Hashable, name: str) -> int:
        at = self._index.get(key)
        if at is None:
            at = self._index[key] = len(self._names)
            self._names.append(name)
            if at == len(self._sums):
                self._sums, self._longest, self._waits = map(_doubled, (self._sums, self._longest, self._waits))
        return at

    def _fold_smaller(self) -> None:
        """Keep the groups with the most CPU time and wait, half of the maximum; sum the rest into one group."""
        order = np.argsort(-self._sums[: len(self._names), :2].sum(axis=1), kind="stable")
        kept, gone = np.sort(order[: self._most // 2]), order[self._most // 2 :]
        self.folded += len(gone)
        sums, waits, longest = self._sums[gone].sum(axis=0), self._waits[gone].sum(axis=0), self._longest[gone].max()
        keys = {at: key for key, at in self._index.items()}
        names = [self._names[at] for at in kept]
        for array in (self._sums, self._waits, self._longest):
            array[: len(kept)] = array[kept]
            array[len(kept) :] = 0
        self._index, self._names = {keys[at]: new for new, at in enumerate(kept.tolist())}, names
        at = self._at((SMALLER,), SMALLER)
        self._sums[at] += sums
        self._waits[at] += waits
        self._longest[at] = max(self._longest[at], longest)

    def top(self, count: int) -> list[dict[str, Any]]:
        """The groups that are among the ``count`` largest by CPU time, by wait, or by longest wait."""
        n = len(self._names)
        ranked = (self._sums[:n, 0], self._sums[:n, 1], self._longest[:n])
        chosen = {int(at) for values in ranked for at in np.argsort(-values, kind="stable")[:count]}
        return [self._row(at) for at in sorted(chosen, key=lambda at: -int(self._sums[at, 0]))]

    def _row(self, at: int) -> dict[str, Any]:
        longest, waits = int(self._longest[at]), self._waits[at]
        read = {f"wait_p{round(100 * q)}_ns": percentile_ns(waits, q, longest) for q in (0.50, 0.99)}
        sums = dict(zip(SUMS, self._sums[at].tolist(), strict=True))
        return {"name": self._names[at], **sums, "waits": int(waits.sum()), "max_wait_ns": longest, **read}

    def __len__(self) -> int:
        return len(self._names)


def _codes(batch: pa.RecordBatch, by: str) -> tuple[np.ndarray, Callable[[int, int], tuple[Hashable, str]]]:
    """A code for each row's group, and a function of a code and one of its rows that returns the key and the name."""
    comms = batch["comm"]
    if by == "process":

        def process(code: int, row: int) -> tuple[Hashable, str]:
            name = OTHER if code == -2 else UNKNOWN_PROCESS
            return (code, f"{comms[row].as_py()} [{code}]") if code >= 0 else ((name,), name)

        return np.where(valid(batch["tgid"]), tables.column(batch, "tgid").astype(np.int64), -1), process
    labels = batch[by]
    texts = labels.dictionary.to_pylist()

    def label(code: int, _row: int) -> tuple[Hashable, str]:
        if code >= 0:
            return texts[code], texts[code]
        name = OTHER if code == -2 else UNKNOWN
        return (name,), name  # the key is a tuple, so a task that takes this name cannot get into the group

    return np.where(valid(labels), to_numpy(labels.indices).astype(np.int64), -1), label


def _doubled(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array, np.zeros_like(array)])
