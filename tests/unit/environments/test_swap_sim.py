"""SwapSim: the same window twice, what a swap costs, and that it sees and rewards as the agent does."""

from dataclasses import replace

import numpy as np
import pytest

from schedtel.agent.reward import Reference, RewardSettings, costs_of
from schedtel.environments.swap import Simulated, SwapSim
from schedtel.environments.swap_load import Loads
from schedtel.environments.swap_machine import Gap, SwapMachine, simulated
from schedtel.errors import UsageError
from schedtel.simulator.machine import Machine
from schedtel.simulator.simulation import Simulation
from schedtel.workloads.plan import make_plan
from schedtel.workloads.spec import load_workload, parse_workload

MS = 1_000_000
ARMS = ("eevdf", "policy:hogs:idle", "policy:slice=100ms", "scx:fifo", "scx:interactive")
SETTINGS = Simulated(ARMS, loads=Loads(("hogs-probe", "web"), phases=3, windows=4))
HOGS_AND_PROBE = """
[classes.hog]
arrival = "closed"
service = "1s"
workers = 2
[classes.probe]
arrival = { kind = "periodic", period = "10ms" }
service = "1ms"
workers = 1
"""


def plan_of(text):
    return make_plan(parse_workload(f'duration = "60s"\noverload = true\n{text}', "test"))


def machine_with(text, arms, attach_ms=0, **of):
    found = SwapMachine(Machine(**of), arms, 500 * MS, Gap(0, attach_ms * MS))
    found.load(plan_of(text))
    return found


def same(one, other):
    """All of a window but the scheduler's name, which is what was asked for."""
    return one.tasks.equals(other.tasks) and one.cpus.equals(other.cpus)


def policies_of(window):
    return {row["comm"]: row["policy"] for row in window.tasks.to_pylist()}


def waits_ns(window):
    rows = window.tasks.to_pylist()
    return sum(row["wakeup_wait_ns"] for row in rows if row["comm"] == "probe")


def test_windows_under_eevdf_are_those_of_the_simulator():
    plan = make_plan(load_workload("web").with_options(3, 4_000 * MS))
    machine = SwapMachine(Machine(), ARMS, 500 * MS, Gap())
    machine.load(plan)
    expected = list(Simulation(plan, Machine(), "500ms"))[:6]
    for window in expected:
        found = machine.run("eevdf")
        assert same(found, window)
        assert found.features().values.tolist() == window.features().values.tolist()


@pytest.mark.parametrize("arm", ARMS)
def test_what_is_tried_is_what_then_happens_and_leaves_no_trace(arm):
    machine = machine_with(HOGS_AND_PROBE, ARMS)
    for _ in range(3):
        machine.run("eevdf")
    tried = [machine.tried(other) for other in (*ARMS, arm)]
    assert same(tried[-1], tried[ARMS.index(arm)])
    assert same(machine.run(arm), tried[-1])
    assert not same(tried[0], tried[2])


def test_hogs_are_inferred_and_in_sched_idle_give_way_at_once():
    machine = machine_with(HOGS_AND_PROBE, ARMS, cpus=1, switch_ns=0, migration_ns=0)
    assert policies_of(machine.run("policy:hogs:idle")) == {"hog": 0, "probe": 0}  # nothing is known yet
    untreated = [machine.run("eevdf") for _ in range(2)][-1]
    treated = [machine.run("policy:hogs:idle") for _ in range(2)][-1]
    assert policies_of(treated) == {"hog": 5, "probe": 0}  # SCHED_IDLE, SCHED_NORMAL
    assert waits_ns(untreated) > waits_ns(treated) == 0
    assert policies_of(machine.run("eevdf")) == {"hog": 0, "probe": 0}


def test_a_class_has_no_tasks_of_an_earlier_load():
    machine = machine_with(HOGS_AND_PROBE, ARMS)
    for _ in range(4):
        machine.run("eevdf")
    assert policies_of(machine.tried("policy:hogs:idle"))["hog"] == 5
    machine.load(plan_of(HOGS_AND_PROBE))
    assert policies_of(machine.tried("policy:hogs:idle"))["hog"] == 0


def test_while_a_scheduler_is_attached_eevdf_runs():
    """One hog under fifo keeps its CPU from the probe; with a gap as long as the window it is EEVDF's window."""
    swaps = {gap_ms: machine_with(HOGS_AND_PROBE, ARMS, gap_ms) for gap_ms in (0, 250, 500)}
    for machine in swaps.values():
        machine.run("eevdf")
    waits = {gap_ms: waits_ns(machine.tried("scx:fifo")) for gap_ms, machine in swaps.items()}
    assert waits[0] > waits[250] > waits[500]
    assert same(swaps[500].tried("scx:fifo"), swaps[500].tried("eevdf"))
    assert Gap(2, 3).between("fifo", "eevdf") == 0
    assert Gap(2, 3).between("fifo", "vtime") == 5
    assert Gap(2, 3).between("eevdf", "vtime") == 3
    assert Gap(2, 3).between("vtime", "vtime") == 0


def test_the_reward_is_the_agents_and_that_of_eevdf_is_zero():
    environments = SwapSim(2, SETTINGS, staggered=False)
    _, masks = environments.reset(4)
    for _ in range(3):
        _, rewards, _, masks = environments.step(np.zeros(2, np.int32))
        assert rewards.tolist() == [0, 0]
    assert masks.all()
    expected = environments.all_rewards()
    machine, reference = environments._machines[0], Reference(RewardSettings())
    reference.add(costs_of([machine.tried("eevdf")]), 0)  # it has been under EEVDF up to now
    ratio = reference.reward(costs_of([machine.tried("scx:fifo")]), swapped=True)
    _, rewards, _, _ = environments.step(np.array([3, 1], np.int32))
    assert rewards == pytest.approx([expected[0, 3], expected[1, 1]])
    assert rewards[0] == pytest.approx(ratio - 0.02)


def test_rewards_are_beside_a_machine_that_has_never_left_eevdf():
    environments = SwapSim(1, replace(SETTINGS, loads=Loads(("web",), phases=1, windows=6)), staggered=False)
    environments.reset(4)
    plan = environments.phases[0].plan(7 * 500 * MS)
    for _ in range(2):
        environments.step(np.array([3], np.int32))
    alone = list(Simulation(plan, Machine(), "500ms"))
    assert same(environments._beside[0].tried("eevdf"), alone[3])
    assert not same(environments._machines[0].tried("eevdf"), alone[3])


def test_it_sees_what_a_policy_of_the_agent_is_given():
    environments = SwapSim(1, SETTINGS, staggered=False)
    observations, _ = environments.reset(1)
    context = environments.contexts[0]
    count = len(context.features.names)
    assert environments.observation_size == 2 * count + len(ARMS)
    assert observations[0, count : 2 * count].tolist() == context.features.mask.tolist()
    assert observations[0, 2 * count :].tolist() == [1, 0, 0, 0, 0]
    assert np.abs(observations[0, :count]).max() <= 4
    observations, *_ = environments.step(np.array([2], np.int32))
    assert environments.contexts[0].running == ARMS[2]
    assert observations[0, 2 * count :].tolist() == [0, 0, 1, 0, 0]


def test_an_episode_has_its_phases_and_its_cost_is_the_mean_of_its_rewards():
    environments = SwapSim(1, SETTINGS, staggered=False)
    environments.reset(5)
    met, rewards = [], []
    for number in range(12):
        assert np.isnan(environments.cost()).all()
        met.append(environments.phases[0])
        _, reward, ended, _ = environments.step(np.array([2], np.int32))
        rewards.append(float(reward[0]))
        assert ended[0] == (number == 11)
    assert [met[0], met[4], met[8]] == [met[3], met[7], met[11]]
    assert {met[0].workload, met[4].workload} == {"hogs-probe", "web"}
    assert len({phase.seed for phase in met}) == 3
    assert environments.cost()[0] == pytest.approx(np.exp(-np.mean(rewards)))


def test_the_same_seed_gives_the_same_and_another_something_else():
    def played(seed):
        environments = SwapSim(2, SETTINGS)
        seen = [environments.reset(seed)[0].tobytes()]
        for action in (0, 2, 3, 3):
            observations, rewards, _, _ = environments.step(np.full(2, action, np.int32))
            seen += [observations.tobytes(), rewards.tobytes()]
        return seen

    assert played(1) == played(1)
    assert played(1) != played(2)


@pytest.mark.parametrize(
    ("arm", "why"),
    [
        ("scx:bpfland", "not one of the simulator's schedulers"),
        ("scx:fifo@/x", "not one of the simulator's schedulers"),
        ("loader:fifo", "not one of the simulator's schedulers"),
        ("policy:short:rr=10", "rr=10 is not simulated"),
        ("policy:cpus=0", "cpus=0 is not simulated"),
        ("policy:pid=1:batch", "has no pid"),
        ("policy:probes:batch", "only short and hogs are inferred"),
    ],
)
def test_what_cannot_be_simulated_is_refused(arm, why):
    with pytest.raises(UsageError, match=f"cannot simulate {arm}: .*{why}"):
        simulated(arm)
    with pytest.raises(UsageError, match="cannot simulate"):
        SwapSim(1, Simulated(("eevdf", arm)))


@pytest.mark.parametrize("arms", [(), ("policy:batch", "eevdf"), ("eevdf", "policy:batch", "policy:batch")])
def test_eevdf_is_the_first_arm_and_none_comes_twice(arms):
    with pytest.raises(UsageError, match="cannot swap among"):
        Simulated(arms)
