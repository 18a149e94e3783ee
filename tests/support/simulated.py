"""Small simulations for tests: a workload as text in; who ran when, and what became of the jobs, out."""

import fcntl
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st

pytest.importorskip("numba", reason="numba is not installed (pip install 'schedtel[sim]')")

from schedtel.simulator.beginning import beginning
from schedtel.simulator.engine import advance
from schedtel.simulator.machine import Machine
from schedtel.simulator.simulation import Simulation
from schedtel.simulator.state import SCHEDULERS, SWITCHED
from schedtel.simulator.swapping import ATTRIBUTES, swap
from schedtel.workloads.plan import make_plan
from schedtel.workloads.spec import parse_workload

MS = 1_000_000
#: The start of a run on the simulated clock.
START_NS = 1_000 * MS
#: A machine on which nothing costs time but work, and a slice ends when it is used.
FREE = {"tick_ns": 1, "switch_ns": 0, "migration_ns": 0}


def once(at="0ms"):
    """An arrival process with one job."""
    return f'{{ kind = "periodic", period = "100s", offset = "{at}" }}'


def one_job(name, work, at="0ms", more=""):
    """A class with one job and one task for it."""
    return f'[classes.{name}]\narrival = {once(at)}\nservice = "{work}"\nworkers = 1\n{more}\n'


def planned(text, duration="1s"):
    return make_plan(parse_workload(f'duration = "{duration}"\noverload = true\n{text}', "test"))


def schedule(state, scheduler, slice_ns, changes=()):
    """Another scheduler, and (task, attribute, value) from now on; the other attributes stay."""
    attributes = np.stack([state.tasks[name] for name in ATTRIBUTES], axis=1).astype(np.int64)
    for task, name, value in changes:
        attributes[task, ATTRIBUTES.index(name)] = value
    swap(state, SCHEDULERS.index(scheduler), slice_ns, attributes)


class Run:
    """A simulation that has run, with all that happened in it.

    ``swaps`` are (ms, scheduler, slice in ms, changes as of :func:`schedule`), in order.
    """

    def __init__(self, plan, traced=200_000, swaps=(), **machine):
        self.machine = Machine(**({"cpus": 1} | FREE | machine))
        self.plan = plan
        self.state, self.rows = beginning(plan, self.machine, START_NS, traced)
        workload = plan.workload
        for at_ms, scheduler, slice_ms, changes in swaps:
            advance(self.state, START_NS + at_ms * MS)
            schedule(self.state, scheduler, slice_ms * MS, changes)
        advance(self.state, START_NS + workload.duration_ns + workload.drain_ns)
        self.trace = self.state.trace[: self.state.machine["traced"][0]]
        assert not traced or len(self.trace) < traced, "give it more room"

    def name(self, task):
        return self.rows["comm"][task].decode() if task >= 0 else "-"

    def switches(self, cpu=0):
        """(ms, name of the task that has the CPU from then on; - for none) of a CPU."""
        chosen = self.trace[(self.trace["kind"] == SWITCHED) & (self.trace["cpu"] == cpu)]
        return [((row["time_ns"] - START_NS) / MS, self.name(row["task"])) for row in chosen]

    def jobs(self, name):
        """(RT, TAT) in ms of each job of a class."""
        number = [c.name for c in self.plan.workload.classes].index(name)
        of = self.state.records[self.plan.jobs["class"] == number]
        assert (of["ended_ns"] > 0).all()
        times = np.stack([of["started_ns"] - of["released_ns"], of["ended_ns"] - of["released_ns"]], 1)
        return [tuple(row) for row in (times / MS).tolist()]

    def task(self, name):
        """The first task of a class."""
        return self.state.tasks[np.flatnonzero(self.rows["comm"] == name.encode())[0]]


def simulate(text, duration="1s", **machine):
    return Run(planned(text, duration), **machine)


def simulation(text, duration="1s", window="100ms", **machine):
    """A source of windows."""
    return Simulation(planned(text, duration), Machine(**machine), window)


# ---- workloads at random ----

_ARRIVALS = st.sampled_from(
    [
        '{ kind = "poisson", rate = 400 }',
        '{ kind = "poisson", rate = 100, batch = 3 }',
        '{ kind = "periodic", period = "7ms", jitter = "3ms" }',
        '"closed"',
        '{ kind = "closed", think = { kind = "exponential", mean = "2ms" } }',
    ]
)
_SERVICES = st.sampled_from(
    ['"300us"', '{ kind = "exponential", mean = "1ms" }', '{ kind = "lognormal", mean = "3ms", sigma = 1.2 }']
)
_BEHAVIOURS = st.sampled_from(
    [
        '"cpu"',
        '{ kind = "sleep", bursts = 3, sleep = "500us" }',
        '{ kind = "pipe", rounds = 4 }',
        '{ kind = "lock", share = 0.3 }',
        '{ kind = "memory", size = 262144 }',
        '{ kind = "file", size = 4096, sync = true }',
        '{ kind = "fork", depth = 2, fan = 2 }',
        '{ kind = "graph", graph = "wait" }',
        '{ kind = "graph", graph = "cholesky-3", method = "minmin" }',
    ]
)
_TREATMENTS = st.sampled_from(
    ["", "nice = 5", "nice = -10", 'policy = "batch"', 'policy = "idle"', 'slice = "700us"', "cpus = [0]"]
)


@st.composite
def classes(draw, name):
    arrival, behaviour = draw(_ARRIVALS), draw(_BEHAVIOURS)
    is_open = "closed" not in arrival
    if ("fork" in behaviour or "graph" in behaviour) and not is_open:
        behaviour = '"cpu"'
    life = "life = true\n" if is_open and draw(st.booleans()) else ""
    workers = draw(st.integers(1, 6))
    return (
        f"[classes.{name}]\narrival = {arrival}\nservice = {draw(_SERVICES)}\nbehaviour = {behaviour}\n"
        f"workers = {workers}\n{life}{draw(_TREATMENTS)}\n"
    )


@st.composite
def workloads(draw):
    """The text of a workload of one to three classes, and a machine for it, on which a switch takes time."""
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    text = f"seed = {draw(st.integers(1, 1000))}\n" + "".join(draw(classes(name)) for name in names)
    machine = {
        "cpus": draw(st.integers(1, 4)),
        "scheduler": draw(st.sampled_from(SCHEDULERS)),
        "tick_ns": draw(st.sampled_from([1, 1_000_003, 4_000_000])),
        "switch_ns": draw(st.sampled_from([101, 1_507])),
    }
    return text, machine


# ---- compiling ----

BUILD = Path(__file__).parents[2] / "build"


def compile_once(use):
    """Use what numba compiles: one of the processes that tests run in does so, the others load what it kept."""
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "simulator.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        use()
