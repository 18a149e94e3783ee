"""What runs inside the guest for an experiment: one cell in; its run, in the store ``/out``, out.

The guest's work is given, not measured: one plan is the same number of loops in every guest.
"""

import json
import os
import sys
from dataclasses import asdict
from typing import Any

from schedtel.errors import SchedtelError
from schedtel.experiments.design import Cell
from schedtel.experiments.running import Experiment
from schedtel.experiments.spec import ExperimentSpec

#: Loops of the generator's work in a microsecond of a guest, which executes 500 instructions in it. It is what the
#: generator measures there on one CPU (docs/lab.md). Busy CPUs share them, so a microsecond of work is so many loops
#: less where there are more CPUs: else a workload that loads a machine by 85 % would ask for 170 % of two CPUs.
LOOPS_PER_US = 114.0
PATH = "/cell.json"
_ROOT = "/out"
_FAILED = 2


def described(spec: ExperimentSpec, cell: Cell) -> bytes:
    """The file at ``PATH``: a cell, and the experiment that it is of."""
    return json.dumps({"spec": asdict(spec), "cell": asdict(cell)}, sort_keys=True).encode()


def _read(table: dict[str, Any]) -> tuple[ExperimentSpec, Cell]:
    spec: dict[str, Any] = table["spec"]
    spec |= {name: tuple(value) for name, value in spec.items() if isinstance(value, list)}
    spec["classes"] = {name: tuple(members) for name, members in spec["classes"].items()}
    return ExperimentSpec(**spec), Cell(**table["cell"])


def main() -> int:
    """Make the run. Returns the exit status; an error is one line on stderr."""
    with open(PATH, encoding="utf-8") as file:
        spec, cell = _read(json.load(file))
    try:
        Experiment(spec, _ROOT, LOOPS_PER_US / len(os.sched_getaffinity(0))).run(only=cell)
    except SchedtelError as error:
        sys.stderr.write(f"{error}\n")
        return _FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
