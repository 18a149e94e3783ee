"""Runs in; a directory that holds each of them whole, or not at all, out.

    DIR/experiment.json          what was asked for, and its digest
    DIR/runs/KEY/run.json        the cell, its figures, its provenance; written last
    DIR/runs/KEY/windows/        the recording of the run

A run without run.json was not finished: it is removed and made again. Only the owner can read the files, since the
recordings name other users' commands.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from schedtel._version import __version__
from schedtel.access.directories import open_directory
from schedtel.errors import RecordingError, UsageError
from schedtel.experiments.design import Cell
from schedtel.experiments.provenance import Fact

_LARGEST_FILE = 8 << 20
#: What a table that describes no run raises.
NO_RUN = (TypeError, ValueError, LookupError, AttributeError)
_RUN, _EXPERIMENT = "run.json", "experiment.json"


@dataclass(frozen=True)
class Run:
    """One run.

    :param figures: by name.
    :param provenance: facts by name.
    :param classes: class of jobs → its figures.
    :param cpus: number of a CPU → its figures.
    """

    cell: Cell
    figures: Mapping[str, float]
    provenance: Mapping[str, Fact]
    classes: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    cpus: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


class Spec(Protocol):
    """What was asked for: a dataclass, and what tells it from others."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def digest(self) -> str: ...


class Store:
    """The directory of one experiment.

    :param root: the directory; it is made if it is missing.
    :param machine: what makes the runs, if it is not this machine: runs of different machines do not belong together.

    Raises :class:`UsageError` if it holds another experiment, :class:`RecordingError` if it cannot be used.
    """

    def __init__(self, root: str | os.PathLike[str], spec: Spec, machine: str = "") -> None:
        self.root = Path(root)
        digest = hashlib.sha256(f"{spec.digest()} {machine}".encode()).hexdigest() if machine else spec.digest()
        _made(self.root)
        found = _read(self.root / _EXPERIMENT)
        if found is None:
            if os.listdir(self.root):
                raise UsageError(
                    f"cannot use {self.root}: it is not empty, and no experiment (choose another directory)"
                )
        elif found.get("digest") != digest:
            raise UsageError(
                f"cannot go on in {self.root}: it holds another experiment, or another machine's runs (choose another "
                "directory, or change nothing but the title and the repeats)"
            )
        said = {"digest": digest, "machine": machine, "schedtel": __version__, "spec": asdict(spec)}
        _write(self.root / _EXPERIMENT, said)

    def has(self, cell: Cell) -> bool:
        """Whether a run is there, and whole."""
        return (self.root / "runs" / cell.key / _RUN).exists()

    def begin(self, cell: Cell) -> Path:
        """The directory for the recording of a run; what a run that was not finished has left is removed."""
        folder = self.root / "runs" / cell.key
        try:
            if folder.exists():
                shutil.rmtree(folder)
        except OSError as error:
            raise RecordingError(f"cannot remove {folder}: {error.strerror} (remove it by hand)") from error
        _made(folder)
        return folder / "windows"

    def loops_per_us(self) -> float | None:
        """The calibration that the first runs were made with, so that later ones have the same work; None at first."""
        for run in _runs(self.root):
            value = run.provenance.get("loops_per_us")
            if isinstance(value, float) and value > 0:
                return value
        return None

    def finish(self, run: Run) -> None:
        """Add a run. Its file appears when it is on the disk."""
        _write(self.root / "runs" / run.cell.key / _RUN, asdict(run))


def machines_of(runs: Iterable[Run]) -> str:
    """The kernels and numbers of CPUs that runs were made on, in words."""
    return "; ".join(sorted({f"kernel {r.provenance.get('kernel')}, {r.provenance.get('cpus')} CPU" for r in runs}))


def read_store(root: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Run]]:
    """What was asked for, as a table, and all runs that are whole, by repeat, workload and scheduler.

    Raises :class:`RecordingError` if there is no experiment, or a file of it is damaged.
    """
    found = _read(Path(root) / _EXPERIMENT)
    if found is None or not isinstance(found.get("spec"), dict):
        raise RecordingError(f"cannot read {root}: no experiment in it (name a directory of `schedtel experiment run`)")
    runs = sorted(_runs(Path(root)), key=lambda run: (run.cell.repeat, run.cell.workload, run.cell.scheduler))
    return found["spec"], runs


def _runs(root: Path) -> Iterator[Run]:
    for path in sorted((root / "runs").glob(f"*/{_RUN}")):
        table = _read(path)
        try:
            if table is None:
                raise ValueError("no file")
            yield run_of(table)
        except NO_RUN as error:
            raise RecordingError(f"cannot read {path}: it is no run (remove its directory, and run again)") from error


def run_of(table: dict[str, Any]) -> Run:
    """The run that a table describes. Raises one of :data:`NO_RUN` for a table that describes none."""
    cell = Cell(**table["cell"])
    if not (isinstance(cell.workload, str) and isinstance(cell.scheduler, str)):
        raise TypeError("names")
    if not (isinstance(cell.repeat, int) and isinstance(cell.seed, int)):
        raise TypeError("numbers")
    classes, cpus = ({str(name): _figures(each) for name, each in table[of].items()} for of in ("classes", "cpus"))
    if not all(map(str.isdecimal, cpus)):
        raise ValueError("a CPU that is no number")
    provenance = {str(name): value for name, value in table["provenance"].items() if not isinstance(value, dict | list)}
    return Run(cell, _figures(table["figures"]), provenance, classes, cpus)


def _figures(table: Mapping[str, Any]) -> dict[str, float]:
    figures = {str(name): float(value) for name, value in table.items()}
    if not all(map(math.isfinite, figures.values())):
        raise ValueError("a figure that is no number")
    return figures


# ---- files ----


def _made(folder: Path) -> None:
    try:
        os.close(open_directory(folder))
    except OSError as error:
        raise RecordingError(f"cannot write to {folder}: {error.strerror} (choose another directory)") from error


def _read(path: Path) -> dict[str, Any] | None:
    """The table in a regular file of JSON; None if there is none. Raises :class:`RecordingError`."""
    if not path.is_file():  # a pipe would be waited for
        return None
    try:
        with open(path, "rb") as file:
            text = file.read(_LARGEST_FILE + 1)
        table = json.loads(text) if len(text) <= _LARGEST_FILE else None
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror} (check who may read it)") from error
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise RecordingError(f"cannot read {path}: it is no table of JSON (is it damaged?)")
    return table


def _write(path: Path, table: dict[str, Any]) -> None:
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(table, file, indent=1, sort_keys=True, allow_nan=False)
            file.flush()
            os.fsync(file.fileno())
        os.rename(unfinished, path)
    except OSError as error:
        raise RecordingError(f"cannot write {path}: {error.strerror} (check the disk)") from error
