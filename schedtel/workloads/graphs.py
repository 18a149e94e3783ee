"""A graph of jobs, as ``schedtel dag`` has them, in; what does each of them, and to whom each hands its result, out.

A job of a class of behaviour ``graph`` is such a graph. To keep the words apart, the graph's own jobs are *parts* here.
A heuristic places them on the graph's devices. Those of kind ``cpu`` are the CPUs of the machine: which of them does a
part is left to the scheduler. Any other memory of the graph has a queue, in which parts wait for one of its devices.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from schedtel.dags.dag import MOST_DEVICES, Dag
from schedtel.dags.families import is_preset, preset
from schedtel.dags.heuristics import HEURISTICS
from schedtel.dags.spec import parse_graph
from schedtel.errors import UsageError
from schedtel.workloads.fields import Fields

#: The kind of device that is the machine's CPUs.
CPU = "cpu"


@dataclass(frozen=True)
class Part:
    """A job of a graph. Times are in the graph's unit.

    :param device: the queue that it waits in, or ``cpu``.
    :param time: how long it takes there.
    :param sends: the parts that need its result, by number, and how long each transfer takes.
    """

    device: str
    time: int
    sends: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Graph:
    """A graph whose parts are placed.

    :param total: the time of all parts, each where it is fastest: as much as the work of a whole job.
    :param devices: its queues, and how many devices each of them is for.
    """

    parts: tuple[Part, ...]
    total: int
    devices: tuple[tuple[str, int], ...]

    @property
    def needs(self) -> list[int]:
        """Of each part, how many others it needs the results of."""
        found = [0] * len(self.parts)
        for part in self.parts:
            for target, _ in part.sends:
                found[target] += 1
        return found

    @property
    def longest(self) -> int:
        """The longest time of a part or of a transfer."""
        return max(max(part.time, *(transfer for _, transfer in part.sends), 0) for part in self.parts)

    def share_of(self, device: str) -> float:
        """How long a job keeps a kind of device busy, as a part of its work."""
        return sum(part.time for part in self.parts if part.device == device) / self.total


def read_graph(fields: Fields) -> Graph:
    """The graph that a table of TOML describes: a preset's name, or what a file of ``schedtel dag`` has."""
    dag = _dag(fields, fields.need("graph"))
    counts = Fields(fields.take("devices", {}), f"{fields.where}.devices")
    dag = dag.with_devices({kind.name: counts.count(kind.name, 1, MOST_DEVICES, kind.count) for kind in dag.kinds})
    counts.end()
    return placed(dag, fields.choice("method", HEURISTICS, "heft"))


def _dag(fields: Fields, raw: Any) -> Dag:
    if not isinstance(raw, str):
        return parse_graph(raw, fields.where)
    if not is_preset(raw):
        raise fields.refuse("graph", raw, 'a preset of `schedtel dag list` (such as "cholesky-5") or a table')
    return preset(raw)


def placed(dag: Dag, method: str) -> Graph:
    """The parts of a graph, on the devices on which a heuristic places them."""
    if any(kind.own_memory and kind.name == CPU for kind in dag.kinds):
        raise UsageError(f"cannot use graph {dag.name[:40]!r}: the CPUs of a machine share one memory (leave own out)")
    names = _names(dag)
    places = [dag.place_of[device] for device in HEURISTICS[method](dag).devices]
    parts = tuple(
        Part(
            names[place],
            dag.times[job][dag.places[place].kind],
            tuple((e.after, e.transfer if places[e.after] != place else 0) for e in dag.successors[job]),
        )
        for job, place in enumerate(places)
    )
    queues = zip(names, (place.count for place in dag.places), strict=True)
    return Graph(parts, int(dag.least_times.sum()), tuple((name, count) for name, count in queues if name != CPU))


def _names(dag: Dag) -> list[str]:
    """Of each memory: its kind, with a number where each device has its own."""
    return [
        dag.device_names[place.first] if dag.kinds[place.kind].own_memory else dag.kinds[place.kind].name
        for place in dag.places
    ]


def devices_of(graphs: Iterable[Graph]) -> dict[str, int]:
    """Queue → devices, of graphs that share them. Raises :class:`UsageError` where two graphs disagree."""
    found: dict[str, int] = {}
    for graph in graphs:
        for name, count in graph.devices:
            if found.setdefault(name, count) != count:
                raise UsageError(
                    f"cannot use the graphs together: one has {found[name]} of {name[:40]!r} and another {count} "
                    "(give both as many)"
                )
    return found
