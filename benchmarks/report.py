"""Rows in; a Markdown table and a Parquet file with the machine they were taken on out."""

import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import schedtel
from benchmarks.measures import Row
from benchmarks.peers import schedtel_command, tool

_COLUMNS = ("part", "measure", "subject", "median", "min … max", "unit", "target", "reached")


def machine() -> dict[str, str]:
    """What the figures depend on: processor, kernel, versions, date, and the command that was given."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^(?:model name|Model)\s*:\s*(.*)", cpuinfo, re.MULTILINE)
    return {
        "cpu": model[1] if model else platform.machine(),
        "cpus": str(os.cpu_count()),
        "virtualised": "yes" if _is_virtual(cpuinfo) else "no",
        "kernel": platform.release(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "schedtel": f"{schedtel.__version__} ({_commit()})",
        "python": platform.python_version(),
        "peers": ", ".join(f"{name} {_version(name)}" for name in ("runqlat", "perf")),
        "collector": shlex.join([Path(schedtel_command()[0]).name, *schedtel_command()[1:]]),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
    }


def _is_virtual(cpuinfo: str) -> bool:
    """A hypervisor announces itself in the processor's flags, or (where there are none) in sysfs."""
    flagged = re.search(r"^flags\s*:.*\bhypervisor\b", cpuinfo, re.MULTILINE)
    return bool(flagged) or os.path.exists("/sys/hypervisor/type")


def _commit() -> str:
    """The checkout's commit, "changed" when files differ from it."""
    root = Path(__file__).parent.parent
    command = ["git", "-C", str(root), "describe", "--always", "--dirty=, changed"]
    done = subprocess.run(command, capture_output=True, text=True, check=False) if tool("git") else None
    return done.stdout.strip() if done and not done.returncode else "commit unknown"


def _version(name: str) -> str:
    path = tool(name)
    if not path:
        return "missing"
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"\d+(\.\d+)+", done.stdout)
    return number[0] if number else "unknown"


def markdown(rows: list[Row], facts: dict[str, str], notes: list[str]) -> str:
    """The results as a Markdown document."""
    lines = ["# Benchmark results", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", _line(_COLUMNS), _line("---" for _ in _COLUMNS)]
    lines += [_line(_cells(row)) for row in rows]
    lines += ["", *(f"- note: {note}" for note in notes)]
    return "\n".join(lines).rstrip() + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(row: Row) -> tuple[str, ...]:
    spread = f"{_number(min(row.samples))} … {_number(max(row.samples))}"
    verdict = {None: "", True: "yes", False: "**no**"}[row.reached]
    target = str(row.target) if row.target else ""
    return (row.part, row.measure, row.subject, _number(row.value), spread, row.unit, target, verdict)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


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
    ]
)


def write(directory: Path, rows: list[Row], facts: dict[str, str], notes: list[str]) -> None:
    """``results.md`` and ``results.parquet``; the machine is in the Parquet file's metadata."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "results.md").write_text(markdown(rows, facts, notes), encoding="utf-8")
    columns = {name: [getattr(row, name) for row in rows] for name in _SCHEMA.names if name != "target"}
    columns["target"] = [str(row.target) if row.target else None for row in rows]
    metadata = {"machine": json.dumps(facts), "notes": json.dumps(notes)}
    pq.write_table(pa.table(columns, _SCHEMA).replace_schema_metadata(metadata), directory / "results.parquet")
