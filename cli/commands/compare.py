"""``schedtel compare``: two recordings in; the differences that are more than chance out."""

import json
from typing import Any

import click
from rich.console import RenderableType

from schedtel.analysis.compare import (
    BETTER,
    CONFIDENCE,
    DIFFERS,
    FEW,
    LEAST_WINDOWS,
    NONE,
    RESAMPLES,
    WORSE,
    Comparison,
    Difference,
    compare,
)
from schedtel.cli import lines
from schedtel.cli.display.cells import Grid, Piece, Screen, below, line, plain_rows, terminal_console
from schedtel.cli.inputs import read_summaries
from schedtel.cli.options import bound_options, client_options
from schedtel.cli.strict import StrictCommand
from schedtel.durations import format_duration
from schedtel.errors import UsageError
from schedtel.report import RunSummary, document_of, render, unlike, write_page

_WORDS = {
    BETTER: ("B is better", "bold green"),
    WORSE: ("B is worse", "bold red"),
    DIFFERS: ("differs", "bold yellow"),
    NONE: ("no difference shown", "dim"),
    FEW: ("cannot tell", "dim"),
}
_PLAIN_WIDTH = 140
#: On a narrower terminal the intervals are left out, so that the verdicts fit.
_LEAST_WIDTH = 120


@click.command("compare", cls=StrictCommand, short_help="Compare two recordings.")
@click.argument("a")
@click.argument("b")
@click.option("-o", "--output", metavar="FILE", help="Also draw both on one HTML page.")
@click.option(
    "--format",
    "kind",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="A table for a person, or all figures as JSON.",
)
@click.option("--differences", is_flag=True, help="Show only what differs.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the resampling.")
@click.option(
    "--resamples",
    type=click.IntRange(100, 100_000),
    default=RESAMPLES,
    show_default=True,
    help="How many times the windows are resampled.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.999),
    default=CONFIDENCE,
    show_default=True,
    help="Confidence of the intervals; 1 minus it is the level of the verdicts.",
)
@bound_options
@client_options
def command(a: str, b: str, output: str | None, kind: str, differences: bool, **options: Any) -> None:
    """Compare recording B with recording A: every metric, the interval of its difference, and a verdict.

    The intervals come from resampling blocks of neighbouring windows (bootstrap), the verdicts from p-values that are
    adjusted for the number of metrics (Holm). "no difference shown" is a verdict; fewer than 8 windows give none.

    Either may be a directory, a dataset in an object store, or what `schedtel serve` has at a URI: first the windows
    that the server keeps, then new ones, until --duration, --count, or Ctrl-C. Two streams are read at the same time.
    """
    if output == "-":
        raise UsageError("cannot write the page to stdout: the comparison goes there (name a file)")
    summaries = read_summaries([a, b], options)
    comparison = compare(summaries[0].timeline, summaries[1].timeline, **{name: options[name] for name in _RESAMPLING})
    if output:
        write_page(render(document_of(summaries, comparison.as_document())), output)
    if kind == "json":
        lines.document(json.dumps(_document(summaries, comparison), indent=2, allow_nan=False))
    else:
        _show(summaries, comparison, differences)


_RESAMPLING = ("seed", "resamples", "confidence")


def _document(summaries: list[RunSummary], comparison: Comparison) -> dict[str, Any]:
    return (
        {
            letter: {
                "name": summary.name,
                "host": ", ".join(summary.timeline.hosts),
                "kernel": ", ".join(summary.timeline.kernels),
                "scheduler": summary.timeline.schedulers,
                "filter": summary.facts.get("filter", ""),
                "windows": summary.timeline.windows,
                "duration_ns": summary.timeline.duration_ns,
                "losses": summary.losses,
            }
            for letter, summary in zip("ab", summaries, strict=True)
        }
        | {"unlike": unlike(*summaries)}
        | comparison.as_document()
    )


def _show(summaries: list[RunSummary], comparison: Comparison, only_differences: bool) -> None:
    console = terminal_console()
    if console.is_terminal:
        _print(console, summaries, comparison, only_differences)
        return
    for row in plain_rows(_PLAIN_WIDTH, lambda plain: _print(plain, summaries, comparison, only_differences)):
        lines.answer(row)


def _print(console: Screen, summaries: list[RunSummary], comparison: Comparison, only_differences: bool) -> None:
    for letter, summary in zip("AB", summaries, strict=True):
        console.print(_headline(letter, summary))
    table = Grid()
    table.column("metric", wraps=True)
    narrow = console.width < _LEAST_WIDTH
    for name in ("A", "B", "change", *([] if narrow else [f"{100 * comparison.confidence:g} % interval"])):
        table.column(name, right=True)
    table.column("verdict")
    for metric in comparison.metrics:
        if not only_differences or metric.verdict not in (NONE, FEW):
            row = _row(metric)
            table.row(*(row[:4] + row[5:] if narrow else row))
    if table.row_count:
        console.print(below(table))
    console.print(below(line(_conclusion(summaries, comparison))))
    console.print(line(comparison.method))


def _headline(letter: str, summary: RunSummary) -> RenderableType:
    timeline = summary.timeline
    lost = ", ".join(f"{n} {name}" for name, n in summary.losses.items() if n) or "nothing lost"
    facts = [
        ", ".join(timeline.hosts) or "unknown host",
        f"Linux {', '.join(timeline.kernels) or '?'}",
        " → ".join(timeline.schedulers) or "unknown scheduler",
        summary.facts.get("filter") or "all tasks",
        f"{timeline.windows} windows, {format_duration(timeline.duration_ns)}",
        lost,
    ]
    return line((f"{letter}  ", "bold cyan"), (summary.name, "bold"), " · " + " · ".join(facts))


def _row(metric: Difference) -> list[Piece]:
    words, style = _WORDS[metric.verdict]
    values = [_in_unit(value, metric.unit) for value in (metric.a, metric.b)]
    if metric.low is None:
        return [metric.label, *values, "-", "-", (words, style)]
    interval = f"{_change(metric, metric.low)} … {_change(metric, metric.high)}"
    return [metric.label, *values, _change(metric, metric.change), interval, (words, style)]


def _change(metric: Difference, value: float | None) -> str:
    """A ratio as percent, from 3 on as a multiple; a difference in the metric's unit."""
    if value is None:
        return "-"
    if metric.scale == "difference":
        text = _in_unit(abs(value), metric.unit)
        return text if value == 0 else ("+" if value > 0 else "-") + text
    if value >= 3:
        return f"× {value:.0f}" if value >= 99.5 else f"× {value:.3g}"  # noqa: RUF001  (the sign is meant)
    return f"{100 * (value - 1):+.1f} %"


def _in_unit(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == "ns":
        return format_duration(value)
    if unit == "bytes":
        return f"{value / 1e6:.3g} MB"
    text = f"{value:.3f}" if abs(value) < 10 else f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.1f}"
    return text if unit == "1" else f"{text}/s" if unit == "1/s" else f"{text} {unit}"


def _conclusion(summaries: list[RunSummary], comparison: Comparison) -> str:
    count = {verdict: sum(m.verdict == verdict for m in comparison.metrics) for verdict in _WORDS}
    text = f"B is better in {count[BETTER]}, worse in {count[WORSE]}, and differs in {count[DIFFERS]} metrics more; "
    text += f"no difference shown in {count[NONE]}; cannot tell of {count[FEW]}."
    if min(len(summary.timeline.bins) for summary in summaries) < LEAST_WINDOWS:
        text += f" Fewer than {LEAST_WINDOWS} windows say nothing about chance: record for longer, or shorter windows."
    others = unlike(*summaries)
    if others:
        text += f" A and B also differ in {', '.join(others)}: a change may come from there."
    return text
