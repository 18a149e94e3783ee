"""What runs in a process of its own for each run on a target: one cell in; its run, in a store, out.

The process ends with the target, and its workload with it. So whatever ends the target, the guard puts back what the
run has changed.
"""

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schedtel.errors import SchedtelError
from schedtel.experiments.design import Cell, cells
from schedtel.experiments.running import Experiment
from schedtel.experiments.spec import ExperimentSpec, spec_of
from schedtel.host.parent import die_with
from schedtel.workloads.spec import parse_workload

STORE = "store"
#: Exit status: the run was given up, or an error is on stderr.
_STOPPED, _FAILED = 1, 2


def described(
    spec: ExperimentSpec, files: Mapping[str, str], cell: Cell, cpus: tuple[int, ...], loops_per_us: float | None
) -> str:
    """The text of the file from which a cell is made."""
    job = {"spec": spec.table(), "files": dict(files), "cell": cell.key, "cpus": cpus, "loops_per_us": loops_per_us}
    return json.dumps(job)


def main() -> int:
    """Make the run that a file describes, below the working directory. Returns the exit status."""
    die_with(int(sys.argv[1]))
    job = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    try:
        return _make(job)
    except SchedtelError as error:
        sys.stderr.write(f"{error}\n")
        return _FAILED


def _make(job: Mapping[str, Any]) -> int:
    os.sched_setaffinity(0, job["cpus"])
    spec = spec_of(job["spec"], "the experiment")
    workloads = {name: parse_workload(text, name) for name, text in job["files"].items()}
    cell = next(cell for cell in cells(spec) if cell.key == job["cell"])
    experiment = Experiment(spec, STORE, job["loops_per_us"], workloads)
    signal.signal(signal.SIGTERM, lambda _number, _frame: experiment.stop())
    experiment.run(only=cell)
    return 0 if experiment.store.has(cell) else _STOPPED


if __name__ == "__main__":
    sys.exit(main())
