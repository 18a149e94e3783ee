"""A seed in; the threads of an episode out: how long they work and pause, and what moving them costs.

All of it is drawn: the load of the machine, how much each thread works at a time, and which of them have so large a
working set that moving them costs more than a short wait.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Jobs that a thread does before it begins again with the first.
JOBS = 64
#: Part of the CPUs' time that the threads' work would take if none of them had to wait: lowest and highest.
_LOAD = (0.6, 0.95)
#: A thread pauses for at least this part of its work, on average, also where the CPUs outnumber the threads' load.
_LEAST_PAUSE = 0.1
#: Mean work of a thread's jobs.
_WORK_NS = (500_000, 4_000_000)
#: What moving a thread costs while its cache is warm: working sets of 64 to 512 KiB, and large ones of 2 to 4 MiB.
_SMALL_NS, _LARGE_NS = (1_000, 35_000), (500_000, 2_200_000)
#: Kinds of episodes: in ``mixed`` ones, half of the threads have large working sets, one more or less at random.
MIXED, SMALL, LARGE = GROUPS = ("mixed", "small", "large")
#: How often each kind comes while one learns.
_CHANCES = (0.6, 0.2, 0.2)
#: What costs more to move has a large working set.
LARGE_FROM_NS = 50_000


@dataclass(frozen=True, eq=False)
class Loads:
    """Threads of an episode of each machine. Arrays are of shape (machines, threads), or (machines, threads, JOBS)."""

    work_ns: NDArray[np.int64]
    pause_ns: NDArray[np.int64]
    migration_ns: NDArray[np.int64]
    cpu: NDArray[np.int64]


def loads_of(draw: np.random.Generator, count: int, cpus: int, threads: int, group: str = "") -> Loads:
    """Draw the threads of an episode of so many machines.

    :param group: one of ``GROUPS``; by default any.
    """
    shape = (count, threads)
    kinds = np.full(count, GROUPS.index(group)) if group else draw.choice(len(GROUPS), count, p=_CHANCES)
    mean_work = _between(draw, _WORK_NS, shape)
    load = draw.uniform(*_LOAD, (count, 1))
    mean_pause = np.maximum(mean_work * (threads / (cpus * load) - 1), mean_work * _LEAST_PAUSE)
    larger = np.array([threads // 2, 0, threads])[kinds] + (kinds == GROUPS.index(MIXED)) * draw.integers(-1, 2, count)
    is_large = draw.permuted(np.broadcast_to(np.arange(threads), shape), axis=1) < larger[:, None]
    jobs = (*shape, JOBS)
    return Loads(
        (1 + draw.standard_exponential(jobs) * mean_work[..., None]).astype(np.int64),
        (1 + draw.standard_exponential(jobs) * mean_pause[..., None]).astype(np.int64),
        np.where(is_large, _between(draw, _LARGE_NS, shape), _between(draw, _SMALL_NS, shape)).astype(np.int64),
        draw.permuted(np.broadcast_to(np.arange(threads) % cpus, shape), axis=1),
    )


def _between(draw: np.random.Generator, limits: tuple[int, int], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Numbers whose logarithms are even between two limits."""
    low, high = limits
    return low * (high / low) ** draw.random(shape)
