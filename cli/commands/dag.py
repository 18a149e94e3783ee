"""``schedtel dag``: graphs of jobs and devices of several kinds in; schedules, and how far from the optimum, out."""

import json
import re
from typing import Any

import click

from schedtel.access.files import write_whole
from schedtel.cli import lines
from schedtel.cli.display.dags import show_comparison, show_families, show_periodic, show_rule
from schedtel.cli.options import format_option, together
from schedtel.cli.strict import StrictGroup
from schedtel.dags.comparison import METHODS, compare
from schedtel.dags.families import FAMILIES, WAIT
from schedtel.dags.heuristics import HEURISTICS, heft
from schedtel.dags.pipelines import configurations, edf, jobs_of, met, pipelines
from schedtel.dags.recipes import RECIPES
from schedtel.dags.solver import solver_is_installed
from schedtel.dags.spec import graph_of
from schedtel.durations import NS_PER_S, parse_duration
from schedtel.errors import UsageError

_COUNT = re.compile(r"([^=,]+)=([0-9]{1,9})")
_FORMAT = format_option("table", "json")
_LIMIT = click.option(
    "--limit", metavar="DURATION", default="30s", show_default=True, help="For how long CP-SAT may look for an optimum."
)
_NOISE = (
    click.option(
        "--noise",
        type=click.FloatRange(0, 0.9),
        default=0.0,
        show_default=True,
        help="Keep each schedule's order while times vary by this share.",
    ),
    click.option(
        "--draws", type=click.IntRange(1, 100_000), default=1_000, show_default=True, help="How often, with --noise."
    ),
    click.option(
        "--seed", type=click.IntRange(0, 2**31), default=1, show_default=True, help="Of what is drawn for --noise."
    ),
)


@click.group("dag", cls=StrictGroup, short_help="Schedule graphs of jobs on CPUs and GPUs, with the optimum beside.")
def command() -> None:
    """Schedule graphs of jobs on devices of several kinds, and say how far each schedule is from the optimum.

    SPEC is the name of a preset (see `schedtel dag list`), as cholesky-5, or a file of TOML or JSON, whose name has a
    slash or ends in .toml or .json; a workflow in WfCommons' format is such a file, too. Where times are drawn, @ and a
    seed after SPEC say which, as montage-2@7.
    """


@command.command("list", short_help="List the presets.")
@_FORMAT
def list_(kind: str) -> None:
    """List the graphs that come with schedtel."""
    if kind == "json":
        texts = {"wait": WAIT} | {name: text for name, (_, text) in FAMILIES.items()}
        texts |= {name: text for name, (_, text, _) in RECIPES.items()}
        lines.document(json.dumps({"graphs": texts}, indent=2))
    else:
        show_families()


@command.command("solve", short_help="Schedule a graph by each method.")
@click.argument("spec", metavar="SPEC")
@click.option(
    "--method", "methods", type=click.Choice(METHODS), multiple=True, help="Only this one; may be given several times."
)
@click.option("--devices", metavar="KIND=COUNT,…", help="Other numbers of devices, as cpu=4,gpu=2.")
@_LIMIT
@together(_NOISE)
@_FORMAT
def solve(
    spec: str,
    methods: tuple[str, ...],
    devices: str | None,
    limit: str,
    noise: float,
    draws: int,
    seed: int,
    kind: str,
) -> None:
    """Schedule the graph of SPEC by each method, judge each schedule by the rules, and compare makespans.

    The optimum is CP-SAT's and needs `schedtel[learn]`: proven, or with the bound that it reached within --limit.
    """
    limit_s = parse_duration(limit) / NS_PER_S
    dag = graph_of(spec)
    if devices is not None:
        dag = dag.with_devices(_device_counts(devices))
    chosen = tuple(dict.fromkeys(methods)) or _all_methods()
    compared = compare(dag, chosen, limit_s, noise=noise, draws=draws if noise else 0, seed=seed)
    if kind == "json":
        lines.document(json.dumps(compared.as_dict(), indent=2))
    else:
        show_comparison(compared)


def _all_methods() -> tuple[str, ...]:
    if solver_is_installed():
        return METHODS
    lines.remark("no optimum: OR-Tools is not installed (pip install 'schedtel[learn]')")
    return tuple(HEURISTICS)


def _device_counts(text: str) -> dict[str, int]:
    counts: dict[str, int] = {}
    for part in text.split(","):
        match = _COUNT.fullmatch(part.strip())
        if match is None or match[1] in counts:
            raise UsageError(
                f"cannot use devices {text[:40]!r}: a part is no KIND=COUNT, or there twice (write cpu=4,gpu=2)"
            )
        counts[match[1]] = int(match[2])
    return counts


@command.command("search", short_help="Search for a rule that schedules graphs well.")
@click.argument("specs", metavar="SPEC...", nargs=-1, required=True)
@click.option("-o", "--output", required=True, metavar="FILE", help="Where its weights go, for `models update`.")
@click.option("--rounds", type=click.IntRange(1, 10_000), default=100, show_default=True, help="How long to search.")
@click.option(
    "--noise", type=click.FloatRange(0, 0.9), default=0.2, show_default=True, help="Times vary by this share meanwhile."
)
@click.option("--seed", type=click.IntRange(0, 2**31), default=1, show_default=True, help="Of what is drawn.")
def search(specs: tuple[str, ...], output: str, rounds: int, noise: float, seed: int) -> None:
    """Search for one linear rule that decides well on all graphs SPEC, and write it as the weights of a model.

    It decides which ready job goes to which device, or that a device waits. The same arguments give the same rule.
    Needs `schedtel[sim]` and `schedtel[agent]`.
    """
    dags = [graph_of(spec) for spec in specs]
    from schedtel.environments.dag_policy import makespan  # noqa: PLC0415  (numba, which nothing else here needs)
    from schedtel.environments.rule_search import search as search_rule  # noqa: PLC0415
    from schedtel.models.network import Network  # noqa: PLC0415
    from schedtel.models.weights import weights_bytes  # noqa: PLC0415

    rule = search_rule(dags, rounds, noise, seed)
    write_whole(output, weights_bytes(rule))
    show_rule({dag.name: (makespan(Network(rule), dag), heft(dag).makespan(dag), dag.least_makespan) for dag in dags})


@command.command("periodic", short_help="Deadlines that periodic pipelines can meet.")
@click.option(
    "--periods", metavar="MS,…", help="Of the four pipelines, as 875,350,875,350; else all 81 configurations."
)
@click.option(
    "--scale",
    type=click.FloatRange(0.1, 100),
    default=1.6,
    show_default=True,
    help="Factor of the published times, by which alone EDF meets all.",
)
@click.option("--optimum", is_flag=True, help="Also look for the most that can be met, by CP-SAT; with --periods.")
@_LIMIT
@_FORMAT
def periodic(periods: str | None, scale: float, optimum: bool, limit: str, kind: str) -> None:
    """Say how many jobs of four periodic pipelines meet their deadlines in a hyperperiod, under EDF and at best."""
    limit_s = parse_duration(limit) / NS_PER_S
    if optimum and periods is None:
        raise UsageError(
            "cannot look for 81 optima at once: that takes an hour (choose one: --periods 875,350,875,350)"
        )
    chosen = configurations() if periods is None else [_periods(periods)]
    rows = [_periodic_row(one, scale, limit_s if optimum else None) for one in chosen]
    if kind == "json":
        lines.document(json.dumps({"scale": scale, "configurations": rows}, indent=2))
    else:
        show_periodic(rows, scale)


def _periods(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[0-9]{1,6}(,[0-9]{1,6}){0,9}", text):
        raise UsageError(f"cannot use periods {text[:40]!r}: they are no list of ms (write 875,350,875,350)")
    return tuple(map(int, text.split(",")))


def _periodic_row(periods_ms: tuple[int, ...], scale: float, limit_s: float | None) -> dict[str, Any]:
    chains = pipelines(periods_ms, scale)
    jobs = jobs_of(chains)
    row: dict[str, Any] = {
        "periods_ms": periods_ms,
        "jobs": len(jobs),
        "edf_single": met(jobs, edf(chains, fused=False)),
        "edf_fused": met(jobs, edf(chains)),
    }
    if limit_s is not None:
        from schedtel.dags.deadlines import most_met  # noqa: PLC0415  (OR-Tools, which nothing else here needs)

        most = most_met(chains, limit_s)
        row |= {"most": most.met, "bound": most.bound, "seconds": most.seconds}
    return row
