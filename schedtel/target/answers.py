"""What a target says of a run in; the run, once all of it is checked, out. A target may be hostile."""

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

from schedtel.errors import StreamError
from schedtel.experiments.design import Cell
from schedtel.experiments.store import Run
from schedtel.flight.assembly import UntrustedError
from schedtel.flight.client import Subscription
from schedtel.flight.slices import size_of
from schedtel.flight.wire import END, one_line
from schedtel.recordings.recorder import Recorder

#: Names of figures and of provenance: what is in a store is shown, and may be a column elsewhere.
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CPU = re.compile(r"0|[1-9][0-9]{0,3}")
_MOST_ENTRIES, _MOST_CPUS, _MOST_SHOWN = 64, 8192, 80
_MOST_BYTES, _MOST_WINDOWS = 512 << 20, 200_000


def run_of(table: Mapping[str, Any], cell: Cell, classes: Collection[str]) -> Run:
    """The run of a cell.

    :param classes: names of the workload's classes.

    Raises :class:`UntrustedError` for what is no run, or the run of another cell.
    """
    try:
        _refuse_unless(table["cell"] == asdict(cell), "the run of another cell")
        per_class = _table(table["classes"])
        _refuse_unless(set(per_class) <= set(classes), "a class that the workload does not have")
        by_class = {name: _figures(each) for name, each in per_class.items()}
        provenance = {_name(name): _plain(value) for name, value in _table(table["provenance"]).items()}
        cpus = _table(table["cpus"], _MOST_CPUS)
        _refuse_unless(all(map(_CPU.fullmatch, cpus)), "a CPU without a number")
        by_cpu = {name: _figures(each) for name, each in cpus.items()}
        return Run(cell, _figures(table["figures"]), provenance, by_class, by_cpu)
    except (ValueError, TypeError, LookupError, OverflowError) as error:
        why = one_line(str(error))[:_MOST_SHOWN]
        raise UntrustedError(f"what came is no run: {why} (is it schedtel that serves there?)") from error


def record(windows: Subscription, recorder: Recorder, count: object) -> None:
    """Write the windows of a run; ``count`` is how many the run says that it has.

    Raises :class:`UntrustedError` for more than any run has, and :class:`StreamError` where some are missing.
    """
    size = number = 0
    for number, window in enumerate(windows, 1):
        size += size_of(window)
        if size > _MOST_BYTES or number > _MOST_WINDOWS:
            raise UntrustedError("the run has more windows than any experiment (is it schedtel that serves there?)")
        recorder.write(window)
    if windows.ended != END or windows.windows_missed or number != count:
        raise StreamError("windows of the run are missing (run it again to go on)")


def _refuse_unless(holds: bool, why: str) -> None:
    if not holds:
        raise ValueError(why)


def _table(value: object, most: int = _MOST_ENTRIES) -> dict[str, Any]:
    if not isinstance(value, dict) or len(value) > most:
        raise ValueError("what should be a table is none")
    return value


def _figures(value: object) -> dict[str, float]:
    return {_name(name): _number(each) for name, each in _table(value).items()}


def _name(text: str) -> str:
    _refuse_unless(bool(_NAME.fullmatch(text)), "a name that is none of a figure's")
    return text


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a figure that is no number")
    return float(value)


def _plain(value: object) -> str | int | float | None:
    if isinstance(value, str):
        return one_line(value)
    return value if value is None or isinstance(value, int) else _number(value)
