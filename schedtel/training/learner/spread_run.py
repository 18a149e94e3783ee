"""Settings, a directory and a number of workers in; a run whose parts are processes of Ray, out.

    workers ─► chunks ─► replay ─► batches ─► learner ─► this process ─► checkpoint.safetensors
       ▲                   ▲   priorities        │           │
       └───────────────────┴─────────────────────┴── weights ┘

This process holds all that was learned. So any of the others may end at any moment: another takes its place, the
learner with what was learned before, the replay empty. What is counted is counted here, once a chunk was learned from.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from schedtel.access.ray_cluster import connected, own_cluster, refuse_without_ray
from schedtel.errors import CapabilityError, UsageError
from schedtel.training.learner import run
from schedtel.training.learner.algorithms import Replaying
from schedtel.training.learner.crew import Crew
from schedtel.training.learner.in_turn import InTurn
from schedtel.training.learner.run import Part, Run
from schedtel.training.learner.settings import Settings
from schedtel.training.learner.spread import Spread

_LEAST_MEMORY, _CHUNKS_KEPT = 256 << 20, 8


class SpreadRun(Run):
    """See :class:`Run`.

    Raises also :class:`CapabilityError` without Ray, and for a cluster that is out of reach or too small;
    :class:`UsageError` for an algorithm without a replay; :class:`CollectorError` where processes end again and again.
    """

    def __init__(
        self, settings: Settings, directory: Path, spread: Spread, checkpoint_s: float = run.CHECKPOINT_S
    ) -> None:
        if not spread.in_turn:
            refuse_without_ray("--workers")
        super().__init__(settings, directory, checkpoint_s)
        if not isinstance(self.algorithm, Replaying):
            raise UsageError(f"cannot train by {settings.algorithm} with workers: it has no replay (leave them out)")
        self._spread, self.workers = spread, spread.workers
        self._replaying: Replaying = self.algorithm

    def _learned(self, seed: int) -> Generator[Part, None, None]:
        """See :meth:`Run._learned`."""
        with _cluster(self._spread, self._chunk_bytes()) as ray:
            crew = Crew(ray, self.settings, self._replaying, self.counters, self._spread, seed)
            while not self._stopped:
                crew.begin()
                ready = crew.ready()
                if not self._spread.waits:
                    crew.begin()  # workers go on while the learner learns
                part = crew.learn(ready)
                if part:
                    yield part

    def _chunk_bytes(self) -> int:
        environment = self.environment
        of_a_step = 4 * environment.observation_size + environment.action_count + 16
        return (self.algorithm.chunk + 1) * environment.count * of_a_step


@contextmanager
def _cluster(spread: Spread, chunk_bytes: int) -> Iterator[Any]:
    """Ray, with a CPU for each worker and each learner; or what does the same in this process."""
    if spread.in_turn:
        yield InTurn()
        return
    needed = spread.workers + spread.learners
    if spread.address is None:
        with own_cluster(needed, max(_LEAST_MEMORY, _CHUNKS_KEPT * spread.workers * chunk_bytes)) as ray:
            yield ray
        return
    ray = connected(spread.address)
    try:
        found = int(ray.cluster_resources().get("CPU", 0))
        if found < needed:
            raise CapabilityError(
                f"cannot train with {spread.workers} workers and {spread.learners} learners at {spread.address}: it "
                f"has {found} CPUs, and each takes one (give fewer)"
            )
        yield ray
    finally:
        ray.shutdown()
