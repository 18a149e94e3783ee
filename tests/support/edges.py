"""A machine in its first window, from 1000 ns to 2000 ns, and what tests of it do most often."""

from machine import HostBackend
from model import Arrive, Fork, Switch

FIRST_EDGE, EDGE, NEXT_EDGE = 1_000, 2_000, 3_000


def started(library, cpus: int = 1, **settings) -> HostBackend:
    """A core backend in its window from FIRST_EDGE to EDGE; every task has a row, unless ``settings`` say otherwise."""
    backend = HostBackend(library, cpus, FIRST_EDGE, **({"min_activity_ns": 0} | settings))
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    return backend


def collect(backend: HostBackend, now: int = EDGE + 1, next_edge: int = NEXT_EDGE, **more):
    """Collect the first window; with other moments, a later one."""
    return backend.collect_at(now, next_edge, **more)


def born_and_running(task: int = 0, now: int = 1_100, cpu: int = 0):
    """The events of a task that arrives, and runs in the same nanosecond."""
    return Fork(now, task), Arrive(now, task), Switch(now, cpu, None, task)
