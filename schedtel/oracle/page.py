"""An evaluation in; lines of text, and one HTML page (see :mod:`schedtel.experiments.markup`), out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from schedtel.access.files import read_with_mode
from schedtel.errors import UsageError
from schedtel.experiments.markup import name, page, section, table, text
from schedtel.oracle.evaluation import EVALUATION_VERSION, POINTER

_MOST_BYTES = 16 << 20
#: The parts of an evaluation, and their subsets, in words.
PARTS = {
    "runs": "runs that were not learned from",
    "workloads": "workloads that were left out",
    "datasets": "learned from other datasets alone",
}
SUBSETS = {"all": "all switches", "to a task": "switches to a task, the idle one left out"}
_WIDTH = 160


def read_evaluation(path: str) -> dict[str, Any]:
    """What `schedtel oracle evaluate -o` wrote.

    Raises :class:`UsageError` for a file that is none, damaged, or of another version.
    """
    content = read_with_mode(path, "evaluation", _MOST_BYTES)[0]
    try:
        found: dict[str, Any] = json.loads(content)
        version = int(found["version"]) if found["evaluation"] == "schedtel.oracle" else 0
        if version == EVALUATION_VERSION:
            render(found, "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise UsageError(
            f"cannot read evaluation {path}: it is none, or damaged (write one with `schedtel oracle evaluate -o`)"
        ) from error
    if version != EVALUATION_VERSION:
        raise UsageError(
            f"cannot read evaluation {path}: its version is {version or 'none'}, this schedtel's {EVALUATION_VERSION} "
            "(evaluate again)"
        )
    return found


def text_of(evaluation: dict[str, Any]) -> Iterator[str]:
    """Tables of the evaluation as lines."""
    for heading, found in _tables(evaluation):
        yield heading
        yield f"  {'':17}{'top-1':>7}{'':17}{'top-5':>7}{'NLL':>7}{'ECE':>7}"
        for row in found["rows"]:
            top1, top5, nll, error = _cells(row)
            yield f"  {row['forecaster']:17}{top1:>7}  {_between(row['top1']):15}{top5:>7}{nll:>7}{error:>7}"
        yield ""
    yield _cost(evaluation)


def _tables(evaluation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The heading and the figures of each table."""
    for dataset in evaluation["datasets"]:
        for part, what in PARTS.items():
            for subset, which in SUBSETS.items():
                if part in dataset["parts"]:
                    found = dataset["parts"][part][subset]
                    yield f"{dataset['name']}: {what}; {which} ({int(found['forecasts'])} forecasts)", found


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    """Top-1, top-5, NLL and the calibration error of a row, as text."""
    nll = f"{_number(row['nll']['value']):.2f}" if row["nll"] else "-"
    error = "-" if row["calibration_error"] is None else f"{_number(row['calibration_error']):.3f}"
    return f"{_number(row['top1']['value']):.3f}", f"{_number(row['top5']['value']):.3f}", nll, error


def _between(interval: dict[str, float]) -> str:
    return f"[{_number(interval['low']):.3f}, {_number(interval['high']):.3f}]"


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return value


def _cost(evaluation: dict[str, Any]) -> str:
    latency = evaluation["latency_us"]
    return (
        f"CPU time of one forecast: p50 {_number(latency['p50']):.0f} µs, p99 {_number(latency['p99']):.0f} µs, from "
        f"features that take {_number(evaluation['features_us']):.0f} µs in Python"
    )


def render(evaluation: dict[str, Any], title: str) -> str:
    """The page as HTML. Raises :class:`ValueError` and the like for an evaluation that is damaged.

    :param title: the name of the evaluation's file.
    """
    facts = (
        f"{int(evaluation['seeds'])} seeds; a pointer network has {int(evaluation['parameters'])} parameters; "
        f"{_tunings(evaluation)}schedtel {evaluation['schedtel']}."
    )
    sets = "".join(f"<p>{text(_told(dataset))}</p>" for dataset in evaluation["datasets"])
    told = f"{sets}<p>{text(facts)}</p><p>{text(_cost(evaluation))}.</p>"
    parts = [f"<h1>Who is next on this CPU?</h1><p>{text(title)}</p>{told}"]
    for heading, found in _tables(evaluation):
        parts += [
            section(text(heading), _ABOUT, _forecasters(found)),
            section("By workload: top-1", "", _by_workload(found)),
            section("What the pointer network has more in top-1", _GAINS, _gains(found)),
            section("Calibration of the pointer network", _CALIBRATION, _reliability(found)),
        ]
    return page(f"schedtel oracle: {title}", parts)


def _told(dataset: dict[str, Any]) -> str:
    workloads = [str(workload) for workload in dataset["workloads"]]
    return (
        f"{dataset['name']}: {len(workloads)} workloads ({', '.join(workloads)}); kernel {dataset['kernel']}, "
        f"{dataset['cpus']} CPUs."
    )


def _tunings(evaluation: dict[str, Any]) -> str:
    return "".join(
        f"{kind}: the best of {len(tuning['tried'])} is {_tuning(tuning['chosen'])}; "
        for kind, tuning in evaluation["tunings"].items()
    )


def _tuning(chosen: dict[str, Any]) -> str:
    return (
        f"width {int(chosen['width'])}, learning rate {_number(chosen['rate'])}, sequences of {int(chosen['length'])}"
    )


_ABOUT = (
    "Top-1 and top-5: how often the task that came was the first choice, or among five. NLL: the mean of -ln of the "
    "chance that it was given. ECE: the mean difference between the chance of the first choice and how often it comes. "
    "Means over workloads; intervals (95 %) resample workloads, runs within them, and seeds."
)
_GAINS = "In the same runs, with the interval of the difference."
_CALIBRATION = (
    "Forecasts by the chance that their first choice was given: their share, that chance, and what came true."
)


def _forecasters(found: dict[str, Any]) -> str:
    rows = []
    for row in found["rows"]:
        top1, *others = _cells(row)
        rows.append([text(str(row["forecaster"])), top1, _between(row["top1"]), _bar(row["top1"]), *others])
    return table(["forecaster", "top-1", "interval", "", "top-5", "NLL", "ECE"], rows)


def _bar(interval: dict[str, float]) -> str:
    """The value as a bar from 0 to 1, its interval as a line."""
    value, low, high = (_WIDTH * min(1.0, max(0.0, _number(interval[key]))) for key in ("value", "low", "high"))
    return (
        f'<td class="left"><svg width="{_WIDTH}" height="12" role="img" aria-label="bar">'
        f'<rect width="{value:.1f}" height="12" fill="hsl(212 60% 70%)"/>'
        f'<rect x="{low:.1f}" y="5" width="{max(1.0, high - low):.1f}" height="2" fill="hsl(212 80% 25%)"/></svg></td>'
    )


def _by_workload(found: dict[str, Any]) -> str:
    workloads = list(next(row for row in found["rows"] if row["forecaster"] == POINTER)["by_workload"])
    rows = [
        [text(str(row["forecaster"])), *(f"{_number(row['by_workload'][workload]):.3f}" for workload in workloads)]
        for row in found["rows"]
    ]
    return table(["forecaster", *map(name, workloads)], rows)


def _gains(found: dict[str, Any]) -> str:
    rows = [
        [f"over {text(str(gain['over']))}", f"{_number(gain['top1']['value']):+.3f}", _between(gain["top1"])]
        for gain in found["gains"]
    ]
    return table(["", "more", "interval"], rows)


def _reliability(found: dict[str, Any]) -> str:
    rows = [
        [f"{_number(value):.3f}" for value in (chance, share, came)] for share, chance, came in found["reliability"]
    ]
    return table(["chance", "share of forecasts", "came true"], rows)
