"""A workflow's name, a width and a seed in; a graph in its shape, with times that are drawn, out.

The shapes are those of the workflows that WfCommons' recipes describe: T. Coleman, H. Casanova, L. Pottier, M. Kaushik,
E. Deelman, R. Ferreira da Silva, "WfCommons: A framework for enabling scientific workflow research and development",
Future Generation Computer Systems 128, 2022. Montage, Epigenomics and others were characterised before by S. Bharathi
et al., "Characterization of scientific workflows" (WORKS 2008), and G. Juve et al., "Characterizing and profiling
scientific workflows" (FGCS 29(3), 2013). Nothing of the recipes is used but who waits for whom.

All times are drawn: a kind of job takes 20 to 400 on a CPU, each job of it within 25 % of that; see ``drawn`` for GPUs.
What a job hands on takes 0 to 20 between memories, by its kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import combinations, product

import numpy as np

from schedtel.dags.dag import Dag, Edge
from schedtel.dags.drawn import DEVICES, factors_of, log_uniform, on_devices, split_seed
from schedtel.errors import UsageError

_RECIPE = re.compile(r"([a-z]+)-([0-9]{1,4})")
_LEAST_TIME, _MOST_TIME, _SPREAD, _MOST_TRANSFER = 20, 400, 0.25, 20


class _Shape:
    """Jobs that are added one by one: the kind of each, and whom it waits for."""

    def __init__(self) -> None:
        self.kinds: list[str] = []
        self.edges: list[tuple[int, int]] = []

    def add(self, kind: str, *after: int) -> int:
        number = len(self.kinds)
        self.kinds.append(kind)
        self.edges += [(before, number) for before in after]
        return number

    def each(self, kind: str, before: list[int]) -> list[int]:
        """One job after each of these."""
        return [self.add(kind, one) for one in before]


def montage(side: int, shape: _Shape) -> None:
    """A mosaic of the sky in three colours: side by side images each, every two that touch are compared."""
    mosaics = [_mosaic(side, shape) for _ in range(3)]
    for mosaic in mosaics:
        shape.add("mViewer", mosaic)
    shape.add("mViewer", *mosaics)


def _mosaic(side: int, shape: _Shape) -> int:
    places = list(product(range(side), repeat=2))
    images = {place: shape.add("mProject") for place in places}
    touching = [(a, b) for a, b in combinations(places, 2) if max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 1]
    pairs = [shape.add("mDiffFit", images[a], images[b]) for a, b in touching]
    model = shape.add("mBgModel", shape.add("mConcatFit", *pairs))
    corrected = [shape.add("mBackground", image, model) for image in images.values()]
    return shape.add("mAdd", shape.add("mImgtbl", *corrected), *corrected)


def epigenomics(chunks: int, shape: _Shape) -> None:
    """One sequence, split into chunks; each goes through a pipeline of four."""
    split = shape.add("fastqSplit")
    mapped = [shape.add("filterContams", split) for _ in range(chunks)]
    for kind in ("sol2sanger", "fast2bfq", "map"):
        mapped = shape.each(kind, mapped)
    merged = shape.add("mapMerge", shape.add("mapMerge", *mapped))
    shape.add("pileup", shape.add("chr21", merged))


def blast(chunks: int, shape: _Shape) -> None:
    """A search, split into chunks, whose results and errors are joined."""
    split = shape.add("split_fasta")
    searched = [shape.add("blastall", split) for _ in range(chunks)]
    shape.add("cat_blast", *searched)
    shape.add("cat", *searched)


def seismology(stations: int, shape: _Shape) -> None:
    """Signals that are deconvolved, all of which one job compares."""
    shape.add("wrapper_siftSTFByMisfit", *(shape.add("sG1IterDecon") for _ in range(stations)))


def genome(chromosomes: int, shape: _Shape) -> None:
    """The 1000 genomes: of each chromosome ten parts, and seven populations that are analysed twice."""
    for _ in range(chromosomes):
        merged = shape.add("individuals_merge", *(shape.add("individuals") for _ in range(10)))
        sifted = shape.add("sifting")
        for kind in ("mutation_overlap", "frequency"):
            for _ in range(7):
                shape.add(kind, merged, sifted)


def srasearch(archives: int, shape: _Shape) -> None:
    """Archives that are fetched, and aligned to one index."""
    index = shape.add("bowtie2-build")
    aligned = [shape.add("bowtie2", index, shape.add("fasterq-dump")) for _ in range(archives)]
    shape.add("merge", *aligned)


#: Recipe → its shape, what it is, and the greatest width.
RECIPES: dict[str, tuple[Callable[[int, _Shape], None], str, int]] = {
    "montage": (montage, "WfCommons' Montage, three mosaics of N by N images", 8),
    "epigenomics": (epigenomics, "WfCommons' Epigenomics, N chunks through a pipeline", 400),
    "blast": (blast, "WfCommons' BLAST, N searches", 1_000),
    "seismology": (seismology, "WfCommons' seismology, N stations", 1_000),
    "genome": (genome, "WfCommons' 1000Genome, N chromosomes", 22),
    "srasearch": (srasearch, "WfCommons' SRA search, N archives", 900),
}


def is_recipe(name: str) -> bool:
    """Whether a name has the form of a recipe's, as ``montage-2`` or ``montage-2@7``."""
    return _parts_of(split_seed(name)[0]) is not None


def _parts_of(plain: str) -> tuple[str, int] | None:
    """A recipe and its width; None where a name without a seed is none."""
    match = _RECIPE.fullmatch(plain)
    return (match[1], int(match[2])) if match and match[1] in RECIPES else None


def recipe(name: str) -> Dag:
    """The graph of a recipe, a width and a seed, which is 0 where none is given.

    Raises :class:`UsageError` for other widths than there are.
    """
    plain, seed = split_seed(name)
    parts = _parts_of(plain)
    if parts is None:
        raise UsageError(f"cannot use graph {name[:40]!r}: it is no recipe (see `schedtel dag list`)")
    (build, _, most), width = RECIPES[parts[0]], parts[1]
    if not 1 <= width <= most:
        raise UsageError(f"cannot use graph {name}: it is {width} wide (give 1 to {most})")
    shape = _Shape()
    build(width, shape)
    return _drawn(name, shape, seed or 0)


def _drawn(name: str, shape: _Shape, seed: int) -> Dag:
    draw = np.random.default_rng(seed)
    factors = factors_of(shape.kinds, draw)
    usual = {kind: log_uniform(draw, _LEAST_TIME, _MOST_TIME) for kind in factors}
    transfers = {kind: int(draw.integers(0, _MOST_TRANSFER, endpoint=True)) for kind in factors}
    spread = draw.uniform(1 - _SPREAD, 1 + _SPREAD, len(shape.kinds))
    rows = [(kind, round(usual[kind] * by)) for kind, by in zip(shape.kinds, spread, strict=True)]
    times = tuple(on_devices(cpu_time, factors[kind]) for kind, cpu_time in rows)
    edges = tuple(Edge(before, after, transfers[shape.kinds[before]]) for before, after in shape.edges)
    jobs = tuple(f"{kind}{number}" for number, kind in enumerate(shape.kinds))
    return Dag(name, DEVICES, jobs, times, edges, note=f"all times are drawn by seed {seed}, none is measured")
