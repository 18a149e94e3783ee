"""Findings in; tables of them as text, CSV and Arrow out."""

import csv
import io
from collections.abc import Sequence

import pyarrow as pa

from schedtel.durations import format_duration
from schedtel.experiments.findings import BY_NAME, COST, Findings, Winner
from schedtel.experiments.statistics import LEAST_PAIRS, Difference, Variability
from schedtel.foreign_text import Printable

#: Columns of the table of all findings: a row for each workload, scheduler and figure; ``cpu`` is null but for a
#: figure of one CPU.
SCHEMA = pa.schema(
    [
        pa.field("workload", pa.string()),
        pa.field("scheduler", pa.string()),
        pa.field("cpu", pa.int32()),
        pa.field("figure", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("runs", pa.int64()),
        pa.field("mean", pa.float64()),
        pa.field("std", pa.float64()),
        pa.field("cv_percent", pa.float64()),
        pa.field("pairs", pa.int64()),
        pa.field("ratio", pa.float64()),
        pa.field("ratio_low", pa.float64()),
        pa.field("ratio_high", pa.float64()),
        pa.field("shown", pa.bool_()),
        pa.field("least_shown", pa.float64()),
        pa.field("pairs_needed_for_5_percent", pa.int64()),
    ]
)
_MOST_NAME = 40


def table_of(findings: Findings) -> pa.Table:
    """All findings as a table of :data:`SCHEMA`; what is not known is null, as comparisons of the baseline are."""
    rows = [_row(findings, *key) for key in findings.variability]
    for (workload, scheduler, cpu, figure), spread in findings.core_variability.items():
        named = {"workload": workload, "scheduler": scheduler, "cpu": cpu, "figure": figure}
        rows.append({**named, **_spread(figure, spread)})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def _spread(figure: str, spread: Variability) -> dict[str, object]:
    columns = {"runs": spread.runs, "mean": spread.mean, "std": spread.std, "cv_percent": spread.cv_percent}
    return {"unit": BY_NAME[figure].unit, **columns}


def _row(findings: Findings, workload: str, scheduler: str, figure: str) -> dict[str, object]:
    difference = findings.difference(workload, scheduler, figure) or Difference(0)
    return {
        "workload": workload,
        "scheduler": scheduler,
        "figure": figure,
        **_spread(figure, findings.variability[workload, scheduler, figure]),
        "pairs": difference.pairs,
        "ratio": difference.ratio,
        "ratio_low": difference.low,
        "ratio_high": difference.high,
        "shown": difference.shown if difference.low is not None else None,
        "least_shown": difference.least_shown,
        "pairs_needed_for_5_percent": difference.needed,
    }


def csv_of(findings: Findings) -> str:
    """The same table as CSV with a header (RFC 4180)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, SCHEMA.names, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(table_of(findings).to_pylist())
    return text.getvalue()


# ---- text ----


def text_of(findings: Findings, *, cores: bool = False) -> str:
    """The findings for a person: what was run, the cost of each arm, variability, winners, and what could be seen.

    :param cores: also the variability of each CPU.
    """
    parts = [_heading(findings), _cost_table(findings), _variability_table(findings)]
    parts += [_core_table(findings)] if cores else []
    parts.append(_winner_table(findings))
    return "\n\n".join([*parts, _power(findings), *(f"note: {note}" for note in findings.notes)]) + "\n"


def _heading(findings: Findings) -> str:
    return (
        f"{name_text(findings.title)}: {findings.runs} runs of {len(findings.workloads)} workloads under "
        f"{len(findings.schedulers)} schedulers; baseline {name_text(findings.baseline)}"
    )


def _cost_table(findings: Findings) -> str:
    """The cost as a multiple of the baseline's: a row for each workload, a column for each arm."""
    arms = findings.schedulers[1:]
    head = ["cost L / L0", *map(name_text, arms)]
    rows = [
        [name_text(workload), *(ratio_text(findings.difference(workload, arm, COST)) for arm in arms)]
        for workload in findings.workloads
    ]
    legend = "less is better; [interval that holds for all arms of the row at once]; * shown to differ from 1"
    return f"{aligned([head, *rows])}\n{legend}"


def ratio_text(difference: Difference | None) -> str:
    """``0.64 [0.51, 0.80] *``; without an interval where there are too few pairs."""
    if difference is None or difference.ratio is None:
        return "-"
    if difference.low is None or difference.high is None:
        return f"{difference.ratio:.3g} [{difference.pairs} of {LEAST_PAIRS} pairs]"
    return f"{difference.ratio:.3g} [{difference.low:.3g}, {difference.high:.3g}]{' *' if difference.shown else ''}"


def _variability_table(findings: Findings) -> str:
    rows = [["figure", "workload", "scheduler", "runs", "mean", "std", "CV %"]]
    for (workload, scheduler, figure), spread in findings.variability.items():
        rows.append([figure, name_text(workload), name_text(scheduler), *spread_texts(figure, spread)])
    return aligned([rows[0], *sorted(rows[1:])])


def _core_table(findings: Findings) -> str:
    if not findings.core_variability:
        return "no figures of CPUs in these runs"
    rows = [["figure", "workload", "scheduler", "CPU", "runs", "mean", "std", "CV %"]]
    by_figure = sorted(findings.core_variability.items(), key=lambda item: (item[0][3], item[0]))
    for (workload, scheduler, cpu, figure), spread in by_figure:
        rows.append([figure, name_text(workload), name_text(scheduler), str(cpu), *spread_texts(figure, spread)])
    return f"{aligned(rows)}\nof all tasks that ran on the CPU"


def spread_texts(figure: str, spread: Variability) -> list[str]:
    """Runs, mean, standard deviation and coefficient of variation in percent."""
    values = (value_text(figure, spread.mean), value_text(figure, spread.std), _percent(spread.cv_percent))
    return [str(spread.runs), *values]


def value_text(figure: str, value: float | None) -> str:
    """A value with its unit; ``-`` where there is none."""
    if value is None:
        return "-"
    return format_duration(value) if BY_NAME[figure].unit == "ns" else f"{value:.4g}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _winner_table(findings: Findings) -> str:
    objectives = list(dict.fromkeys(winner.objective for winner in findings.winners))
    by_place = {(winner.workload, winner.objective): winner for winner in findings.winners}
    rows = [
        [name_text(workload), *(winner_text(by_place[workload, objective]) for objective in objectives)]
        for workload in findings.workloads
    ]
    return f"{aligned([['best for', *objectives], *rows])}\n? not shown to be better than the baseline"


def winner_text(winner: Winner) -> str:
    """The arm and its ratio to the baseline, with a question mark where it is not shown."""
    if winner.ratio is None:
        return name_text(winner.scheduler)
    return f"{name_text(winner.scheduler)} {winner.ratio:.3g}{'' if winner.shown else ' ?'}"


def _power(findings: Findings) -> str:
    """What this experiment could have seen of the cost: the median over its comparisons."""
    known = [c.difference for c in findings.comparisons if c.figure == COST and c.difference.needed]
    if not known:
        return f"power: unknown with fewer than {LEAST_PAIRS} repeats"
    needed = sorted(difference.needed or 0 for difference in known)[len(known) // 2]
    least = sorted(difference.least_shown or 0 for difference in known)[len(known) // 2]
    return (
        f"power: with {known[0].pairs} repeats, a cost that is {least:.0%} higher is shown 4 times in 5 (median over "
        f"comparisons); one that is 5 % higher needs {needed} repeats"
    )


def name_text(text: str) -> str:
    """A name from a file, printable and not too long."""
    shown = str(Printable(text))
    return shown if len(shown) <= _MOST_NAME else f"{shown[: _MOST_NAME - 1]}…"


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of one length as lines, in columns."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
