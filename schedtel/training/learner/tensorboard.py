"""A run and a directory in; the same run, whose rows are also in files of TensorBoard's there, out.

They are written by tensorboardX, which brings no server. A run that goes on writes its earlier rows again, and tells
TensorBoard to forget what was there: so the curves are those of ``metrics.parquet``, however the run ended before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from schedtel.errors import CapabilityError, RecordingError
from schedtel.training.learner.book import Row
from schedtel.training.learner.checkpoint import Counters
from schedtel.training.learner.run import Run


def copied_to(directory: str | None, run: Run) -> Iterator[Counters]:
    """Iterate over a run, and write its rows. None: only iterate.

    Raises :class:`CapabilityError` without tensorboardX, and :class:`RecordingError` where it cannot write.
    """
    if directory is None:
        yield from run
        return
    written = 0
    with closing(_writer(directory)) as writer:
        for counters in run:
            yield counters
            for row in run.rows[written:]:
                _write(writer, row, time.time() - (counters.seconds - row["seconds"]))
            if written < len(run.rows):
                writer.flush()
                written = len(run.rows)


def _writer(directory: str) -> Any:
    try:
        from tensorboardX import SummaryWriter  # noqa: PLC0415  (of an extra)
    except ImportError as error:
        raise CapabilityError(
            "cannot use --tensorboard: tensorboardX is not installed (pip install 'schedtel[tensorboard]')"
        ) from error
    try:
        return SummaryWriter(directory, purge_step=0)
    except OSError as error:
        raise RecordingError(f"cannot write {directory}: {error.strerror} (choose another directory)") from error


def _write(writer: Any, row: Row, wall_s: float) -> None:
    for name, value in row.items():
        if name != "steps":
            writer.add_scalar(name, value, row["steps"], wall_s)
