"""What a job does with its work: a table of TOML in; the behaviour's name and four numbers for the generator out."""

from dataclasses import asdict, dataclass
from typing import Any

from schedtel.durations import NS_PER_S
from schedtel.errors import UsageError
from schedtel.workloads.fields import Fields, kind_of
from schedtel.workloads.graphs import CPU, Graph, read_graph

#: Most tasks of one fork tree.
_MOST_TREE = 1024


@dataclass(frozen=True)
class Behaviour:
    """A behaviour. ``count`` is of bursts, rounds or levels, ``fan`` of children; ``share`` is of the work."""

    kind: str
    count: int = 0
    fan: int = 0
    sleep_ns: int = 0
    size_bytes: int = 0
    share: float = 0.0
    sync: bool = False
    directory: str = ""
    graph: Graph | None = None

    @property
    def cpu_share(self) -> float:
        """The part of a job's work that CPUs do. Devices do the rest; on a CPU, a part of a graph may be more work."""
        return 1.0 if self.graph is None else self.graph.share_of(CPU)

    def numbers(self) -> tuple[int, int, int]:
        """What the generator takes: ``count``, then two whose meaning depends on the kind."""
        if self.kind == "lock":
            return 0, round(self.share * 1_000_000), 0
        if self.kind == "sleep":
            return self.count, self.sleep_ns, 0
        return self.count, self.size_bytes, self.fan or int(self.sync)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def _read_sleep(fields: Fields) -> Behaviour:
    bursts = fields.count("bursts", 2, 10_000)
    return Behaviour("sleep", bursts, sleep_ns=fields.duration("sleep", most=60 * NS_PER_S))


def _read_tree(fields: Fields) -> Behaviour:
    depth, fan = fields.count("depth", 1, 10), fields.count("fan", 1, _MOST_TREE)
    tasks = sum(fan**level for level in range(1, depth + 1))
    if tasks > _MOST_TREE:
        raise UsageError(f"cannot use {fields.where}: its tree has {tasks:,} tasks (at most {_MOST_TREE:,})")
    return Behaviour("fork", depth, fan)


def _read_file(fields: Fields) -> Behaviour:
    size = fields.count("size", 1, 1 << 30)
    return Behaviour("file", size_bytes=size, sync=fields.flag("sync"), directory=fields.text("directory", "/tmp"))


_READERS = {
    "cpu": lambda _fields: Behaviour("cpu"),
    "sleep": _read_sleep,
    "pipe": lambda fields: Behaviour("pipe", fields.count("rounds", 1, 100_000, 1)),
    "fork": _read_tree,
    "lock": lambda fields: Behaviour("lock", share=fields.number("share", 0.001, 1)),
    "file": _read_file,
    "graph": lambda fields: Behaviour("graph", graph=read_graph(fields)),
    "memory": lambda fields: Behaviour("memory", size_bytes=fields.count("size", 1, 1 << 34)),
}


def read_behaviour(raw: object, where: str) -> Behaviour:
    """The behaviour that a table describes; the text "cpu" is one."""
    return kind_of(raw, where, _READERS)
