"""Runs in; a directory of Parquet files with a card out, and the same runs back, by the part of the split they are in.

    DIR/card.json
    DIR/WORKLOAD/part-000001.parquet    the first run of a workload, and so on

Runs are the unit of the split: the first ones of each workload are to learn from, the last ones to test on, and nothing
of a run is on both sides. A run's digest (SHA-256 of its file) is its name wherever it matters which run it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from schedtel._version import __version__
from schedtel.access.files import read_with_mode, write_whole
from schedtel.errors import RecordingError, UsageError
from schedtel.foreign_text import text_of_path
from schedtel.oracle.runs import RUN_VERSION, Run, from_parquet, to_parquet
from schedtel.recordings.storage import place_of

CARD = "card.json"
DATASET_VERSION = 1
#: Of a workload's runs so many percent are to learn from, rounded up; at least one run is to test on.
_TRAINING_PERCENT = 60
_MOST_RUNS, _MOST_FILE_BYTES = 4096, 256 << 20
_COLUMNS = {
    "time_ns": "when it happened, in nanoseconds since the first event of the run",
    "cpu": "the CPU on which it happened; of a gap -1: any",
    "event": "switch, wakeup, wakeup_new, migrate; gap: events of this CPU are missing right before",
    "role": "the task that comes in, is woken or moved, as NAME#RANK within the run; idle: the idle task",
    "prio": "the kernel's priority of it: 120 + nice, below 100 real time, -1 deadline",
    "previous_role": "of a switch: the task that leaves",
    "left": "of a switch: whether that one blocked, gives way or was preempted",
    "target_cpu": "of a wakeup or migration: the CPU of the queue; null where the source does not tell it",
}


@dataclass(frozen=True)
class Entry:
    """A run as the card has it: its workload, number, file, digest, and whether it is to be learned from."""

    workload: str
    number: int
    file: str
    digest: str
    is_for_training: bool


class DatasetWriter:
    """Writes a dataset: :meth:`add` for each run, then :meth:`finish`, which writes all of them.

    Raises :class:`RecordingError` if the directory is not empty or cannot be written.
    """

    def __init__(self, where: str | os.PathLike[str]) -> None:
        self.where = os.fspath(where)
        if "://" in self.where:
            raise UsageError(f"cannot write a dataset to {self.where}: it is a URI (name a directory)")
        self._place = place_of(where)
        self._place.prepare()
        if not self._place.is_empty():
            raise RecordingError(f"cannot write a dataset to {self.where}: it is not empty (choose another directory)")
        self._runs: list[dict[str, Any]] = []
        self._contents: list[pa.Buffer] = []
        #: What each run was, so that nothing comes twice, and thus on both sides of the split.
        self._seen: dict[bytes, str] = {}
        self.bytes_written = 0

    def add(self, run: Run) -> None:
        """Take a run. Raises :class:`UsageError` for one that was added before, or whose workload is no name."""
        need_name(run.workload)
        same = self._seen.setdefault(hashlib.sha256(run.events.tobytes()).digest(), run.name)
        if same != run.name:
            raise UsageError(f"cannot use {run.name}: it is the same run as {same} (name each recording once)")
        content = to_parquet(run)
        self._contents.append(content)
        self._runs.append(
            {
                "workload": run.workload,
                "run": run.number,
                "file": f"{run.workload}/part-{run.number:06d}.parquet",
                "sha256": hashlib.sha256(content).hexdigest(),
                "switches": run.switches,
                "events": len(run.events),
                "roles": len(run.roles),
                "others": round(run.others, 3),
                **{name: run.facts[name] for name in sorted(run.facts)},
            }
        )

    def finish(self, facts: dict[str, Any]) -> None:
        """Write the runs, and then the card, which makes it a dataset.

        :param facts: what else the card is to tell.
        """
        for entry, is_for_training in zip(self._runs, split([one["workload"] for one in self._runs]), strict=True):
            entry["split"] = "train" if is_for_training else "test"
        for entry, content in zip(self._runs, self._contents, strict=True):
            self.bytes_written += self._place.write(entry["file"], content)
        card = {
            "dataset": "schedtel.oracle",
            "version": DATASET_VERSION,
            "run_version": RUN_VERSION,
            "schedtel": __version__,
            **_machine(),
            "licence": "that of schedtel (Apache-2.0), where nothing else is told",
            **facts,
            "columns": _COLUMNS,
            "splits": "by runs, within each workload: the first ones to learn from, the others to test on",
            "runs": self._runs,
        }
        try:
            write_whole(os.path.join(self.where, CARD), (json.dumps(card, indent=1) + "\n").encode())
        except OSError as error:
            raise RecordingError(f"cannot write {self.where}/{CARD}: {error.strerror} (free space)") from error

    def withdraw(self) -> None:
        """Remove the directory if it was made here and nothing is in it."""
        self._place.withdraw()


def need_name(workload: str) -> None:
    """Raise :class:`UsageError` for a workload's name that is none for a folder."""
    if not workload.replace("-", "").replace("_", "").isalnum() or not workload.isascii() or len(workload) > 40:
        raise UsageError(f"cannot name a workload {workload[:60]!r}: only letters, digits, - and _ (at most 40)")


def split(workloads: list[str]) -> list[bool]:
    """Whether each run is to be learned from.

    :param workloads: that of each run.
    """
    numbers = {name: workloads.count(name) for name in set(workloads)}
    found, seen = [], dict.fromkeys(numbers, 0)
    for name in workloads:
        most = min(numbers[name] - 1, -(-_TRAINING_PERCENT * numbers[name] // 100))
        found.append(seen[name] < most)
        seen[name] += 1
    return found


def _machine() -> dict[str, Any]:
    return {"kernel": text_of_path(platform.release()), "machine": platform.machine(), "cpus": os.cpu_count()}


class Dataset:
    """A dataset that was written. ``card`` is its card, ``entries`` its runs.

    Raises :class:`UsageError` or :class:`RecordingError` if there is none, or its card is damaged.
    """

    def __init__(self, where: str | os.PathLike[str]) -> None:
        self.where = os.fspath(where)
        path = os.path.join(self.where, CARD)
        if not os.path.exists(path):
            raise RecordingError(
                f"cannot read {self.where}: it is no dataset, since it has no {CARD} (name one of "
                "`schedtel oracle dataset`)"
            )
        content = read_with_mode(path, "card", 4 << 20)[0]
        try:
            self.card: dict[str, Any] = json.loads(content)
            version = int(self.card["version"]) if self.card["dataset"] == "schedtel.oracle" else 0
            self.entries = tuple(map(_entry, self.card["runs"])) if version == DATASET_VERSION else ()
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise RecordingError(f"cannot read {path}: it is no card of a dataset (make the dataset again)") from error
        if version != DATASET_VERSION:
            raise RecordingError(
                f"cannot read {path}: its version is {version or 'none'}, this schedtel's {DATASET_VERSION} "
                "(make the dataset again)"
            )
        if not self.entries or len(self.entries) > _MOST_RUNS:
            raise RecordingError(f"cannot read {path}: it names no runs, or too many (make the dataset again)")

    @property
    def workloads(self) -> tuple[str, ...]:
        """The workloads, in the order of the card."""
        return tuple(dict.fromkeys(entry.workload for entry in self.entries))

    def read(self, entry: Entry) -> Run:
        """A run. Raises :class:`RecordingError` if its file is missing, damaged, or not the one of the card."""
        path = os.path.join(self.where, entry.file)
        content = read_with_mode(path, "run", _MOST_FILE_BYTES)[0]
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry.digest:
            raise RecordingError(f"cannot read {path}: it is not the file that the card names (make the dataset again)")
        run = from_parquet(content, path, digest)
        if (run.workload, run.number) != (entry.workload, entry.number):
            raise RecordingError(f"cannot read {path}: it is another run's (make the dataset again)")
        return run

    def runs(self, *, is_for_training: bool) -> Iterator[Run]:
        """The runs of one side of the split."""
        yield from (self.read(entry) for entry in self.entries if entry.is_for_training == is_for_training)

    @property
    def machine(self) -> dict[str, Any]:
        """What the card says of the machine: its kernel, processor and CPUs."""
        return {name: self.card[name] for name in _machine() if name in self.card}

    def runs_of(self, workload: str) -> list[Run]:
        """All runs of a workload. Raises :class:`UsageError` where there is none."""
        if workload not in self.workloads:
            raise UsageError(
                f"cannot take {workload} from {self.where}: it has no runs of it (it has {', '.join(self.workloads)})"
            )
        return [self.read(entry) for entry in self.entries if entry.workload == workload]


def datasets_at(places: Sequence[str]) -> list[Dataset]:
    """Several datasets. Raises :class:`UsageError` where a run is in two of them, or twice in one, since it could be on
    both sides of the split.
    """
    found, seen = [Dataset(where) for where in places], dict[str, str]()
    for dataset in found:
        for entry in dataset.entries:
            file = os.path.join(dataset.where, entry.file)
            same = seen.setdefault(entry.digest, file)
            if same != file or places.count(dataset.where) > 1:
                raise UsageError(f"cannot use {file}: it is the same run as {same} (name each run once)")
    return found


def _entry(raw: dict[str, Any]) -> Entry:
    workload, number, file = str(raw["workload"]), int(raw["run"]), str(raw["file"])
    if file != f"{workload}/part-{number:06d}.parquet" or "/" in workload or workload.startswith("."):
        raise ValueError(file)
    return Entry(workload, number, file, str(raw["sha256"]), {"train": True, "test": False}[raw["split"]])
