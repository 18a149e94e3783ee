"""What runs inside the guest for an experiment: one cell in; its run, in the store ``/out``, out.

The guest's work is given, not measured: one plan is the same number of loops in every guest.
"""

import json
import sys
from dataclasses import asdict, replace
from typing import Any

from schedtel.errors import SchedtelError
from schedtel.experiments.design import Cell
from schedtel.experiments.running import Experiment
from schedtel.experiments.spec import PLACEBO, ExperimentSpec, spec_of

#: Loops of the generator's work in a microsecond of a guest, which executes 500 instructions in it. It is what the
#: generator measures there on one CPU (docs/lab.md).
_LOOPS_PER_US = 114.0
PATH = "/cell.json"
#: Longer than any run, so that a run is one window and it is made when the workload is over. In a guest, a window takes
#: 0.13 s of CPU time: one each 500 ms would take a seventh of two CPUs, and a probe would wait for it.
_WINDOW = "1h"
_ROOT = "/out"
_FAILED = 2


def loops_per_us(cpus: int) -> float:
    """Loops of work in a microsecond, in virtual time. Busy CPUs share the guest's instructions, so there are so many
    fewer where there are more CPUs: else a workload that loads a machine by 85 % would ask for 170 % of two CPUs.
    """
    return _LOOPS_PER_US / cpus


def told(spec: ExperimentSpec, cell: Cell) -> Cell:
    """The cell that the guest makes for one. Every instruction of a guest takes its time there, those that read the
    cell too. So what is the same for the scheduler is the same cell: a placebo is the baseline, and of repeats with one
    seed, each is the first.
    """
    return replace(cell, scheduler=spec.baseline if cell.scheduler == PLACEBO else cell.scheduler, repeat=1)


def described(spec: ExperimentSpec, cell: Cell, loops: float) -> bytes:
    """The file at ``PATH``: what is told of a cell, the experiment that it is of as far as it matters for a run, and
    the loops of work in a microsecond.
    """
    plain = replace(spec, title="", repeats=1, seed=0, same_seed=False)
    said = {"spec": plain.table(), "cell": asdict(told(spec, cell)), "loops_per_us": loops}
    return json.dumps(said, sort_keys=True).encode()


def _read(table: dict[str, Any]) -> tuple[ExperimentSpec, Cell, float]:
    return spec_of(table["spec"], "the experiment"), Cell(**table["cell"]), table["loops_per_us"]


def main() -> int:
    """Make the run. Returns the exit status; an error is one line on stderr."""
    with open(PATH, encoding="utf-8") as file:
        spec, cell, loops = _read(json.load(file))
    try:
        Experiment(spec, _ROOT, loops, window=_WINDOW).run(only=cell)
    except SchedtelError as error:
        sys.stderr.write(f"{error}\n")
        return _FAILED
    return 0
