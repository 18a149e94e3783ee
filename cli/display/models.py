"""Models, versions and verdicts in; tables for a person out."""

from typing import Any

from schedtel.cli.display.cells import Grid, below, line
from schedtel.cli.display.workloads import show
from schedtel.dags.fingerprint import how_near
from schedtel.models.curation import Verdict
from schedtel.models.manifest import Manifest

#: Digits of a version that are shown.
_DIGITS = 12
_MOST_GRAPHS = 6


def show_models(rows: list[dict[str, Any]]) -> None:
    """One row for each name."""
    table = Grid()
    for header in ("model", "version"):
        table.column(header)
    table.column("versions", right=True)
    for header in ("made by", "families", "graphs"):
        table.column(header, wraps=header == "graphs")
    for row in rows:
        graphs = row["graphs"][:_MOST_GRAPHS] + ["…"] * (len(row["graphs"]) > _MOST_GRAPHS)
        families = " ".join(map(str, row["families"]))
        table.row(row["name"], row["version"][:_DIGITS], str(row["versions"]), row["made"], families, " ".join(graphs))
    show(table)


def show_version(version: str, manifest: Manifest, history: list[str]) -> None:
    """Whence a version comes, and a row for each graph."""
    table = Grid()
    table.column("graph")
    for header in ("cost", "bound", "over bound"):
        table.column(header, right=True)
    for name, known in manifest.evaluation.items():
        table.row(name, f"{known.cost:,.0f}", f"{known.bound:,.0f}", f"{known.cost / known.bound - 1:+.1%}")
    parents = ", ".join(parent[:_DIGITS] for parent in manifest.parents) or "none"
    about = [f"version {version[:_DIGITS]}, made by {manifest.made}; parents: {parents}"]
    if history:
        about.append("history: " + ", ".join(one[:_DIGITS] for one in history))
    show(table, *(below(line(text)) for text in about))


def show_near(rows: list[dict[str, Any]]) -> None:
    """One row for each model, the nearest first."""
    table = Grid()
    for header in ("model", "version", "nearest graph"):
        table.column(header)
    table.column("distance", right=True)
    table.column("is")
    for row in rows:
        table.row(
            row["name"], row["version"][:_DIGITS], row["graph"], f"{row['distance']:.2f}", how_near(row["distance"])
        )
    show(table)


def show_verdict(name: str, verdict: Verdict) -> None:
    """What each graph cost before and costs now, and whether the new version was accepted."""
    table = Grid()
    table.column("graph")
    for header in ("before", "after", "change"):
        table.column(header, right=True)
    table.column()
    for graph, after in verdict.after.items():
        before = verdict.before.get(graph)
        change = "-" if before is None else f"{after / before - 1:+.1%}"
        worse = ("worse", "red") if graph in verdict.worse else ""
        table.row(graph, "-" if before is None else f"{before:,.0f}", f"{after:,.0f}", change, worse)
    if verdict.accepted:
        text = f"{name} is {verdict.version[:_DIGITS]} now"
    else:
        text = f"{name} stays as it was: {verdict.version[:_DIGITS]} loses on {len(verdict.worse)} graphs"
    show(table, below(line(text)))


def show_parts(name: str, parts: dict[str, list[str]]) -> None:
    """One row for each model that was made of another, or that there is nothing to split."""
    if not parts:
        show(line(f"{name} stays whole: no version that it comes from is better on a graph"))
        return
    table = Grid()
    table.column("model")
    table.column("graphs", wraps=True)
    for one, graphs in parts.items():
        table.row(one, " ".join(graphs))
    show(table)
