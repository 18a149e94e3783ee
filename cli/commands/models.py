"""``schedtel models``: weights that were trained in; versions of models, judged on each graph they know, out."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from schedtel.cli import lines
from schedtel.cli.display.models import show_models, show_near, show_parts, show_verdict, show_version
from schedtel.cli.options import format_option, together
from schedtel.cli.strict import StrictGroup
from schedtel.dags.fingerprint import fingerprint, how_near
from schedtel.dags.spec import graph_of
from schedtel.models.checking import faults
from schedtel.models.curation import Verdict
from schedtel.models.curation import merge as merge_models
from schedtel.models.curation import rollback as roll_back
from schedtel.models.curation import split as split_model
from schedtel.models.curation import update as update_model
from schedtel.models.merging import DISTIL, METHODS
from schedtel.models.picking import families_of, nearest
from schedtel.models.place import default_registry
from schedtel.models.store import Store
from schedtel.models.weights import read_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schedtel.dags.dag import Dag
    from schedtel.models.curation import Judge
    from schedtel.models.weights import Arrays

_NOT_ACCEPTED = _FAULTY = 1
_REGISTRY = click.option(
    "--registry", metavar="DIR", help="Directory of the models; else schedtel/models in $XDG_DATA_HOME."
)
_FORMAT = format_option("table", "json")
_THRESHOLD = click.option(
    "--threshold",
    type=click.FloatRange(0, 10),
    default=0.02,
    show_default=True,
    help="By which share a cost may rise on a graph that was known before.",
)
_READING, _WRITING = (_REGISTRY, _FORMAT), (_REGISTRY, _THRESHOLD, _FORMAT)


@click.group("models", cls=StrictGroup, short_help="Keep trained models, each judged on every graph it knows.")
def command() -> None:
    """Keep versions of models that schedule graphs, and accept a new one only if it loses on no graph they know.

    MODEL is a name, or at least 8 digits of a version.
    """


@command.command("list", short_help="List the models.")
@together(_READING)
def list_(registry: str | None, kind: str) -> None:
    """List the models: newest version, families of graphs, and how it was made."""
    store = _store(registry)
    families = families_of(store)
    rows = []
    for name in store.names():
        history = store.history(name)
        manifest = store.manifest(history[-1])
        rows.append(
            {
                "name": name,
                "version": history[-1],
                "versions": len(history),
                "made": manifest.made,
                "graphs": list(manifest.costs),
                "families": families[name],
            }
        )
    if kind == "json":
        lines.document(json.dumps({"models": rows}, indent=2))
    else:
        show_models(rows)


@command.command("show", short_help="Show a version.")
@click.argument("model", metavar="MODEL")
@together(_READING)
def show(model: str, registry: str | None, kind: str) -> None:
    """Show a version: whence it comes, and its cost on each graph beside a bound that no schedule is below."""
    store = _store(registry)
    version = store.resolve(model)
    manifest = store.manifest(version)
    store.arrays(version)  # one that is damaged is not shown as if it could be used
    history = store.history(model) if model in store.names() else []
    if kind == "json":
        table = {"version": version, "history": history} | json.loads(manifest.to_bytes())
        lines.document(json.dumps(table, indent=2))
    else:
        show_version(version, manifest, history)


@command.command("pick", short_help="Find the model nearest to a graph.")
@click.argument("spec", metavar="SPEC")
@together(_READING)
def pick(spec: str, registry: str | None, kind: str) -> None:
    """Find the model whose graphs are nearest to that of SPEC, a preset or a file as for `schedtel dag solve`."""
    found = nearest(_store(registry), fingerprint(graph_of(spec)))
    rows = [
        {"name": one.name, "version": one.version, "graph": one.graph, "distance": one.far, "is": how_near(one.far)}
        for one in found
    ]
    if kind == "json":
        lines.document(json.dumps({"graph": spec, "models": rows}, indent=2))
    else:
        show_near(rows)


@command.command("update", short_help="Put new weights under a name.")
@click.argument("name", metavar="NAME")
@click.argument("weights", metavar="FILE")
@click.option("--graph", "specs", metavar="SPEC", multiple=True, help="Judge it on this one, too; several times.")
@click.option("--from", "came_from", metavar="MODEL", help="What it was trained on from; else the version of NAME.")
@together(_WRITING)
def update(
    name: str,
    weights: str,
    specs: tuple[str, ...],
    came_from: str | None,
    registry: str | None,
    threshold: float,
    kind: str,
) -> int:
    """Put the weights of FILE under NAME, judged on all graphs that the version there was judged on, and on SPEC.

    If one of these costs more than before by more than --threshold, NAME stays as it was, and the status is 1.
    """
    dags = {dag.name: dag for dag in map(graph_of, specs)}
    arrays = read_weights(weights)
    return _told(name, update_model(_store(registry), _judge(), name, arrays, dags, threshold, came_from), kind)


@command.command("merge", short_help="Merge models.")
@click.argument("name", metavar="NAME")
@click.argument("models", metavar="MODEL...", nargs=-1, required=True)
@click.option(
    "--method",
    type=click.Choice([*METHODS, DISTIL]),
    help="The mean; TIES: the largest changes since the ancestor, where their signs agree; or a new network, which "
    "learns from each where it is best.  [default: average; distil without a common ancestor]",
)
@together(_WRITING)
def merge(
    name: str, models: tuple[str, ...], method: str | None, registry: str | None, threshold: float, kind: str
) -> int:
    """Merge MODELs, and put the result under NAME.

    It is judged on every graph that one of them knows, against the best of them there. If one costs more by more than
    --threshold, NAME stays as it was, and the status is 1.
    """
    return _told(name, merge_models(_store(registry), _judge(), name, models, method, threshold, _distil), kind)


@command.command("split", short_help="Give graphs back to the versions that were better on them.")
@click.argument("name", metavar="NAME")
@together(_WRITING)
def split(name: str, registry: str | None, threshold: float, kind: str) -> None:
    """Make NAME-1, NAME-2 … of NAME, where it loses on some graphs to a version that it comes from."""
    parts = split_model(_store(registry), name, threshold)
    if kind == "json":
        lines.document(json.dumps({"models": parts}, indent=2))
    else:
        show_parts(name, parts)


@command.command("rollback", short_help="Go back to an earlier version.")
@click.argument("name", metavar="NAME")
@click.option("--to", metavar="VERSION", help="One of its history; else the one before the newest.")
@together(_READING)
def rollback(name: str, to: str | None, registry: str | None, kind: str) -> None:
    """Have NAME lead to the version before its newest again."""
    version = roll_back(_store(registry), name, to)
    if kind == "json":
        lines.document(json.dumps({"name": name, "version": version}, indent=2))
    else:
        lines.answer(f"{name} is {version[:12]} again")


@command.command("verify", short_help="Look for what is damaged or missing.")
@together(_READING)
def verify(registry: str | None, kind: str) -> int:
    """Compare everything in the registry with its digest, and follow every name. Status 1 if something is wrong."""
    store = _store(registry)
    found = list(faults(store))
    if kind == "json":
        lines.document(json.dumps({"faults": found}, indent=2))
    else:
        for text in found or ["nothing is damaged and nothing is missing"]:
            lines.answer(text)
    return _FAULTY if found else 0


def _store(registry: str | None) -> Store:
    return Store(registry or default_registry())


def _judge() -> "Judge":
    from schedtel.environments.dag_policy import makespan  # noqa: PLC0415  (numba, which nothing else here needs)

    return makespan


def _distil(lessons: "Sequence[tuple[Arrays, Dag]]") -> "Arrays":
    from schedtel.training.learner.distilling import distilled  # noqa: PLC0415  (torch, which nothing else here needs)

    return distilled(lessons)


def _told(name: str, verdict: Verdict, kind: str) -> int:
    if kind == "json":
        lines.document(json.dumps({"name": name, "accepted": verdict.accepted, **asdict(verdict)}, indent=2))
    else:
        show_verdict(name, verdict)
    return 0 if verdict.accepted else _NOT_ACCEPTED
