"""A family of tiled linear algebra and a number of tiles in; the graph of its jobs out.

Presets that are no linear algebra are in ``recipes``.

A job reads tiles and writes one. It comes after the job that last wrote each of them; that is also how the runtimes of
such libraries find the edges (StarPU, PaRSEC).

Times: those of ``readys`` are the ones that N. Grinsztajn et al. published with READYS (2021) for Cholesky, on CPU and
GPU, without transfers. All others are *drawn up* for these graphs, not measured on a machine: a GPU is 2 to 28 times as
fast, least for the jobs that factor a tile, and a transfer takes 8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from schedtel.dags.dag import Dag, Edge, Kind
from schedtel.dags.recipes import is_recipe, recipe
from schedtel.errors import UsageError

MOST_TILES = 16
_TRANSFER = 8
_PRESET = re.compile(r"([a-z]+)-([0-9]{1,3})(-readys)?")
_SHARED = (Kind("cpu", 2), Kind("gpu", 1))
_READYS_DEVICES = (Kind("cpu", 2), Kind("gpu", 2))
#: Job of a family → its time on a CPU and on a GPU.
_DRAWN_UP = {
    "potrf": (60, 30),
    "trsm": (180, 16),
    "syrk": (170, 7),
    "gemm": (330, 12),
    "getrf": (110, 45),
    "geqrt": (130, 60),
    "unmqr": (240, 18),
    "tsqrt": (180, 55),
    "tsmqr": (390, 20),
}
_READYS = {"potrf": (18, 11), "syrk": (57, 2), "trsm": (52, 8), "gemm": (95, 3)}


class Step(NamedTuple):
    """A job: what it does, to which tile, and which tiles it reads besides."""

    kernel: str
    tile: tuple[object, ...]
    reads: tuple[tuple[object, ...], ...] = ()
    also_writes: tuple[tuple[object, ...], ...] = ()


def cholesky(tiles: int) -> Iterator[Step]:
    """The lower triangle is factored, tile by tile."""
    for k in range(tiles):
        yield Step("potrf", (k, k))
        for i in range(k + 1, tiles):
            yield Step("trsm", (i, k), ((k, k),))
        for i in range(k + 1, tiles):
            yield Step("syrk", (i, i), ((i, k),))
            for j in range(k + 1, i):
                yield Step("gemm", (i, j), ((i, k), (j, k)))


def lu(tiles: int) -> Iterator[Step]:
    """Without pivoting."""
    for k in range(tiles):
        yield Step("getrf", (k, k))
        for i in range(k + 1, tiles):
            yield Step("trsm", (i, k), ((k, k),))
            yield Step("trsm", (k, i), ((k, k),))
        for i in range(k + 1, tiles):
            for j in range(k + 1, tiles):
                yield Step("gemm", (i, j), ((i, k), (k, j)))


def qr(tiles: int) -> Iterator[Step]:
    """By a flat tree; ``("v", i, k)`` holds the reflectors of a tile."""
    for k in range(tiles):
        yield Step("geqrt", (k, k), (), (("v", k, k),))
        for j in range(k + 1, tiles):
            yield Step("unmqr", (k, j), (("v", k, k),))
        for i in range(k + 1, tiles):
            yield Step("tsqrt", (k, k), ((i, k),), (("v", i, k),))
            for j in range(k + 1, tiles):
                yield Step("tsmqr", (i, j), (("v", i, k), (k, j)), ((k, j),))


def gemm(tiles: int) -> Iterator[Step]:
    """C += A B: a chain of products for each tile of C."""
    for i in range(tiles):
        for j in range(tiles):
            for _ in range(tiles):
                yield Step("gemm", (i, j))


#: Family → its steps, and what it is.
FAMILIES: dict[str, tuple[Callable[[int], Iterator[Step]], str]] = {
    "cholesky": (cholesky, "tiled Cholesky factorisation"),
    "lu": (lu, "tiled LU factorisation without pivoting"),
    "qr": (qr, "tiled QR factorisation by a flat tree"),
    "gemm": (gemm, "tiled product of matrices"),
}
#: The graph whose optimum needs a device that waits while a job is ready: times on one CPU and one GPU, and edges.
_WAIT_TIMES = ((3, 7), (22, 7), (6, 2), (9, 3))
_WAIT_EDGES = (Edge(0, 2, 5), Edge(1, 3, 2), Edge(2, 3, 4))
WAIT = "1 CPU and 1 GPU, four jobs: the optimum is 13, and 16 for whoever never lets a device wait"


def is_preset(name: str) -> bool:
    """Whether a name has the form of a preset's."""
    match = _PRESET.fullmatch(name)
    return name == "wait" or (match is not None and match[1] in FAMILIES) or is_recipe(name)


def preset(name: str) -> Dag:
    """The graph of a preset: ``wait``, a family and its tiles, as ``cholesky-5`` or ``cholesky-6-readys``, or a recipe.

    Raises :class:`UsageError` for other numbers of tiles than 1 to ``MOST_TILES``, for widths that a recipe does not
    have, and where READYS gave no times.
    """
    if is_recipe(name):
        return recipe(name)
    if name == "wait":
        kinds = (Kind("cpu", 1), Kind("gpu", 1))
        return Dag("wait", kinds, ("t0", "t1", "t2", "t3"), _WAIT_TIMES, _WAIT_EDGES)
    match = _PRESET.fullmatch(name)
    if match is None or match[1] not in FAMILIES:
        raise UsageError(f"cannot use graph {name[:40]!r}: it is no preset (see `schedtel dag list`)")
    tiles = int(match[2])
    if not 1 <= tiles <= MOST_TILES:
        raise UsageError(f"cannot use graph {name}: {tiles} tiles a side (give 1 to {MOST_TILES})")
    if match[3] and match[1] != "cholesky":
        raise UsageError(f"cannot use graph {name}: READYS' times are known for cholesky only (leave -readys out)")
    steps = FAMILIES[match[1]][0](tiles)
    if match[3]:
        return tiled(name, steps, _READYS, 0, _READYS_DEVICES)
    return tiled(name, steps, _DRAWN_UP, _TRANSFER, _SHARED)


def tiled(
    name: str, steps: Iterable[Step], times: dict[str, tuple[int, int]], transfer: int, kinds: tuple[Kind, ...]
) -> Dag:
    """The graph of steps that read and write tiles."""
    writer: dict[tuple[object, ...], int] = {}
    jobs: list[str] = []
    rows: list[tuple[int, ...]] = []
    edges: list[Edge] = []
    for step in steps:
        number = len(jobs)
        jobs.append(f"{step.kernel}{number}")
        rows.append(times[step.kernel])
        needed = {writer[tile]: None for tile in (*step.reads, step.tile, *step.also_writes) if tile in writer}
        edges += [Edge(before, number, transfer) for before in needed]
        writer |= dict.fromkeys((step.tile, *step.also_writes), number)
    return Dag(name, kinds, tuple(jobs), tuple(rows), tuple(edges))
