"""An instance in; the least and the greatest makespan that each of SAGA's schedulers has for it out.

Of two that are equally good, SAGA takes the one that comes first in a set, which depends on names and on
``PYTHONHASHSEED``. So each instance is scheduled under several names.
"""

from __future__ import annotations

from collections.abc import Iterator

import saga.schedulers.cpop as saga_cpop
from saga import Network, Scheduler, TaskGraph
from saga.schedulers.cpop import CpopScheduler
from saga.schedulers.etf import ETFScheduler
from saga.schedulers.heft import HeftScheduler
from saga.schedulers.minmin import MinMinScheduler
from scripts.saga.instances import Instance

_NAMINGS = 20
_as_shipped = saga_cpop.downward_rank


def _as_published(network: Network, graph: TaskGraph) -> dict[str, float]:
    """The downward rank as CPOP's paper defines it: with the mean time of the job before; SAGA has the job's own."""
    slowness = sum(1 / node.speed for node in network.nodes) / len(network.nodes)
    share = sum(1 / edge.speed for edge in network.edges) / len(network.edges)
    ranks: dict[str, float] = {}
    for task in graph.topological_sort():
        ways = (
            ranks[edge.source] + graph.get_task(edge.source).cost * slowness + edge.size * share
            for edge in graph.in_edges(task.name)
        )
        ranks[task.name] = max(ways, default=0.0)
    return ranks


#: Column → SAGA's scheduler, and the downward rank that it has.
_METHODS = {
    "heft": (HeftScheduler, _as_shipped),
    "cpop": (CpopScheduler, _as_published),
    "cpop as shipped": (CpopScheduler, _as_shipped),
    "etf": (ETFScheduler, _as_shipped),
    "minmin": (MinMinScheduler, _as_shipped),
}


def _said(instance: Instance, naming: int) -> tuple[Network, TaskGraph]:
    jobs = [f"{naming}j{number:02}" for number in range(len(instance.costs))]
    machines = [f"{naming}m{number}" for number in range(len(instance.speeds))]
    links = [(a, b, 1.0) for a in machines for b in machines if a < b]
    network = Network.create(list(zip(machines, map(float, instance.speeds), strict=True)), links)
    edges = [(jobs[before], jobs[after], float(size)) for before, after, size in instance.edges]
    return network, TaskGraph.create(list(zip(jobs, map(float, instance.costs), strict=True)), edges)


def _makespan(scheduler: type[Scheduler], network: Network, graph: TaskGraph) -> int:
    makespan = float(scheduler().schedule(network, graph).makespan)
    assert makespan.is_integer()
    return int(makespan)


def rows(instance: Instance) -> Iterator[tuple[str, int, str, int, int]]:
    """Family, seed, method, the least makespan and the greatest."""
    said = [_said(instance, naming) for naming in range(_NAMINGS)]
    for method, (scheduler, downward_rank) in _METHODS.items():
        saga_cpop.downward_rank = downward_rank
        saga_cpop.cpop_ranks.cache_clear()
        found = [_makespan(scheduler, network, graph) for network, graph in said]
        yield instance.family, instance.seed, method, min(found), max(found)
