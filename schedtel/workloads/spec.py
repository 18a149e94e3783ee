"""A workload as TOML in; the same as frozen objects, or one line that says what is wrong with it, out."""

import json
import re
import tomllib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from schedtel.access.files import read_file
from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean
from schedtel.workloads.arrivals import Arrival, read_arrival
from schedtel.workloads.behaviours import Behaviour, read_behaviour
from schedtel.workloads.external import External, read_external
from schedtel.workloads.fields import LONGEST_NS, Fields
from schedtel.workloads.graphs import devices_of
from schedtel.workloads.policies import Treatment, read_treatment
from schedtel.workloads.presets import preset_names, preset_text
from schedtel.workloads.services import Service, read_service

#: The name of a class is that of its tasks, of which the kernel keeps 15 bytes.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_MOST_CLASSES = 64
_MOST_WORKERS = 1024
_MOST_PHASES = 1000
#: How late the dispatcher may be at the 99th percentile before a run is called late.
_LATE_NS = 1_000_000
_DRAIN_NS = 1_000_000_000


@dataclass(frozen=True)
class TaskClass:
    """Tasks of one kind: when their jobs arrive, how much work each is, what it does, and how it is scheduled.

    :param deadline_ns: from the planned moment of a job to that by which it is to end; 0 for none. It is measured, and
        tells the scheduler nothing: that of policy ``deadline`` is in ``treatment`` besides.
    """

    name: str
    arrival: Arrival
    service: Service
    behaviour: Behaviour
    treatment: Treatment
    workers: int
    tasks: str = "processes"
    life: bool = False
    deadline_ns: int = 0


@dataclass(frozen=True)
class Phase:
    """A stretch of time, and the factor of each class's rate (an open class) or of its workers (a closed one) in it."""

    duration_ns: int
    rates: tuple[tuple[str, float], ...] = ()

    def factor(self, name: str) -> float:
        """The factor of a class: 1 unless the phase names it."""
        return dict(self.rates).get(name, 1.0)


@dataclass(frozen=True)
class Workload:
    """A whole workload. Phases repeat until ``duration_ns`` is over."""

    duration_ns: int
    classes: tuple[TaskClass, ...]
    phases: tuple[Phase, ...] = ()
    externals: tuple[External, ...] = ()
    seed: int = 1
    description: str = ""
    loops_per_us: float = 0.0
    overload: bool = False
    late_ns: int = _LATE_NS
    drain_ns: int = _DRAIN_NS

    def devices(self) -> dict[str, int]:
        """Queues of the devices that jobs of its classes use, beside the CPUs → how many devices each is for.

        Raises :class:`UsageError` where two classes disagree.
        """
        return devices_of(c.behaviour.graph for c in self.classes if c.behaviour.graph)

    def with_options(self, seed: int | None = None, duration_ns: int | None = None) -> "Workload":
        """The same with another seed or length, where one is given."""
        return replace(
            self,
            seed=self.seed if seed is None else seed,
            duration_ns=self.duration_ns if duration_ns is None else duration_ns,
        )

    def is_task(self, comm: str) -> bool:
        """Whether a command name is that of a task of its classes, or where it has none, of its programs of others."""
        if self.classes:
            return any(comm == c.name for c in self.classes)
        return any(one.is_task(comm) for one in self.externals)

    def as_dict(self) -> dict[str, Any]:
        """All fields, the defaults included, as JSON has them."""
        return asdict(self)

    def canonical(self) -> bytes:
        """What the plan depends on, as one line of JSON that is the same for equal workloads."""
        plain = {name: value for name, value in self.as_dict().items() if name not in _NOT_OF_THE_PLAN}
        plain["classes"] = [_of_the_plan(one) for one in plain["classes"]]
        return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()


#: Fields that change neither what is planned nor what a job does.
_NOT_OF_THE_PLAN = ("description", "loops_per_us", "overload", "late_ns", "drain_ns", "deadline_ns")


def _of_the_plan(task_class: dict[str, Any]) -> dict[str, Any]:
    """The fields of a class that a plan depends on. Without a graph they are as they were before there were graphs."""
    behaviour = {name: value for name, value in task_class["behaviour"].items() if value is not None}
    found = {name: value for name, value in task_class.items() if name not in _NOT_OF_THE_PLAN}
    return found | {"behaviour": behaviour}


def load_workload(spec: str) -> Workload:
    """The workload of a preset's name, or else of a TOML file.

    Raises :class:`UsageError` where there is neither, or where the file describes no workload.
    """
    if spec in preset_names():
        return parse_workload(preset_text(spec), spec)
    if not spec.endswith(".toml") and "/" not in spec:
        meant = did_you_mean(spec, preset_names())
        raise UsageError(f"cannot use workload {spec[:40]!r}: no preset has this name ({meant}; a file ends in .toml)")
    return parse_workload(_decoded(read_file(spec, "workload"), spec), spec)


def _decoded(raw: bytes, spec: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise UsageError(f"cannot use workload {spec}: it is not UTF-8 (is it a file of TOML?)") from None


def parse_workload(text: str, name: str) -> Workload:
    """The workload that a text of TOML describes.

    :param name: what it is called in a message.

    Raises :class:`UsageError` for what is no TOML, for unknown, missing and contradictory fields, and for values out of
    range.
    """
    try:
        table = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise UsageError(f"cannot use workload {name}: {error or 'too deep'} (see docs/workloads.md)") from None
    return workload_of(table, name)


def workload_of(table: dict[str, Any], name: str) -> Workload:
    """The workload that a table describes, as TOML gives it. Raises :class:`UsageError` as :func:`parse_workload`."""
    fields = Fields(table, f"workload {name}")
    workload = _workload(fields)
    fields.end()
    workload.devices()
    return workload


def _workload(fields: Fields) -> Workload:
    externals = _externals(fields)
    classes = _classes(fields) if "classes" in fields or not externals else ()
    fields.take("classes")
    phases = _phases(fields, classes)
    return Workload(
        fields.duration("duration", sum(phase.duration_ns for phase in phases) or None),
        classes,
        phases,
        externals,
        seed=fields.count("seed", 0, (1 << 63) - 1, 1),
        description=fields.text("description", ""),
        loops_per_us=fields.number("loops_per_us", 0.001, 1e6) if "loops_per_us" in fields else 0.0,
        overload=fields.flag("overload"),
        late_ns=fields.duration("late", _LATE_NS),
        drain_ns=fields.duration("drain", _DRAIN_NS, least=0),
    )


def _externals(fields: Fields) -> tuple[External, ...]:
    table = fields.take("external", {})
    if not isinstance(table, dict) or len(table) > _MOST_CLASSES:
        raise UsageError(f"cannot use {fields.where}: external must be at most {_MOST_CLASSES} tables [external.NAME]")
    return tuple(read_external(name, raw) for name, raw in table.items())


# ---- classes ----


def _classes(fields: Fields) -> tuple[TaskClass, ...]:
    table = fields.need("classes")
    if not isinstance(table, dict) or not 0 < len(table) <= _MOST_CLASSES:
        raise UsageError(f"cannot use {fields.where}: classes must be from 1 to {_MOST_CLASSES} tables [classes.NAME]")
    return tuple(_class(name, raw) for name, raw in table.items())


def _class(name: str, raw: object) -> TaskClass:
    where = f"classes.{name}"[:60]
    if not _NAME.fullmatch(name):
        raise UsageError(f"cannot use {where}: its name is that of its tasks (at most 15 of a-z A-Z 0-9 _ . -)")
    fields = Fields(raw, where)
    arrival = read_arrival(fields.need("arrival"), f"{where}.arrival")
    treatment = read_treatment(fields)
    found = TaskClass(
        name,
        arrival,
        _service(fields, arrival, where),
        read_behaviour(fields.take("behaviour", "cpu"), f"{where}.behaviour"),
        treatment,
        fields.count("workers", 1, _MOST_WORKERS, 16 if arrival.is_open else 1),
        fields.choice("tasks", ("processes", "threads"), "processes"),
        fields.flag("life"),
        treatment.deadline_ns or fields.duration("deadline", 0),
    )
    fields.end()
    _refuse_contradictions(found, where)
    return found


def _service(fields: Fields, arrival: Arrival, where: str) -> Service:
    if arrival.kind == "recorded" and "service" not in fields:
        fields.take("service")
        return read_service("recorded", f"{where}.service")
    return read_service(fields.need("service"), f"{where}.service")


def _refuse_contradictions(found: TaskClass, where: str) -> None:
    """Refuse what the generator could not do, or what would mean nothing."""
    contradictions = {
        "service of a recording needs arrivals of one": found.service.kind == "recorded"
        and found.arrival.kind != "recorded",
        "a job that is a life is a process (drop tasks = threads)": found.life and found.tasks == "threads",
        "a closed class has no lives (give it an open arrival, or drop life)": found.life and not found.arrival.is_open,
        "the kernel lets no task of policy deadline fork (drop the tree)": found.treatment.policy == "deadline"
        and found.behaviour.kind in ("fork", "pipe"),
    }
    for why, is_so in contradictions.items():
        if is_so:
            raise UsageError(f"cannot use {where}: {why}")


# ---- phases ----


def _phases(fields: Fields, classes: tuple[TaskClass, ...]) -> tuple[Phase, ...]:
    if "phases" not in fields:
        fields.take("phases")
        return ()
    raw = fields.items("phases")
    if len(raw) > _MOST_PHASES:
        raise UsageError(f"cannot use {fields.where}: {len(raw):,} phases (at most {_MOST_PHASES:,})")
    return tuple(_phase(table, number, classes) for number, table in enumerate(raw, 1))


def _phase(raw: object, number: int, classes: Iterable[TaskClass]) -> Phase:
    fields = Fields(raw, f"phase {number}")
    duration = fields.duration("duration", most=LONGEST_NS)
    factors = Fields(fields.take("rates", {}), f"phase {number}, rates")
    # An open class's rate may rise a thousandfold; a closed class has no more workers than it has.
    named = [(c.name, factors.number(c.name, 0, 1000 if c.arrival.is_open else 1, 1)) for c in classes]
    factors.end()
    fields.end()
    return Phase(duration, tuple(pair for pair in named if pair[1] != 1))
