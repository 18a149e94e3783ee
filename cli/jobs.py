"""A workload's name or file in; its plan, and a line of JSON for each job, out. Commands about workloads share this."""

import itertools
from collections.abc import Iterator

import click

from schedtel.cli import lines
from schedtel.cli.options import together
from schedtel.durations import parse_duration
from schedtel.errors import UsageError
from schedtel.workloads.outcome import RESULT, Outcome
from schedtel.workloads.plan import JOB, Lives, Plan, make_plan
from schedtel.workloads.spec import load_workload

plan_options = together(
    (
        click.option("--seed", type=click.IntRange(min=0), help="Another seed than the workload's own."),
        click.option("-d", "--duration", metavar="DURATION", help="Another length than the workload's own."),
    )
)
#: Lines that are written at once.
_CHUNK = 10_000


def chosen_plan(spec: str, seed: int | None, duration: str | None) -> Plan:
    """The plan of a preset or a file, with another seed or length where one is given."""
    length = None if duration is None else parse_duration(duration)
    return make_plan(load_workload(spec).with_options(seed, length), _read_lives)


def _read_lives(directory: str, comm: str) -> Lives:
    from schedtel.cli.sources import complain_of_damage  # noqa: PLC0415  (pyarrow, which other workloads do without)
    from schedtel.recordings.recording import read  # noqa: PLC0415
    from schedtel.workloads.recorded import lives_of  # noqa: PLC0415

    recording = read(directory)
    if len(recording.runs) > 1:
        raise UsageError(
            f"cannot replay {directory}: it has {len(recording.runs)} runs, each with a clock of its own (name the "
            "folder of one)"
        )
    lives = lives_of(recording, comm)
    complain_of_damage(recording)
    return lives


def job_lines(planned: Plan) -> Iterator[str]:
    """A line for each job, in the order of the plan."""
    names = [c.name for c in planned.workload.classes]
    assert JOB.names == ("at_ns", "work_ns", "class", "worker")
    for at, work, number, worker in planned.jobs.tolist():
        yield f'{{"class":"{names[number]}","worker":{_known(worker)},"at_ns":{at},"work_ns":{work}}}'


def result_lines(outcome: Outcome) -> Iterator[str]:
    """A line for each job that was released, in the order of the plan."""
    names = [c.name for c in outcome.plan.workload.classes]
    assert RESULT.names is not None
    keys = RESULT.names[1:]
    for number, *values in outcome.jobs.tolist():
        fields = ",".join(f'"{key}":{_known(value)}' for key, value in zip(keys, values, strict=True))
        yield f'{{"class":"{names[number]}",{fields}}}'


def _known(value: int) -> str:
    """A number of JSON; null for -1."""
    return "null" if value < 0 else str(value)


def write_lines(rows: Iterator[str]) -> None:
    """Write lines to stdout, some thousand at a time."""
    while chunk := list(itertools.islice(rows, _CHUNK)):
        lines.document("\n".join(chunk))
