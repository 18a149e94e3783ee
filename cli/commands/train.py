"""``schedtel train``: an environment in; a network that acts well there out, and what it costs beside fixed rules."""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from schedtel.access.files import write_whole
from schedtel.cli import lines
from schedtel.cli.display.training import show_environments, show_judged, show_run
from schedtel.cli.options import Decorator, format_option, together
from schedtel.cli.session import stop_on_signals
from schedtel.cli.signals import restored_cursor
from schedtel.cli.spreading import spread_in, spread_options
from schedtel.cli.strict import StrictCommand, StrictGroup
from schedtel.durations import parse_duration
from schedtel.environments.options import Option
from schedtel.environments.registry import ENVIRONMENTS, Entry
from schedtel.errors import UsageError
from schedtel.training.learner.settings import ALGORITHMS, ASSIGNED, DECAYS, ORDERS, Settings, usual
from schedtel.training.learner.spread import Spread

if TYPE_CHECKING:
    from schedtel.training.learner.run import Run

_FORMAT = format_option("table", "json")
#: Of all environments, by their names.
_OPTIONS = {name: option for entry in ENVIRONMENTS.values() for name, option in entry.options.items()}


@click.group("train", cls=StrictGroup, short_help="Learn to schedule in a simulated environment.")
def command() -> None:
    """Learn to schedule in a simulated environment. Needs `schedtel[learn]`.

    The environments are commands of their own; `list` says what is learned in each.
    """


def _choosing(options: Mapping[str, Option], *, usual: bool) -> tuple[Decorator, ...]:
    """Options of a command, for what may be chosen of an environment.

    :param usual: whether they have a value if they are not given.
    """
    return tuple(
        click.option(
            f"--{name}",
            name,
            metavar="SPEC" if option.kind is str else "NUMBER",
            type=option.kind,
            multiple=option.is_list,
            default=option.usual if usual else None,
            show_default=usual,
            help=option.about,
        )
        for name, option in options.items()
    )


def _chosen(options: Mapping[str, Option], said: Mapping[str, Any]) -> dict[str, Any]:
    """What was said of them, where it was."""
    return {name: option.of(said[name]) for name, option in options.items() if said[name] not in (None, ())}


def _way(name: str, known: Mapping[str, str], what: str) -> Decorator:
    """An option that says how to learn; the first that is known is usual."""
    means = "; ".join(f"{word}: {meaning}" for word, meaning in known.items())
    choice = click.Choice(list(known))
    return click.option(
        f"--{name}", type=choice, default=next(iter(known)), show_default=True, help=f"{what}: {means}."
    )


def _ways(entry: Entry) -> tuple[Decorator, ...]:
    """How to learn, besides the algorithm, where there is a choice."""
    of_configurations = (
        _way("order", ORDERS, "In which order configurations are learned"),
        _way("assign", ASSIGNED, "With an order, how the environments of all workers get them"),
    )
    of_values = (_way("decay", DECAYS, "With dqn, how the share of random actions falls"),)
    return (of_configurations if entry.has_configurations else ()) + (of_values if "dqn" in entry.algorithms else ())


def _train_command(name: str, entry: Entry) -> click.Command:
    """The command that learns in one environment."""

    @click.command(name, cls=StrictCommand, short_help=f"Learn to {entry.about}.")
    @click.option("-o", "--output", metavar="DIR", required=True, help="Where the run is kept: new, or to go on with.")
    @click.option(
        "--algo",
        type=click.Choice(list(ALGORITHMS)),
        default=entry.algorithms[0],
        show_default=True,
        help=f"How to learn; here {' or '.join(entry.algorithms)}.",
    )
    @together((*_choosing(entry.options, usual=True), *_ways(entry)))
    @click.option("--steps", type=click.IntRange(1), default=2_000_000, show_default=True, help="Steps to learn from.")
    @click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all that is drawn.")
    @click.option(
        "--environments",
        "count",
        type=click.IntRange(1, 65_536),
        default=256,
        show_default=True,
        help="How many take a step together.",
    )
    @click.option(
        "--checkpoint",
        metavar="DURATION",
        default="30s",
        show_default=True,
        help="From one checkpoint to the next.",
    )
    @spread_options
    @click.option("--tensorboard", metavar="DIR", help="Write the figures there as well, for TensorBoard.")
    @click.option("-q", "--quiet", is_flag=True, help="No progress.")
    def train(
        output: str,
        algo: str,
        checkpoint: str,
        tensorboard: str | None,
        quiet: bool,
        **chosen: Any,
    ) -> None:
        spread = spread_in(chosen)
        options = _chosen(entry.options, {option: chosen.pop(option) for option in entry.options})
        chosen |= {"options": options, **usual(name, algo)}
        settings, pause_s = Settings(name, algo, **chosen), parse_duration(checkpoint) / 1e9
        _learn(_run(settings, Path(output), pause_s, spread), tensorboard, quiet=quiet)

    train.help = (
        f"Learn to {entry.about}, and keep what was learned in DIR.\n\n"
        "With a DIR that holds a run of the same settings, it goes on from its last checkpoint, however it ended. "
        "Ctrl-C ends it with a checkpoint."
    )
    return train


def _run(settings: Settings, directory: Path, checkpoint_s: float, spread: Spread | None) -> "Run":
    from schedtel.training.learner.run import Run  # noqa: PLC0415  (torch, after the arguments are judged)
    from schedtel.training.learner.spread_run import SpreadRun  # noqa: PLC0415

    return SpreadRun(settings, directory, spread, checkpoint_s) if spread else Run(settings, directory, checkpoint_s)


for _name, _entry in ENVIRONMENTS.items():
    command.add_command(_train_command(_name, _entry))


def _learn(run: "Run", tensorboard: str | None, *, quiet: bool) -> None:
    from schedtel.cli.display.progress import with_progress  # noqa: PLC0415  (see train)
    from schedtel.training.learner.tensorboard import copied_to  # noqa: PLC0415

    def describe(_: int) -> str:
        return f"{run.counters.steps:,} steps"

    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        redirect_stdout(nowhere),  # Ray prints there when a process ends
        nullcontext() if quiet or not sys.stderr.isatty() else restored_cursor(),
        stop_on_signals(run.stop),
    ):
        for _ in with_progress(copied_to(tensorboard, run), "training", describe, lambda: run.progress, hidden=quiet):
            pass
    show_run(run.settings, run.counters, run.rows)
    if run.progress < 1:
        lines.remark("interrupted: the same command goes on")


@command.command("list", short_help="List the environments.")
@_FORMAT
def list_(kind: str) -> None:
    """List the environments that can be learned in."""
    if kind == "json":
        lines.document(
            json.dumps({"environments": {name: entry.about for name, entry in ENVIRONMENTS.items()}}, indent=2)
        )
    else:
        show_environments()


@command.command("report", short_help="Say how runs went.")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True)
@click.option("-o", "--output", metavar="FILE", help="Draw them as one HTML page instead; - for stdout.")
@_FORMAT
def report(directories: tuple[str, ...], output: str | None, kind: str) -> None:
    """Say how the run in DIR went: its reward and its speed as it learned.

    With -o, one HTML page of one run or several. Several must differ in their seed and length only; curves then are
    means, with intervals over the runs.
    """
    if output is not None:
        _page(directories, output)
    elif len(directories) > 1:
        raise UsageError("cannot print several runs at a time (name one, or a page with -o)")
    else:
        _say(Path(directories[0]), kind)


def _page(directories: tuple[str, ...], output: str) -> None:
    from schedtel.cli.pages import deliver  # noqa: PLC0415  (pyarrow)
    from schedtel.training.learner.page import render, told  # noqa: PLC0415  (pyarrow)

    page = render(told([Path(each) for each in directories]))
    deliver(page, output)


def _say(where: Path, kind: str) -> None:
    from schedtel.training.learner import book, checkpoint  # noqa: PLC0415  (pyarrow)

    found = checkpoint.load(where)
    rows = book.read_rows(where, found.counters.steps)
    if kind == "json":
        told: dict[str, Any] = {"settings": found.settings.as_dict(), "counters": vars(found.counters), "rows": rows}
        lines.document(json.dumps(told, indent=2))
    else:
        show_run(found.settings, found.counters, rows)


@command.command("judge", short_help="Compare what was learned with fixed rules.")
@click.argument("directories", metavar="DIR...", nargs=-1, required=True)
@click.option("--episodes", type=click.IntRange(2, 65_536), default=256, show_default=True, help="Of each kind.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Of the episodes.")
@together(_choosing(_OPTIONS, usual=False))
@_FORMAT
def judge(directories: tuple[str, ...], episodes: int, seed: int, kind: str, **said: Any) -> None:
    """Compare what the runs in DIR... have learned with fixed rules, in episodes that none of them has learned from.

    The options of the environment are those of the runs, unless others are given: so DagSim can be judged on graphs
    that no run has seen. With two runs or more, the interval of what was learned is over the runs: they should differ
    in their seed only.
    """
    from schedtel.training.learner import checkpoint  # noqa: PLC0415  (torch)
    from schedtel.training.learner.exported import decision_us  # noqa: PLC0415
    from schedtel.training.learner.judged import judged  # noqa: PLC0415

    how, found = judged([Path(each) for each in directories], episodes, seed, _chosen(_OPTIONS, said))
    times_us = decision_us(checkpoint.load(Path(directories[0]))) if how.is_of_models else None
    if kind == "json":
        costs = {
            one.group: {name: each.tolist() for name, each in one.rules.items()} | {"learned": one.learned.tolist()}
            for one in found
        }
        told: dict[str, Any] = {"cost": how.cost, "costs": costs}
        if times_us is not None:
            told["decision_us"] = {"p50": np.percentile(times_us, 50), "p99": np.percentile(times_us, 99)}
        lines.document(json.dumps(told, indent=2))
    else:
        show_judged(how, found, times_us)


@command.command("export", short_help="Write what was learned as a model.")
@click.argument("directory", metavar="DIR")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where its weights go, for `models update`.")
def export(directory: str, output: str) -> None:
    """Write what the run in DIR has learned as the weights of a model, for `schedtel models update`.

    A model decides in DagSim, so it is for runs of that.
    """
    from schedtel.training.learner import checkpoint  # noqa: PLC0415

    run = checkpoint.load(Path(directory))
    from schedtel.models.weights import weights_bytes  # noqa: PLC0415  (with what follows, torch: after what is quick)
    from schedtel.training.learner.exported import weights_of  # noqa: PLC0415

    write_whole(output, weights_bytes(weights_of(run)))
