"""``schedtel oracle dataset``: workloads, or recordings and traces that exist, in; a dataset of runs out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from schedtel.cli import lines
from schedtel.cli.session import stop_on_signals
from schedtel.cli.strict import StrictCommand
from schedtel.durations import parse_duration
from schedtel.errors import UsageError

if TYPE_CHECKING:
    from schedtel.oracle.runs import Run

_MOST_TRIES = 10


@click.command("dataset", cls=StrictCommand, short_help="Record workloads as a dataset of runs.")
@click.option("-o", "--output", required=True, metavar="DIR", help="A directory, new or empty.")
@click.option(
    "--workload", "workloads", multiple=True, metavar="SPEC", help="A preset or a file to run; may be repeated."
)
@click.option(
    "--from",
    "sources",
    multiple=True,
    metavar="NAME=PATH",
    help="Run nothing, but take a recording of events, or a text of perf or ftrace, as a run of the workload NAME; or "
    "the runs of NAME in another dataset. May be repeated.",
)
@click.option("--runs", type=click.IntRange(1, 1000), default=5, show_default=True, help="Runs of each workload.")
@click.option("-d", "--duration", default="5s", show_default=True, metavar="DURATION", help="Length of a run.")
@click.option(
    "--switches",
    type=click.IntRange(100, 1_000_000),
    default=3500,
    show_default=True,
    help="The most switches that are kept of a run, the first ones.",
)
@click.option(
    "--most-others",
    type=click.FloatRange(0, 1),
    default=1.0,
    metavar="SHARE",
    help="Make a run again, up to ten times, in which a larger share of the switches is to tasks of other jobs.",
)
@click.option("--note", default="", metavar="TEXT", help="What the card says beside all else.")
@click.option("--licence", default="", metavar="TEXT", help="What the card says of the licence.")
def dataset(
    output: str,
    workloads: tuple[str, ...],
    sources: tuple[str, ...],
    runs: int,
    duration: str,
    switches: int,
    most_others: float,
    note: str,
    licence: str,
) -> int:
    """Run workloads on this machine, record all its events meanwhile, and write them by the roles of tasks.

    Without --workload it runs eight presets. The first three fifths of a workload's runs are to learn from, the others
    to test on. Only tasks of the workload and of the kernel have their names in it, and all others are `other`. With
    --from, all names are kept.
    """
    from schedtel.oracle.dataset import DatasetWriter  # noqa: PLC0415  (pyarrow, which other commands do without)
    from schedtel.oracle.recorded import WORKLOADS  # noqa: PLC0415  (see above)

    if sources and workloads:
        raise UsageError("cannot use --from with --workload: one takes what exists, the other records (drop one)")
    length_ns = parse_duration(duration)
    pairs = [_pair(source) for source in sources]
    stopped: list[str] = []
    facts: dict[str, Any] = {name: told for name, told in (("note", note), ("licence", licence)) if told}
    writer = DatasetWriter(output)
    try:
        if pairs:
            made = _taken(pairs, switches, facts)
        else:
            made = _recorded(workloads or WORKLOADS, runs, _Asked(length_ns, switches, most_others), stopped)
        for run in made:
            writer.add(run)
            lines.remark(f"{run.name}: {run.switches} switches of {len(run.roles) - 1} tasks")
        if stopped:
            raise UsageError(f"cannot write a dataset of a part: {stopped[0]} came (record it again)")
        writer.finish(facts)
    finally:
        writer.withdraw()
    lines.remark(f"wrote {output}: {writer.bytes_written / 1e6:.2f} MB")
    return 0


def _pair(source: str) -> tuple[str, str]:
    name, sign, path = source.partition("=")
    if not (name and sign and path):
        raise UsageError(f"cannot use --from {source!r}: it is NAME=PATH (such as web=rec)")
    return name, path


def _taken(pairs: list[tuple[str, str]], switches: int, facts: dict[str, Any]) -> Iterator[Run]:
    """What exists, as runs: those of a name in the order in which they were given.

    :param facts: for the card: what other datasets say of the machine is added.
    """
    from schedtel.oracle.runs import cut  # noqa: PLC0415  (as in dataset)

    numbers: dict[str, int] = {}
    for name, path in pairs:
        for run in _runs_of(name, path, facts):
            numbers[name] = numbers.get(name, 0) + 1
            yield cut(replace(run, number=numbers[name]), 0, switches)


def _runs_of(name: str, path: str, facts: dict[str, Any]) -> Iterator[Run]:
    """What is at a path as runs of a workload: one, or those of a dataset."""
    from schedtel.oracle.dataset import CARD, Dataset  # noqa: PLC0415  (as in dataset)
    from schedtel.oracle.gather import run_of_recording, run_of_trace  # noqa: PLC0415  (see above)

    if os.path.isfile(path):
        yield run_of_trace(path, name, 1)
    elif os.path.isfile(os.path.join(path, CARD)):
        other = Dataset(path)
        facts |= other.machine
        yield from other.runs_of(name)
    else:
        yield run_of_recording(path, name, 1)


@dataclass(frozen=True)
class _Asked:
    """How long a run is, how many of its switches are kept, and how many of these may be to tasks of other jobs."""

    length_ns: int
    switches: int
    most_others: float


def _recorded(workloads: tuple[str, ...], runs: int, asked: _Asked, stopped: list[str]) -> Iterator[Run]:
    """Runs of workloads on this machine, in turns, so that what changes on it meanwhile meets all of them."""
    ends: list[Callable[[], None]] = []

    def stop() -> None:
        for end in ends:
            end()

    with stop_on_signals(stop, None) as signals:
        for number in range(1, runs + 1):
            for spec in workloads:
                tried = _tried(spec, number, asked, ends, signals)
                if signals:
                    stopped += signals
                    return
                yield min(tried, key=lambda run: run.others)


def _tried(spec: str, number: int, asked: _Asked, ends: list[Callable[[], None]], signals: Sequence[str]) -> list[Run]:
    """The run, made until others leave it enough of the switches."""
    from schedtel.oracle.recorded import recorded_run  # noqa: PLC0415  (as in dataset)

    found: list[Run] = []
    while not signals and len(found) < _MOST_TRIES and not (found and found[-1].others <= asked.most_others):
        found.append(recorded_run(spec, number, asked.length_ns, asked.switches, ends.append))
        ends.clear()
    return found
