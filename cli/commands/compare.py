"""``schedtel compare``: two recordings, and what of their difference is more than chance."""

import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

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
from schedtel.cli.inputs import read_stories
from schedtel.cli.options import bound_options, client_options
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
#: On a narrower terminal the intervals make room for the verdicts.
_LEAST_WIDTH = 120


@click.command("compare", short_help="Compare two recordings.")
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
    help="How often the windows are drawn again.",
)
@click.option(
    "--confidence",
    type=click.FloatRange(0.5, 0.999),
    default=CONFIDENCE,
    show_default=True,
    help="Of the intervals; 1 minus it is the level of the verdicts.",
)
@bound_options
@client_options
def command(a: str, b: str, output: str | None, kind: str, differences: bool, **options: Any) -> None:
    """Compare recording B with recording A: every metric, the interval of its difference, and a verdict.

    The intervals come from drawing blocks of neighbouring windows again (bootstrap), the verdicts from p-values that
    are adjusted for the number of metrics (Holm). "no difference shown" is a verdict; fewer than 8 windows give none.

    Either may be a directory, a dataset in an object store, or what `schedtel serve` has at a URI: all it remembers,
    then what comes, until --duration, --count, or Ctrl-C. Two streams are read at the same time.
    """
    if output == "-":
        raise UsageError("cannot write the page to stdout: the comparison goes there (name a file)")
    stories = read_stories([a, b], options)
    found = compare(stories[0].timeline, stories[1].timeline, **{name: options[name] for name in _RESAMPLING})
    if output:
        write_page(render(document_of(stories, found.as_document())), output)
    if kind == "json":
        click.echo(json.dumps(_document(stories, found), indent=2, allow_nan=False))
    else:
        _show(stories, found, differences)


_RESAMPLING = ("seed", "resamples", "confidence")


def _document(stories: list[RunSummary], found: Comparison) -> dict[str, Any]:
    return (
        {
            letter: {
                "name": story.name,
                "host": ", ".join(story.timeline.hosts),
                "kernel": ", ".join(story.timeline.kernels),
                "scheduler": story.timeline.schedulers,
                "filter": story.facts.get("filter", ""),
                "windows": story.timeline.windows,
                "duration_ns": story.timeline.duration_ns,
                "losses": story.losses,
            }
            for letter, story in zip("ab", stories, strict=True)
        }
        | {"unlike": unlike(*stories)}
        | found.as_document()
    )


def _show(stories: list[RunSummary], found: Comparison, only_differences: bool) -> None:
    console = Console()
    if console.is_terminal:
        _print(console, stories, found, only_differences)
        return
    plain = Console(width=_PLAIN_WIDTH, no_color=True, highlight=False)
    with plain.capture() as captured:
        _print(plain, stories, found, only_differences)
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


def _print(console: Console, stories: list[RunSummary], found: Comparison, only_differences: bool) -> None:
    for letter, story in zip("AB", stories, strict=True):
        console.print(_headline(letter, story))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("metric")
    narrow = console.width < _LEAST_WIDTH
    for name in ("A", "B", "change", *([] if narrow else [f"{100 * found.confidence:g} % interval"])):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for metric in found.metrics:
        if not only_differences or metric.verdict not in (NONE, FEW):
            row = _row(metric)
            table.add_row(*(row[:4] + row[5:] if narrow else row))
    if table.row_count:
        console.print()
        console.print(table)
    console.print(Text("\n" + _summary(stories, found)))


def _headline(letter: str, story: RunSummary) -> Text:
    timeline = story.timeline
    lost = ", ".join(f"{n} {name}" for name, n in story.losses.items() if n) or "nothing lost"
    facts = [
        ", ".join(timeline.hosts) or "unknown host",
        f"Linux {', '.join(timeline.kernels) or '?'}",
        " → ".join(timeline.schedulers) or "unknown scheduler",
        story.facts.get("filter") or "all tasks",
        f"{timeline.windows} windows, {format_duration(timeline.duration_ns)}",
        lost,
    ]
    return Text.assemble((f"{letter}  ", "bold cyan"), (story.name, "bold"), " · " + " · ".join(facts))


def _row(metric: Difference) -> list[Text | str]:
    words, style = _WORDS[metric.verdict]
    values = [_in_unit(value, metric.unit) for value in (metric.a, metric.b)]
    if metric.low is None:
        return [metric.label, *values, "-", "-", Text(words, style)]
    interval = f"{_change(metric, metric.low)} … {_change(metric, metric.high)}"
    return [metric.label, *values, _change(metric, metric.change), interval, Text(words, style)]


def _change(metric: Difference, value: float | None) -> str:
    """A ratio as percent, or as a multiple where percent would be hard to read; a difference in the unit."""
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


def _summary(stories: list[RunSummary], found: Comparison) -> str:
    count = {verdict: sum(m.verdict == verdict for m in found.metrics) for verdict in _WORDS}
    said = f"B is better in {count[BETTER]}, worse in {count[WORSE]}, and differs in {count[DIFFERS]} metrics more; "
    said += f"no difference shown in {count[NONE]}; cannot tell of {count[FEW]}."
    if min(len(story.timeline.bins) for story in stories) < LEAST_WINDOWS:
        said += f" Fewer than {LEAST_WINDOWS} windows say nothing about chance: record for longer, or shorter windows."
    others = unlike(*stories)
    if others:
        said += f" A and B also differ in {', '.join(others)}: a change may come from there."
    return said + "\n" + found.method
