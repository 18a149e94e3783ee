"""How near the simulator comes in; text for a person, CSV and JSON for a program out."""

import csv
import io
import json
from dataclasses import asdict, fields

from schedtel.experiments.nearness import FIGURES, Nearness, Row
from schedtel.experiments.tables import aligned, name_text
from schedtel.foreign_text import Printable


def text_of(nearness: Nearness) -> str:
    """A row of errors for each workload and arm, their medians, and what a reader has to know."""
    heading = (
        f"{name_text(nearness.title)}: simulated / measured, less 1; medians over runs\n{name_text(nearness.where)}"
    )
    said = [f"{name}: {value:.3g}" for name, value in nearness.conditions.items()]
    notes = [f"conditions, medians: {', '.join(said)}"] if said else []
    notes += [f"left out: {count} runs: {Printable(why)}" for why, count in nearness.left_out.items()]
    return "\n\n".join([heading, _table(nearness), *notes]) + "\n"


def _table(nearness: Nearness) -> str:
    errors = {(row.workload, row.scheduler, row.figure): row.error for row in nearness.rows}
    places = list(dict.fromkeys((row.workload, row.scheduler) for row in nearness.rows))
    rows = [["workload", "arm", "runs", *FIGURES]]
    for place in places:
        runs = max(row.pairs for row in nearness.rows if (row.workload, row.scheduler) == place)
        mark = "*" if place[0] in nearness.calibrated_on else ""
        cells = [_percent(errors.get((*place, figure))) for figure in FIGURES.values()]
        rows.append([name_text(place[0]) + mark, name_text(place[1]), str(runs), *cells])
    for is_held_out, name in ((False, "calibrated on"), (True, "held out")):
        medians = nearness.median_errors(held_out=is_held_out)
        if medians:
            cells = [f"{medians[f][0]:.0%}" if f in medians else "-" for f in FIGURES.values()]
            rows.append([f"median |error|, {name}", "", "", *cells])
    star = "\n* its runs are what the machine's numbers are from" if nearness.calibrated_on else ""
    return aligned(rows) + star


def _percent(error: float | None) -> str:
    return "-" if error is None else f"{error:+.0%}"


def csv_of(nearness: Nearness) -> str:
    """A line for each figure, with a header (RFC 4180)."""
    text = io.StringIO()
    names = [field.name for field in fields(Row)]
    writer = csv.DictWriter(text, [*names, "held_out"], lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(asdict(row) | {"held_out": row.workload not in nearness.calibrated_on} for row in nearness.rows)
    return text.getvalue()


def json_of(nearness: Nearness) -> str:
    """All of it: the fields of :class:`Nearness`, and the median errors."""
    names = {"calibrated": False, "held_out": True}
    medians = {name: nearness.median_errors(held_out=which) for name, which in names.items()}
    return json.dumps(asdict(nearness) | {"median_errors": medians}, indent=1)
