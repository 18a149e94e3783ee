"""Wall time for each active task of the library's own flush (iterator and drain) and of its batch to Arrow.

The share of the BPF program inside the flush comes from the kernel's run times, which are measured in separate windows,
since counting costs time.
"""

from benchmarks import kernel, workloads
from benchmarks.failures import BenchmarkError
from benchmarks.measures import Plan, Row, Target, row
from benchmarks.watched import Watched, WindowCost, watched

PART = "flush"
ROUNDS = 15
_ACTIVE = (2000, 5000)
_FLUSH_TARGET, _ARROW_TARGET = Target(600), Target(300)


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    rows = []
    for active in _ACTIVE:
        with workloads.workers(active) as load:
            rows += _rows(active, load, plan.rounds(ROUNDS))
    return rows, []


def _rows(active: int, load: workloads.Workers, rounds: int) -> list[Row]:
    with watched() as subject:
        subject.window(load.pulse)  # the first window allocates memory, which the later ones reuse
        costs = [_checked(subject.window(load.pulse), active) for _ in range(rounds)]
        with kernel.counting():
            program = [_program_sample(subject, load) for _ in range(max(2, rounds // 3))]
    name = f"{active:,} active tasks"
    return [
        row(f"flush, {name}", "schedtel", "ns/task", [cost.flush_ns / cost.rows for cost in costs], _FLUSH_TARGET),
        row(f"of it the BPF program, {name}", "schedtel", "ns/task", program),
        row(f"batch to Arrow, {name}", "schedtel", "ns/task", [c.arrow_ns / c.rows for c in costs], _ARROW_TARGET),
    ]


def _checked(cost: WindowCost, active: int) -> WindowCost:
    if cost.rows < active:
        raise BenchmarkError(f"flush: only {cost.rows} of {active} threads were active")
    return cost


def _program_sample(subject: Watched, load: workloads.Workers) -> float:
    """Nanoseconds for each row that the kernel counts for the flush program, including its calls for sleeping tasks."""
    program_ns, rows = subject.program_ns(load.pulse)
    return program_ns / rows
