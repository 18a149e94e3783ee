"""Rows in; a Parquet file for each part and one Markdown document out, with a description of the machine."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import schedtel
from benchmarks.measures import Row, Target
from benchmarks.peers import Peer, tool, version

_COLUMNS = ("measure", "subject", "median", "min … max", "n", "unit", "target", "reached")
#: A curve of at most this many points is shown as a table too. All curves go to Parquet and to the plots.
_MOST_POINTS = 12
_SCHEMA = pa.schema(
    [
        pa.field("part", pa.string()),
        pa.field("measure", pa.string()),
        pa.field("subject", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("value", pa.float64()),
        pa.field("samples", pa.list_(pa.float64())),
        pa.field("target", pa.string()),
        pa.field("reached", pa.bool_()),
        pa.field("axis", pa.string()),
        pa.field("at", pa.float64()),
    ]
)


@dataclass(frozen=True)
class Result:
    """One part as read from Parquet: its rows as dictionaries, facts of the machine, notes."""

    part: str
    rows: list[dict]
    facts: dict[str, str]
    notes: list[str]


def machine() -> dict[str, str]:
    """Facts that the figures depend on: processor, kernel, versions, date, and the command line."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^(?:model name|Model)\s*:\s*(.*)", cpuinfo, re.MULTILINE)
    return {
        "cpu": f"{os.cpu_count()} of {model[1] if model else platform.machine()}",
        "virtualised": "yes" if _is_virtual(cpuinfo) else "no",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.0f} GB",
        "kernel": platform.release(),
        "schedtel": f"{schedtel.__version__} ({_commit()})",
        "python": platform.python_version(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
    }


def peer_facts(peers: Iterable[Peer]) -> dict[str, str]:
    """Version and state of each peer: measured, or the reason why not."""
    programs = {"runqlat.bt": "bpftrace", "perf sched record": "perf"}
    programs |= dict.fromkeys(("schedtel, bcc", "bcc runqlat", "ftrace"), "")  # these have no version of their own
    facts = {}
    for peer in peers:
        program = programs.get(peer.name, peer.name)
        facts[f"peer {peer.name}"] = f"{version(program)}, {peer.state}" if program else peer.state
    return facts


def _is_virtual(cpuinfo: str) -> bool:
    """Whether there is a hypervisor, from the processor's flags or, where there are none, from sysfs."""
    flagged = re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE)
    return bool(flagged) or os.path.exists("/sys/hypervisor/type")


def _commit() -> str:
    """The checkout's commit, followed by "changed" if files differ from it."""
    root = Path(__file__).parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=, changed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False) if tool("git") else None
    return done.stdout.strip() if done and not done.returncode else "commit unknown"


# ---- Parquet ----


def write_part(directory: Path, part: str, rows: list[Row], facts: dict[str, str], notes: list[str]) -> None:
    """Write ``<part>.parquet``, with the facts of the machine and the notes in its metadata."""
    directory.mkdir(parents=True, exist_ok=True)
    columns = {name: [getattr(row, name) for row in rows] for name in _SCHEMA.names if name != "target"}
    columns["target"] = [str(row.target) if row.target else None for row in rows]
    metadata = {"machine": json.dumps(facts), "notes": json.dumps(notes)}
    pq.write_table(pa.table(columns, _SCHEMA).replace_schema_metadata(metadata), directory / f"{part}.parquet")


def read_part(directory: Path, part: str) -> Result | None:
    """A part that :func:`write_part` wrote; None if the file does not exist."""
    path = directory / f"{part}.parquet"
    if not path.exists():
        return None
    table = pq.read_table(path)
    metadata = {name.decode(): json.loads(value) for name, value in (table.schema.metadata or {}).items()}
    return Result(part, table.to_pylist(), metadata["machine"], metadata["notes"])


def kept_rows(directory: Path, part: str, rows: list[Row]) -> list[Row]:
    """The rows of earlier runs of a part, except for the measures that these rows have as well."""
    earlier, anew = read_part(directory, part), {row.measure for row in rows}
    texts = [row for row in earlier.rows if row["measure"] not in anew] if earlier else []
    return [_row(text) for text in texts]


def _row(text: dict) -> Row:
    target = Target.of(text["target"]) if text["target"] else None
    fields = {name: text[name] for name in ("measure", "subject", "unit", "value", "part", "axis", "at")}
    return Row(**fields, samples=tuple(text["samples"]), target=target)


# ---- Markdown ----


def markdown(results: list[Result], descriptions: dict[str, str]) -> str:
    """All results as one document: the targets, then for each part its machine, notes and rows.

    :param descriptions: part → text below its heading.
    """
    lines = ["# Benchmark results", "", "Made by `python -m benchmarks`; do not edit.", ""]
    lines += ["## Targets", "", _line(("part", *_COLUMNS)), _line("---" for _ in ("part", *_COLUMNS))]
    lines += [_line((row["part"], *_cells(row))) for result in results for row in result.rows if row["target"]]
    for result in results:
        lines += ["", f"## {result.part}", "", descriptions.get(result.part, ""), ""]
        lines += [f"- {name}: {value}" for name, value in result.facts.items()]
        lines += [f"- note: {note}" for note in result.notes]
        lines += ["", *_table([row for row in result.rows if not row["axis"]]), *_curves(result.rows)]
    return "\n".join(lines).rstrip() + "\n"


def _table(rows: list[dict]) -> list[str]:
    head = [_line(_COLUMNS), _line("---" for _ in _COLUMNS)]
    return [*head, *(_line(_cells(row)) for row in rows)] if rows else []


def _curves(rows: list[dict]) -> list[str]:
    """One table for each axis: a line for each curve, a column for each position."""
    lines: list[str] = []
    for axis in dict.fromkeys(row["axis"] for row in rows if row["axis"]):
        own = [row for row in rows if row["axis"] == axis]
        places = sorted({row["at"] for row in own})
        if len(places) <= _MOST_POINTS:
            lines += ["", *_curve_table(axis, places, own)]
    return lines


def _curve_table(axis: str, places: list[float], rows: list[dict]) -> list[str]:
    head = (f"measure, by {axis}", "unit", *(f"{place:,g}" for place in places))
    by_place = {(row["measure"], row["unit"], row["at"]): row["value"] for row in rows}
    lines = [_line(head), _line("---" for _ in head)]
    for measure, unit in dict.fromkeys((row["measure"], row["unit"]) for row in rows):
        values = (by_place.get((measure, unit, place)) for place in places)
        lines.append(_line((measure, unit, *("" if value is None else _number(value) for value in values))))
    return lines


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: dict) -> tuple[str, ...]:
    spread = f"{_number(min(row['samples']))} … {_number(max(row['samples']))}"
    verdict = {None: "unknown" if row["target"] else "", True: "yes", False: "**no**"}[row["reached"]]
    count = str(len(row["samples"]))
    return (
        row["measure"],
        row["subject"],
        _number(row["value"]),
        spread,
        count,
        row["unit"],
        row["target"] or "",
        verdict,
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
