"""Jobs that are graphs: small ones worked out by hand, and any, judged by the rules of schedules that `dag` has."""

import numpy as np
import pytest
from graphs import random_graph
from simulated import FREE, MS, START_NS, Run, simulation

from schedtel.dags.schedule import Schedule, broken_rules
from schedtel.dags.spec import as_table
from schedtel.errors import UsageError
from schedtel.simulator.crew import refuse_impossible
from schedtel.simulator.machine import Machine
from schedtel.simulator.state import SCHEDULERS
from schedtel.workloads.plan import make_plan, refuse_overload
from schedtel.workloads.run import Runner
from schedtel.workloads.spec import workload_of

ONE = {"kind": "periodic", "period": "100s"}
#: 4 units of work: on a CPU, on the GPU, and on a CPU again, with transfers of 1 between them.
THERE_AND_BACK = {
    "devices": {"cpu": 1, "gpu": 1},
    "jobs": {"a": {"cpu": 1}, "b": {"gpu": 2, "after": {"a": 1}}, "c": {"cpu": 1, "after": {"b": 1}}},
}

BEHAVIOUR = {"kind": "graph", "graph": THERE_AND_BACK}


def planned(graph, service, method="heft", classes=None, duration="1s", **more):
    behaviour = {"kind": "graph", "graph": graph, "method": method}
    own = {"arrival": ONE, "service": service, "behaviour": behaviour} | more
    table = {"duration": duration, "overload": True, "classes": (classes or {}) | {"g": own}}
    return make_plan(workload_of(table, "test"))


def run_of(graph, service, *, cpus=1, method="heft", classes=None, more=None, **machine):
    settings = {"scheduler": "fifo", "slice_ns": 10**9} | machine
    return Run(planned(graph, service, method, classes, **(more or {})), cpus=cpus, **settings)


@pytest.mark.parametrize(("method", "expected"), [("heft", 16), ("peft", 13)])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_alone_on_the_machine_a_job_takes_as_long_as_its_schedule(method, expected, scheduler):
    """HEFT has t0 and t2 on the CPU until 9, and t3 begins after a transfer of 4 on the GPU, where t1 ended at 7. PEFT
    has t2 on the GPU, from 8 to 10, and t3 behind it. All together are 15 where each is fastest.
    """
    run = run_of("wait", "15ms", method=method, scheduler=scheduler)
    assert run.jobs("g") == [(0, expected)]


@pytest.mark.parametrize("life", [False, True])
def test_a_device_does_one_part_after_the_other(life):
    """Both jobs have a until 1 ms and send until 2. The GPU does b of one from 2 to 4 and of the other from 4 to 6."""
    run = run_of(THERE_AND_BACK, "4ms", cpus=2, more={"arrival": ONE | {"batch": 2}, "life": life})
    assert sorted(run.jobs("g")) == [(0, 6), (0, 8)]


def test_two_devices_do_two_parts_at_once():
    graph = THERE_AND_BACK | {"devices": {"cpu": 2, "gpu": {"count": 2, "memory": "shared"}}}
    run = run_of(graph, "4ms", cpus=2, more={"arrival": ONE | {"batch": 2}})
    assert run.jobs("g") == [(0, 6), (0, 6)]
    same = planned(THERE_AND_BACK, "4ms", arrival=ONE | {"batch": 2}, behaviour=BEHAVIOUR | {"devices": {"gpu": 2}})
    assert Run(same, cpus=2).jobs("g") == [(0, 6), (0, 6)]


def test_a_part_on_a_cpu_waits_as_any_task_does_and_one_on_a_device_does_not():
    """h has the only CPU until 3 ms. From 3 to 4 the job has a; h2, which is due at 5, has the CPU from 5 to 15 ms. The
    GPU has b from 5 to 7, and c, whose result is there at 8, has the CPU at 15.
    """
    classes = {
        name: {"arrival": ONE | {"offset": at}, "service": work, "workers": 1}
        for name, at, work in (("h", "0ms", "3ms"), ("h2", "5ms", "10ms"))
    }
    run = run_of(THERE_AND_BACK, "4ms", classes=classes)
    assert run.jobs("g") == [(3, 16)]
    assert [at for at, name in run.switches() if name == "g"][-2:] == [15, 16]


def test_a_job_of_twice_the_work_takes_twice_as_long_on_each_device_and_transfer():
    run = run_of(THERE_AND_BACK, "8ms")
    assert run.jobs("g") == [(0, 12)]


def test_the_time_of_devices_and_the_waits_for_them_are_told():
    """As above with two jobs: 4 of 8 ms busy, and waits of 0 and 2 ms."""
    table = {"duration": "8ms", "overload": True, "drain": "0s"}
    table["classes"] = {"g": {"arrival": ONE | {"batch": 2}, "service": "4ms", "behaviour": BEHAVIOUR}}
    source = simulation_of(table)
    of = source.devices["gpu"]
    assert (of["count"], of["begun"], of["ended"]) == (1, 2, 2)
    assert (of["busy_ns"], of["busy_share"]) == (4 * MS, 0.5)
    assert (of["wait_mean_ns"], of["wait_max_ns"]) == (MS, 2 * MS)


def simulation_of(table):
    from schedtel.simulator.simulation import Simulation  # noqa: PLC0415  (it needs numba)

    source = Simulation(make_plan(workload_of(table, "test")), Machine(2, **FREE), "100ms")
    list(source)
    return source


def as_schedule(dag, run):
    """When each job of a graph began, in µs, and on which of the devices; the first GPU that is free has the next."""
    parts = run.state.tasks[run.state.tasks["node"] > 0]
    assert (parts["missing"] <= 0).all()
    on_cpu = parts["device"] < 0
    starts = np.where(on_cpu, parts["first_cpu_ns"], parts["burst_since_ns"])
    devices, cpus, free = np.where(on_cpu, parts["cpu"], -1), dag.kinds[0].count, [0] * dag.kinds[1].count
    for part in np.argsort(starts, kind="stable"):
        if not on_cpu[part]:
            gpu = int(np.argmin(free))
            if dag.kinds[1].own_memory:  # a queue for each
                gpu = int(parts["device"][part] - run.state.machine["own_semaphores"][0]) + dag.kinds[1].count
            free[gpu] = parts["ran_ns"][part]
            devices[part] = cpus + gpu
    return Schedule(tuple(devices.tolist()), tuple(((starts - START_NS) // 1000).tolist()))


@pytest.mark.parametrize(("gpus", "own"), [(1, False), (2, False), (2, True)])
def test_what_is_simulated_breaks_no_rule_of_a_schedule(gpus, own):
    """A unit is 1 µs. No part is interrupted, since the slice is a second; the root of the job needs no time."""
    draw = np.random.default_rng(gpus + own)
    for _ in range(20):
        dag = random_graph(draw, int(draw.integers(1, 12)), cpus=2, gpus=gpus, own=own)
        method = str(draw.choice(["heft", "cpop", "peft", "etf", "minmin"]))
        run = run_of(as_table(dag), f"{int(dag.least_times.sum())}us", cpus=2, method=method, traced=0)
        schedule = as_schedule(dag, run)
        assert broken_rules(dag, schedule) == []
        assert run.jobs("g") == [(0, schedule.makespan(dag) / 1000)]


def test_devices_are_no_cpus_of_a_window():
    """The rows are those of the root, a and c, and the CPUs' time is the 2 ms of these two."""
    windows = list(simulation_windows())
    assert sum(sum(window.cpus["busy_ns"].to_pylist()) for window in windows) == 2 * MS
    comms = {(row["tid"], row["comm"]) for window in windows for row in window.tasks.to_pylist() if row["tid"]}
    assert len(comms) == 3
    assert {comm for _, comm in comms} == {"g"}


def simulation_windows():
    text = '[classes.g]\narrival = { kind = "periodic", period = "100s" }\nservice = "4ms"\nlife = true\n'
    text += "[classes.g.behaviour]\nkind = 'graph'\n[classes.g.behaviour.graph.devices]\ncpu = 1\ngpu = 1\n"
    text += "[classes.g.behaviour.graph.jobs]\na = { cpu = 1 }\nb = { gpu = 2, after = { a = 1 } }\n"
    return simulation(text + "c = { cpu = 1, after = { b = 1 } }\n", "50ms", cpus=2, **FREE)


# ---- what is refused ----

HUGE = THERE_AND_BACK | {"jobs": {"a": {"cpu": 10**9}}}
REFUSED = {
    "a graph of no name": ("nope", {}, "graph is 'nope', and must be a preset of `schedtel dag list`"),
    "another type": (5, {}, "it is no table"),
    "a method": ("wait", {"method": "best"}, "method is 'best', which is unknown"),
    "another device": (
        THERE_AND_BACK,
        {"behaviour": BEHAVIOUR | {"devices": {"gqu": 2}}},
        r"devices: unknown field 'gqu' \(did you mean 'gpu'\?\)",
    ),
    "no device": (THERE_AND_BACK, {"behaviour": BEHAVIOUR | {"devices": {"gpu": 0}}}, "gpu is 0, and must be"),
    "a cycle": (
        THERE_AND_BACK | {"jobs": {"a": {"cpu": 1, "after": ["b"]}, "b": {"cpu": 1, "after": ["a"]}}},
        {},
        "its jobs wait for each other",
    ),
    "CPUs apart": (
        THERE_AND_BACK | {"devices": {"cpu": {"count": 2, "memory": "own"}, "gpu": 1}},
        {},
        "the CPUs of a machine share one memory",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_graph_that_cannot_be_is_one_line(what):
    graph, more, message = REFUSED[what]
    with pytest.raises(UsageError, match=message) as found:
        planned(graph, "1ms", **more)
    assert "\n" not in str(found.value)


def test_graphs_that_disagree_about_a_device_are_refused():
    other = {"arrival": ONE, "service": "1ms", "behaviour": {"kind": "graph", "graph": "cholesky-4-readys"}}
    with pytest.raises(UsageError, match="one has 2 of 'gpu' and another 1"):
        planned("wait", "1ms", classes={"x": other})


def test_what_a_simulated_machine_does_not_do_is_refused():
    with pytest.raises(UsageError, match="its jobs fork and have no end"):
        refuse_impossible(planned("wait", "1ms", arrival="closed"), Machine())
    with pytest.raises(UsageError, match="the numbers of its graph are too large"):
        refuse_impossible(planned(HUGE, "3600s"), Machine())


def test_more_work_than_a_device_can_do_is_refused():
    """Each job has the GPU for half its work of 4 ms, and one comes every millisecond."""
    own = {"arrival": {"kind": "periodic", "period": "1ms"}, "service": "4ms", "behaviour": BEHAVIOUR}
    plan = make_plan(workload_of({"duration": "1s", "classes": {"g": own}}, "test"))
    assert plan.load(0) == plan.device_load("gpu") == 2
    with pytest.raises(UsageError, match=r"work for 2\.00 of gpu arrives, of which there are 1"):
        refuse_overload(plan, range(4))


def test_the_generator_refuses_jobs_that_are_graphs():
    with pytest.raises(UsageError, match="its jobs are graphs, which have no devices here"):
        Runner(planned("wait", "1ms"))
