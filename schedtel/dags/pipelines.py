"""Periods of detection pipelines and a factor of their times in; the jobs of a hyperperiod, and EDF's run of them, out.

The instance is that of S. Ghose et al., "Orchestration of Perception Systems for Reliable Performance in Heterogeneous
Platforms" (DATE 2021; arXiv 2004.05777): four pipelines, each a chain of kernels, on one CPU and one GPU. Kernels that
follow each other may be *fused*: run as one, in a time of its own. A pipeline has one of three periods, which gives
3^4 = 81 configurations. A job's deadline is the release of the next one.

Times are whole numbers of 0.1 ms. By the published times EDF meets every deadline, so a *scale* makes them longer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from schedtel.errors import UsageError

DEVICES = ("cpu", "gpu")
UNITS_PER_MS = 10
_UNITS_PER_S = 10_000
#: Instead of the end of a job.
DROPPED = -2
LEAST_SCALE, MOST_SCALE = 0.1, 100.0

#: First and last kernel of a fused stretch → seconds on the CPU and on the GPU.
Stretches = Mapping[tuple[int, int], tuple[float, float]]
_RECOGNITION: Stretches = {
    (0, 0): (0.160969, 0.484875),
    (1, 1): (0.114911, 0.242546),
    (2, 2): (0.052501, 0.060782),
    (3, 3): (0.040107, 0.029571),
    (4, 4): (0.035314, 0.019276),
    (0, 1): (0.2341, 0.672771),
    (0, 2): (0.241068, 0.7032),
    (0, 3): (0.271932, 0.70645),
    (0, 4): (0.275715, 0.71908),
    (1, 2): (0.144962, 0.298238),
    (1, 3): (0.155828, 0.307571),
    (1, 4): (0.158114, 0.310749),
    (2, 3): (0.062456, 0.071637),
    (2, 4): (0.064183, 0.072914),
    (3, 4): (0.042125, 0.030873),
}
_DETECTION: Stretches = {
    (0, 0): (0.052678, 0.061745),
    (1, 1): (0.052235, 0.061055),
    (2, 2): (0.03018, 0.062391),
    (3, 3): (0.040268, 0.072649),
    (4, 4): (0.0343, 0.02025),
    (5, 5): (0.035057, 0.020049),
    (0, 1): (0.069259, 0.063006),
    (0, 2): (0.070361, 0.064636),
    (0, 3): (0.074078, 0.076376),
    (0, 4): (0.074259, 0.076691),
    (0, 5): (0.076356, 0.076943),
    (1, 2): (0.053235, 0.063296),
    (1, 3): (0.057493, 0.075276),
    (1, 4): (0.06033, 0.075978),
    (1, 5): (0.06051, 0.077463),
    (2, 3): (0.03617, 0.073297),
    (2, 4): (0.037493, 0.073988),
    (2, 5): (0.038816, 0.07448),
    (3, 4): (0.041777, 0.073128),
    (3, 5): (0.044801, 0.073179),
    (4, 5): (0.038508, 0.020678),
}
#: Name, stretches and possible periods (ms) of each pipeline.
_PIPELINES = (
    ("dnn0", _RECOGNITION, (875, 1750, 2625)),
    ("cnn0", _DETECTION, (350, 525, 1050)),
    ("dnn1", _RECOGNITION, (875, 1750, 2625)),
    ("cnn1", _DETECTION, (350, 525, 1050)),
)
NAMES = tuple(name for name, _, _ in _PIPELINES)


@dataclass(frozen=True)
class Pipeline:
    """A chain of ``length`` kernels that is released once a period.

    :param times: first and last kernel of a stretch → its time on each device.
    """

    name: str
    period: int
    length: int
    times: Mapping[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Job:
    """A release of a pipeline, and its deadline."""

    pipeline: int
    release: int
    deadline: int


@dataclass(frozen=True)
class Stretch:
    """Kernels ``first`` to ``last`` of a job on a device, from ``start`` to ``end``."""

    job: int
    first: int
    last: int
    device: int
    start: int
    end: int


@dataclass(frozen=True)
class Run:
    """The end of each job, or ``DROPPED``, and all stretches in the order in which they were begun."""

    ends: tuple[int, ...]
    stretches: tuple[Stretch, ...]


def configurations() -> list[tuple[int, ...]]:
    """The periods (ms) of all configurations, the last pipeline's turning fastest."""
    return list(product(*(periods for _, _, periods in _PIPELINES)))


def pipelines(periods_ms: Sequence[int], scale: float) -> tuple[Pipeline, ...]:
    """The pipelines with these periods. Raises :class:`UsageError` for periods that they cannot have, and a bad scale.

    :param scale: factor of the published times.
    """
    if not LEAST_SCALE <= scale <= MOST_SCALE:
        raise UsageError(f"cannot use scale {scale:g}: it is out of range (give {LEAST_SCALE:g} to {MOST_SCALE:g})")
    if tuple(periods_ms) not in configurations():
        shown = ",".join(map(str, periods_ms))[:40]
        sets = "; ".join(f"{name} {'/'.join(map(str, periods))}" for name, _, periods in _PIPELINES)
        raise UsageError(f"cannot use periods {shown}: each pipeline has a set of its own (choose of {sets} ms)")
    return tuple(
        Pipeline(name, period * UNITS_PER_MS, 1 + max(last for _, last in stretches), _scaled(stretches, scale))
        for (name, stretches, _), period in zip(_PIPELINES, periods_ms, strict=True)
    )


def _scaled(stretches: Stretches, scale: float) -> dict[tuple[int, int], tuple[int, int]]:
    def whole(seconds: float) -> int:
        return max(1, round(seconds * _UNITS_PER_S * scale))

    return {stretch: (whole(cpu), whole(gpu)) for stretch, (cpu, gpu) in stretches.items()}


def hyperperiod(chains: Sequence[Pipeline]) -> int:
    """After so long, all pipelines are released together again."""
    return math.lcm(*(chain.period for chain in chains))


def jobs_of(chains: Sequence[Pipeline]) -> list[Job]:
    """The jobs of one hyperperiod, by pipeline and release."""
    length = hyperperiod(chains)
    return [
        Job(number, release, release + chain.period)
        for number, chain in enumerate(chains)
        for release in range(0, length, chain.period)
    ]


def least_rests(chain: Pipeline) -> list[int]:
    """For each kernel, and behind the last, the least time from its start to the end of the chain."""
    rests = [0] * (chain.length + 1)
    for first in reversed(range(chain.length)):
        rests[first] = min(
            min(times) + rests[last + 1] for (begin, last), times in chain.times.items() if begin == first
        )
    return rests


def edf(chains: Sequence[Pipeline], *, fused: bool = True, drops: bool = False) -> Run:
    """The jobs of :func:`jobs_of` under EDF without preemption.

    Whenever a device is idle, the ready job with the earliest deadline gets the device on which its next stretch ends
    first, a busy one too.

    :param fused: whether all kernels of a job run as one stretch; else each by itself.
    :param drops: whether a job that cannot meet its deadline any more is dropped; its end is ``DROPPED``.
    """
    jobs, rests = jobs_of(chains), [least_rests(chain) for chain in chains]
    ready, done, ends = [job.release for job in jobs], [0] * len(jobs), [-1] * len(jobs)
    free, now, stretches = [0] * len(DEVICES), 0, list[Stretch]()
    while -1 in ends:
        waiting = [n for n, end in enumerate(ends) if end == -1]
        able = [n for n in waiting if ready[n] <= now]
        lost = [n for n in able if drops and now + rests[jobs[n].pipeline][done[n]] > jobs[n].deadline]
        if lost:
            ends[lost[0]] = DROPPED
            continue
        if not able or min(free) > now:
            now = min(moment for moment in [*(ready[n] for n in waiting), *free] if moment > now)
            continue
        n = min(able, key=lambda n: (jobs[n].deadline, n))
        chain = chains[jobs[n].pipeline]
        last = chain.length - 1 if fused else done[n]
        times = chain.times[done[n], last]
        device = min(range(len(DEVICES)), key=lambda d: (max(now, free[d]) + times[d], d))
        begin = max(now, free[device])
        free[device] = ready[n] = begin + times[device]
        stretches.append(Stretch(n, done[n], last, device, begin, ready[n]))
        done[n] = last + 1
        if done[n] == chain.length:
            ends[n] = ready[n]
    return Run(tuple(ends), tuple(stretches))


def met(jobs: Sequence[Job], run: Run) -> int:
    """How many jobs end by their deadline."""
    return sum(0 <= end <= job.deadline for job, end in zip(jobs, run.ends, strict=True))
