"""A workflow that WfCommons describes (WfFormat, JSON), and a seed, in; a graph with device times that are drawn out.

Both generations are read. Up to version 1.4, ``workflow`` has ``tasks`` (or ``jobs``), which have their times and files
and name each other; from 1.5 on it has ``specification`` and ``execution``, and tasks know each other by their ids.

A time on a CPU is the one that the file has, whatever ran it, in whole milliseconds. A time on a GPU is drawn, by kind
of task (``drawn``). A transfer is what one task writes and the other reads, at ``_BYTES_PER_MS``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from schedtel.dags.dag import LONGEST, MOST_JOBS, Dag, Edge
from schedtel.dags.drawn import DEVICES, factors_of, on_devices
from schedtel.errors import UsageError

_MOST_SHOWN = 40
_MOST_EDGES = 200_000
#: A gigabyte a second.
_BYTES_PER_MS = 1_000_000
_NUMBER = re.compile(r"[_-]?(ID)?[0-9]+$")


@dataclass(frozen=True)
class _Task:
    """A task, and whom and which files it names."""

    name: str
    kind: str
    runtime_ms: int
    parents: list[str]
    children: list[str]
    reads: frozenset[str]
    writes: frozenset[str]


def is_wfformat(table: object) -> bool:
    """Whether what a file has is such a workflow, right or wrong."""
    return isinstance(table, dict) and "workflow" in table


def parse_wfformat(table: Mapping[str, Any], name: str, seed: int) -> Dag:
    """The graph of such a workflow, called ``name``. Raises :class:`UsageError` for what cannot be one."""
    workflow = _mapping(table["workflow"], "workflow")
    is_new = "specification" in workflow
    tasks, sizes, numbers = _read_new(workflow) if is_new else _read_old(workflow)
    draw = np.random.default_rng(seed)
    factors = factors_of((task.kind for task in tasks), draw)
    times = tuple(on_devices(task.runtime_ms, factors[task.kind]) for task in tasks)
    edges = tuple(Edge(a, b, _transfer_ms(tasks[a], tasks[b], sizes)) for a, b in _pairs(tasks, numbers))
    note = f"times on a GPU are drawn by seed {seed}, those on a CPU are the file's"
    return Dag(name, DEVICES, tuple(task.name for task in tasks), times, edges, "ms", note=note)


def _read_new(workflow: Mapping[str, Any]) -> tuple[list[_Task], dict[str, int], dict[str, int]]:
    specification = _mapping(workflow["specification"], "specification")
    execution = _mapping(workflow.get("execution"), "execution, which has the times,")
    runs = {_text(run, "id"): _runtime_ms(run) for run in _mappings(execution, "tasks")}
    tasks = []
    for found in _mappings(specification, "tasks"):
        name = _text(found, "id")
        if name not in runs:
            raise _refused(f"task {name[:_MOST_SHOWN]!r} was not executed, so its time is not known")
        parents, children, reads, writes = (
            _texts(found, key) for key in ("parents", "children", "inputFiles", "outputFiles")
        )
        tasks.append(_Task(name, _kind(found), runs[name], parents, children, frozenset(reads), frozenset(writes)))
    files = _mappings(specification, "files") if "files" in specification else []
    return tasks, {_text(file, "id"): _size(file) for file in files}, _numbered((task.name,) for task in tasks)


def _read_old(workflow: Mapping[str, Any]) -> tuple[list[_Task], dict[str, int], dict[str, int]]:
    tasks, sizes, names = [], dict[str, int](), []
    for found in _mappings(workflow, "tasks" if "tasks" in workflow else "jobs"):
        name = _text(found, "name")
        files = _mappings(found, "files", may_be_empty=True) if "files" in found else []
        sizes |= {_text(file, "name"): _size(file) for file in files}
        reads, writes = (
            frozenset(file["name"] for file in files if (file.get("link") == "input") is here) for here in (True, False)
        )
        tasks.append(
            _Task(
                name,
                _kind(found),
                _runtime_ms(found),
                _texts(found, "parents"),
                _texts(found, "children"),
                reads,
                writes,
            )
        )
        names.append({name, found["id"]} if isinstance(found.get("id"), str) else {name})
    return tasks, sizes, _numbered(names)


def _numbered(names: Iterable[Iterable[str]]) -> dict[str, int]:
    """Each name, and the number of the task that it is of."""
    numbers: dict[str, int] = {}
    for number, some in enumerate(names):
        for name in some:
            if name in numbers:
                raise _refused(f"two of its tasks are called {name[:_MOST_SHOWN]!r}")
            numbers[name] = number
    return numbers


def _pairs(tasks: list[_Task], numbers: Mapping[str, int]) -> list[tuple[int, int]]:
    """Who comes before whom: either may say so."""
    found: dict[tuple[int, int], None] = {}
    for number, task in enumerate(tasks):
        found |= dict.fromkeys((_number(parent, numbers), number) for parent in task.parents)
        found |= dict.fromkeys((number, _number(child, numbers)) for child in task.children)
        if len(found) > _MOST_EDGES:
            raise _refused(f"more than {_MOST_EDGES} of its tasks wait for another")
    return list(found)


def _number(name: str, numbers: Mapping[str, int]) -> int:
    if name not in numbers:
        raise _refused(f"no task is called {name[:_MOST_SHOWN]!r}")
    return numbers[name]


def _transfer_ms(before: _Task, after: _Task, sizes: Mapping[str, int]) -> int:
    handed = before.writes & after.reads
    return min(LONGEST, -(-sum(sizes.get(file, 0) for file in handed) // _BYTES_PER_MS))


def _kind(task: Mapping[str, Any]) -> str:
    """What a task does: its category, or its name without a number."""
    return task["category"] if isinstance(task.get("category"), str) else _NUMBER.sub("", _text(task, "name"))


def _runtime_ms(task: Mapping[str, Any]) -> int:
    said = task.get("runtimeInSeconds", task.get("runtime"))
    if isinstance(said, bool) or not isinstance(said, int | float) or not 0 <= said <= LONGEST / 1_000:
        raise _refused(f"a task takes {str(said)[:_MOST_SHOWN]} s; it must be 0 to {LONGEST // 1_000:,}")
    return max(1, math.ceil(said * 1_000))


def _size(file: Mapping[str, Any]) -> int:
    said = file.get("sizeInBytes", file.get("size"))
    if isinstance(said, bool) or not isinstance(said, int) or said < 0:
        raise _refused(f"a file has {str(said)[:_MOST_SHOWN]} bytes; it must be a whole number from 0 on")
    return said


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _refused(f"its {what} is not there, or no object")
    return value


def _mappings(table: Mapping[str, Any], key: str, *, may_be_empty: bool = False) -> list[Mapping[str, Any]]:
    values = table.get(key)
    if not isinstance(values, list) or not (values or may_be_empty):
        raise _refused(f"its {key} are not there, or no list")
    if key != "files" and len(values) > MOST_JOBS:
        raise _refused(f"it has {len(values)} {key}, and {MOST_JOBS} can be scheduled")
    return [_mapping(value, f"one of {key}") for value in values]


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise _refused(f"one {key} is missing, or no text")
    return value


def _texts(table: Mapping[str, Any], key: str) -> list[str]:
    values = table.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _refused(f"{key} of a task are no list of texts")
    return values


def _refused(why: str) -> UsageError:
    return UsageError(f"cannot use this workflow: {why} (see WfFormat)")
