"""A file of TOML or JSON, a workflow in WfFormat, or a preset's name, in; the graph that it describes out.

    name = "two jobs"
    unit = "ms"

    [devices]
    cpu = 2
    gpu = { count = 2, memory = "own" }

    [jobs]
    load  = { cpu = 3 }
    solve = { cpu = 40, gpu = 2, after = { load = 1 } }
    print = { cpu = 1, after = ["solve"] }

``after`` names predecessors, with the time of the transfer where there is one. ``note`` says where the times are from.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from schedtel.access.files import read_with_mode
from schedtel.access.toml_file import read_toml
from schedtel.dags.dag import NEVER, Dag, Edge, Kind
from schedtel.dags.drawn import split_seed
from schedtel.dags.families import FAMILIES, is_preset, preset
from schedtel.dags.recipes import RECIPES
from schedtel.dags.wfformat import is_wfformat, parse_wfformat
from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean

_MEMORIES = ("shared", "own")
_MOST_SHOWN, _MOST_NAME = 40, 100
#: Workflows of a thousand jobs with the names of their files have a megabyte and more.
_MOST_BYTES = 16 << 20
_TOP = ("name", "unit", "note", "devices", "jobs")


def graph_of(spec: str) -> Dag:
    """The graph of a preset (``cholesky-5``), or of a file whose name has a slash or ends in ``.toml`` or ``.json``.

    ``@`` and a seed after it say which times to draw, where times are drawn: ``montage-2@7``, ``./workflow.json@7``.

    Raises :class:`UsageError` for a name that no preset has, for a file that cannot be read, and for a graph that
    cannot be.
    """
    plain, seed = split_seed(spec)
    if os.sep not in plain and not plain.endswith((".toml", ".json")):
        return _preset(spec)
    name = os.path.basename(spec)[:_MOST_NAME]
    table = _json(plain) if plain.endswith(".json") else read_toml(plain, "graph")
    if is_wfformat(table):
        return parse_wfformat(table, name, seed or 0)
    if seed is not None:
        raise UsageError(f"cannot use graph {spec[:_MOST_SHOWN]!r}: its times are not drawn (leave @{seed} out)")
    return parse_graph(table, name)


def _preset(spec: str) -> Dag:
    if not is_preset(spec):
        known = [*FAMILIES, *RECIPES, "wait"]
        raise UsageError(
            f"cannot use graph {spec[:_MOST_SHOWN]!r}: no preset has this name "
            f"({did_you_mean(spec, known)}, with a size as in cholesky-5; a file has a slash)"
        )
    return preset(spec)


def _json(path: str) -> Any:
    try:
        return json.loads(read_with_mode(path, "graph", _MOST_BYTES)[0])
    except (ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {path}: {' '.join(str(error).split())[:200]} (write JSON)") from error


def parse_graph(table: object, name: str) -> Dag:
    """The graph of a table as above; ``name`` where it has none. Raises :class:`UsageError`."""
    top = _table(table, name)
    _refuse_unknown(top, _TOP, name)
    called = top.get("name", name)
    unit, note = top.get("unit", ""), top.get("note", "")
    if not all(isinstance(text, str) and len(text) <= _MOST_NAME for text in (called, unit, note)) or not called:
        raise UsageError(
            f"cannot use graph {name[:_MOST_SHOWN]!r}: its name, unit and note must be texts "
            f"of up to {_MOST_NAME} letters (quote them)"
        )
    kinds = tuple(_kind(key, value) for key, value in _table(top.get("devices"), "devices").items())
    jobs = _table(top.get("jobs"), "jobs")
    numbers = {job: number for number, job in enumerate(jobs)}
    tables = [_job(job, value, kinds) for job, value in jobs.items()]
    edges = [edge for number, table in enumerate(tables) for edge in _edges(number, table, numbers)]
    times = [tuple(_whole(table.get(kind.name, NEVER), "time") for kind in kinds) for table in tables]
    for job, row in zip(jobs, times, strict=True):
        if any(time == NEVER and kind.name in jobs[job] for time, kind in zip(row, kinds, strict=True)):
            raise UsageError(f"cannot use job {job[:_MOST_SHOWN]!r}: a time is {NEVER} (leave a kind out instead)")
    return Dag(called, kinds, tuple(jobs), tuple(times), tuple(edges), unit, note=note)


def as_table(dag: Dag) -> dict[str, Any]:
    """The table of which :func:`parse_graph` makes the same graph."""
    devices = {kind.name: {"count": kind.count, "memory": _MEMORIES[kind.own_memory]} for kind in dag.kinds}
    jobs: dict[str, Any] = {}
    for name, times, edges in zip(dag.jobs, dag.times, dag.predecessors, strict=True):
        jobs[name] = {kind.name: time for kind, time in zip(dag.kinds, times, strict=True) if time != NEVER}
        if edges:
            jobs[name]["after"] = {dag.jobs[edge.before]: edge.transfer for edge in edges}
    note = {"note": dag.note} if dag.note else {}
    return {"name": dag.name, "unit": dag.unit, **note, "devices": devices, "jobs": jobs}


def _table(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        raise UsageError(f"cannot use {what[:_MOST_SHOWN]!r}: it is no table, or empty (write it as a table)")
    return value


def _refuse_unknown(table: Mapping[str, object], known: tuple[str, ...], what: str) -> None:
    for name in table:
        if name not in known:
            raise UsageError(
                f"cannot use {what[:_MOST_SHOWN]!r}: unknown field {name[:_MOST_SHOWN]!r} ({did_you_mean(name, known)})"
            )


def _whole(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"cannot use {what} {str(value)[:_MOST_SHOWN]!r}: it is no whole number (write 3)")
    return value


def _kind(name: str, value: object) -> Kind:
    if not isinstance(value, dict):
        return Kind(name, _whole(value, f"count of {name[:_MOST_SHOWN]!r}"))
    _refuse_unknown(value, ("count", "memory"), name)
    memory = value.get("memory", "shared")
    if memory not in _MEMORIES:
        raise UsageError(
            f"cannot use memory {str(memory)[:_MOST_SHOWN]!r}: it is none of {', '.join(_MEMORIES)} (choose one)"
        )
    return Kind(name, _whole(value.get("count", 1), f"count of {name[:_MOST_SHOWN]!r}"), memory == "own")


def _job(name: str, value: object, kinds: tuple[Kind, ...]) -> dict[str, Any]:
    table = _table(value, name)
    _refuse_unknown(table, ("after", *(kind.name for kind in kinds)), name)
    return table


def _edges(job: int, table: Mapping[str, Any], numbers: Mapping[str, int]) -> list[Edge]:
    after = table.get("after", {})
    if isinstance(after, list):
        if len(set(map(str, after))) < len(after):
            raise UsageError("cannot use after: it names a job twice (name it once)")
        after = {str(name): 0 for name in after}
    if not isinstance(after, dict):
        raise UsageError(f'cannot use after {str(after)[:_MOST_SHOWN]!r}: it is no list and no table (write ["job"])')
    for name in after:
        if name not in numbers:
            raise UsageError(
                f"cannot use after: no job is called {name[:_MOST_SHOWN]!r} ({did_you_mean(name, list(numbers)[:20])})"
            )
    return [Edge(numbers[name], job, _whole(transfer, "transfer")) for name, transfer in after.items()]
