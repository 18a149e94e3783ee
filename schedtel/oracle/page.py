"""An evaluation in; lines of text, and the figures of a page that :mod:`schedtel.report` draws, out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from schedtel._version import __version__
from schedtel.access.files import read_with_mode
from schedtel.errors import UsageError
from schedtel.oracle.evaluation import EVALUATION_VERSION
from schedtel.report.page import page_of

_MOST_BYTES = 16 << 20
#: The parts of an evaluation, and their subsets, in words.
PARTS = {"runs": "runs that were not learned from", "workloads": "workloads that were left out"}
SUBSETS = {"all": "all switches", "to a task": "switches to a task, the idle one left out"}
_INTERVAL = ("value", "low", "high")


def read_evaluation(path: str) -> dict[str, Any]:
    """What `schedtel oracle evaluate -o` wrote.

    Raises :class:`UsageError` for a file that is none, damaged, or of another version.
    """
    content = read_with_mode(path, "evaluation", _MOST_BYTES)[0]
    try:
        found: dict[str, Any] = json.loads(content)
        version = int(found["version"]) if found["evaluation"] == "schedtel.oracle" else 0
        if version == EVALUATION_VERSION:
            document_of(found, "")
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
    for part, what in PARTS.items():
        for subset, which in SUBSETS.items():
            if part in evaluation["parts"]:
                found = evaluation["parts"][part][subset]
                yield f"{what}; {which} ({found['forecasts']} forecasts)"
                yield from _table(found["rows"])
                yield ""
    latency = evaluation["latency_us"]
    yield (
        f"one forecast on one CPU: p50 {latency['p50']:.0f} µs, p99 {latency['p99']:.0f} µs, from features that take "
        f"{evaluation['features_us']:.0f} µs in Python"
    )


def _table(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield f"  {'':17}{'top-1':>7}{'':17}{'top-5':>7}{'NLL':>7}{'ECE':>7}"
    for row in rows:
        top1, nll, error = row["top1"], row["nll"], row["calibration_error"]
        between = f"[{top1['low']:.3f}, {top1['high']:.3f}]"
        known = f"{nll['value']:7.2f}{error:7.3f}" if nll else f"{'-':>7}{'-':>7}"
        yield f"  {row['forecaster']:17}{top1['value']:7.3f}  {between:15}{row['top5']['value']:7.3f}{known}"


def render(evaluation: dict[str, Any], name: str) -> str:
    """The page as HTML.

    :param name: of the evaluation's file.
    """
    return page_of(document_of(evaluation, name), f"schedtel oracle: {name}", "forecasts")


def document_of(evaluation: dict[str, Any], name: str) -> dict[str, Any]:
    """The figures of the page, each checked to be a number. Raises :class:`ValueError` and the like for others."""
    parts = [
        {"part": PARTS[part], "subset": SUBSETS[subset], **_tables(evaluation["parts"][part][subset])}
        for part in PARTS
        for subset in SUBSETS
        if part in evaluation["parts"]
    ]
    latency = evaluation["latency_us"]
    return {
        "version": __version__,
        "made": datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "name": name,
        "parts": parts,
        "facts": {
            "workloads": ", ".join(map(str, evaluation["workloads"])),
            "seeds": str(int(evaluation["seeds"])),
            "parameters of the pointer network": str(int(evaluation["parameters"])),
            "one forecast": f"p50 {_number(latency['p50']):.0f} µs, p99 {_number(latency['p99']):.0f} µs, on one CPU",
            "its features": f"{_number(evaluation['features_us']):.0f} µs in Python",
            "kernel": str(evaluation["kernel"]),
            "CPUs": str(evaluation["cpus"]),
        },
    }


def _tables(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "forecasts": int(found["forecasts"]),
        "rows": [
            {
                "forecaster": str(row["forecaster"]),
                "top1": _between(row["top1"]),
                "top5": _between(row["top5"]),
                "nll": row["nll"] and _between(row["nll"]),
                "error": None if row["calibration_error"] is None else _number(row["calibration_error"]),
                "by_workload": {str(key): _number(value) for key, value in row["by_workload"].items()},
            }
            for row in found["rows"]
        ],
        "gains": [{"over": str(gain["over"]), "top1": _between(gain["top1"])} for gain in found["gains"]],
        "reliability": [
            [_number(value) for value in (share, chance, came)] for share, chance, came in found["reliability"]
        ],
    }


def _between(interval: dict[str, float]) -> dict[str, float]:
    return {key: _number(interval[key]) for key in _INTERVAL}


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return float(f"{value:.6g}")
