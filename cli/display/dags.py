"""Compared schedules, presets and periodic jobs in; tables for a person out."""

from typing import Any

from schedtel.cli.display.cells import Grid, below, line
from schedtel.cli.display.gantt import gantt
from schedtel.cli.display.workloads import show
from schedtel.dags.comparison import Comparison, noisy_figures
from schedtel.dags.dag import Dag
from schedtel.dags.families import FAMILIES, MOST_TILES, WAIT
from schedtel.dags.recipes import RECIPES

_GANTT_WIDTH = 100


def show_families() -> None:
    """One row for each preset."""
    table = Grid()
    table.column("graph")
    table.column("what it is", wraps=True)
    table.row("wait", WAIT)
    for name, (_, text) in FAMILIES.items():
        table.row(f"{name}-T", f"{text}, T by T tiles (1 to {MOST_TILES}); times drawn up; 2 CPUs and 1 GPU")
    table.row("cholesky-T-readys", "the same with the times that READYS published, no transfers; 2 CPUs and 2 GPUs")
    for name, (_, text, most) in RECIPES.items():
        table.row(f"{name}-N", f"{text} (1 to {most:,}); times drawn by seed, as {name}-2@7")
    show(table)


def show_comparison(compared: Comparison) -> None:
    """One row for each method, what is known of the optimum, and the best schedule drawn."""
    dag = compared.dag
    table = Grid()
    table.column("method")
    for header in ("makespan", "over bound", *(("mean, noisy", "p95, noisy") if compared.noisy else ())):
        table.column(header, right=True)
    for method, schedule in compared.schedules.items():
        over = f"{compared.over(method):+.1%}" if compared.over(method) else "0"
        noisy = [f"{value:.1f}" for value in noisy_figures(compared.noisy[method])] if compared.noisy else []
        table.row(method, f"{schedule.makespan(dag):,}", over, *noisy)
    drawn = [line(row) for row in gantt(dag, compared.schedules[compared.best], _GANTT_WIDTH)]
    parts = [below(line(text)) for text in _remarks(compared)]
    show(table, *parts, *drawn)


def _remarks(compared: Comparison) -> list[str]:
    return [text for text in (_about(compared), compared.dag.note, f"{compared.best}:") if text]


def _about(compared: Comparison) -> str:
    dag, found = compared.dag, compared.found
    unit = f" {dag.unit}" if dag.unit else ""
    if compared.bound_is_reached:
        known = f"the optimum is {compared.bound:,}{unit}, proven"
    else:
        known = f"no makespan is below {compared.bound:,}{unit}; the optimum is not proven"
    how = f" by CP-SAT in {found.seconds:.1f} s" if found else " by the longest chain and the least work"
    return f"{_size(dag)}; {known}{how}"


def _size(dag: Dag) -> str:
    devices = ", ".join(f"{kind.count} {kind.name}" for kind in dag.kinds)
    return f"{len(dag.jobs):,} jobs, {len(dag.edges):,} edges, {devices}"


def show_rule(makespans: dict[str, tuple[float, int, int]]) -> None:
    """One row for each graph: the makespan by a rule, that by HEFT, and the bound."""
    table = Grid()
    table.column("graph")
    for header in ("by the rule", "HEFT", "bound"):
        table.column(header, right=True)
    for name, (by_rule, by_heft, bound) in makespans.items():
        table.row(name, f"{by_rule:,.0f}", f"{by_heft:,}", f"{bound:,}")
    show(table)


def show_periodic(rows: list[dict[str, Any]], scale: float) -> None:
    """One row for each configuration, and their sum."""
    table = Grid()
    table.column("periods (ms)")
    columns = ("jobs", "EDF, one by one", "EDF, fused", *(("CP-SAT", "bound") if "most" in rows[0] else ()))
    for header in columns:
        table.column(header, right=True)
    for row in rows:
        table.row(",".join(map(str, row["periods_ms"])), *_counts(row))
    if len(rows) > 1:
        total = {key: sum(row[key] for row in rows) for key in rows[0] if key != "periods_ms"}
        table.row(f"all {len(rows)}", *_counts(total))
    show(table, below(line(f"jobs that meet their deadline; scale {scale:g} of the published times")))


def _counts(row: dict[str, Any]) -> list[str]:
    keys = ("jobs", "edf_single", "edf_fused", *(("most", "bound") if "most" in row else ()))
    return [f"{row[key]:,}" for key in keys]
