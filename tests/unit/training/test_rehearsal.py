"""A policy that learns in SwapSim: it finds the arm that is best by construction, and its file is one of an agent's."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed (pip install 'schedtel[learn]')")

from click.testing import CliRunner

from schedtel.agent.policies.files import load_policy, save_policy
from schedtel.agent.settings import AgentSettings, chosen_policy
from schedtel.cli import group
from schedtel.environments.swap import Simulated
from schedtel.environments.swap_load import Loads
from schedtel.errors import UsageError
from schedtel.training.rehearsal import LEARNED, ORACLE, RANDOM, Rehearsal, simulated_with, text_of

#: Under fifo the probe waits behind six hogs, under interactive it does not wait.
ARMS = ("eevdf", "policy:hogs:idle", "scx:fifo", "scx:interactive")
SMALL = Simulated(ARMS, loads=Loads(("hogs-probe",), phases=1, windows=4))


def learned(kind, windows):
    return Rehearsal(kind, rounds=2, windows=windows, machines=2, episodes=2, simulated=SMALL)


def test_it_learns_which_arm_is_best(tmp_path):
    asked, path = learned("policy-gradient", 24), tmp_path / "policy.safetensors"
    save_policy(asked.learn(), path)
    costs = asked.judge(lambda: load_policy(path))
    assert costs["always scx:interactive"].mean() < -0.3
    assert costs["always scx:fifo"].mean() > 1
    assert costs[LEARNED].mean() < min(-0.3, costs[RANDOM].mean() - 0.2)
    assert costs[ORACLE].mean() < -0.3
    lines = text_of(costs)
    assert len(lines) == len(costs) + 1
    assert "against always " in lines[0]


def test_the_same_seed_learns_the_same_and_its_file_is_one_of_the_agents(tmp_path):
    one, other = (learned("thompson", 8).learn() for _ in range(2))
    assert all(np.array_equal(values, other.arrays()[name]) for name, values in one.arrays().items())
    save_policy(one, tmp_path / "policy.safetensors")
    chosen = chosen_policy(AgentSettings(ARMS[:2], policy=str(tmp_path / "policy.safetensors")))
    assert (chosen.name, chosen.arms) == ("thompson", ARMS[:2])


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"policy": "fixed"}, "cannot rehearse policy 'fixed'"),
        ({"windows": 3}, "cannot rehearse 3 windows"),
        ({"windows": 10**7}, "cannot rehearse 10000000 windows"),
        ({"rounds": 0}, "in 0 rounds"),
        ({"episodes": -1}, "-1 episodes"),
        ({"episodes": 1}, "and 1 episodes"),
    ],
)
def test_what_cannot_be_rehearsed_is_refused(asked, why):
    with pytest.raises(UsageError, match=why):
        Rehearsal(**asked)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--arms", "policy:short:rr=10"], "cannot simulate policy:short:rr=10"),
        (["--arms", "no-such"], "cannot read 'no-such' as an arm"),
        (["--cpus", "0"], "0 is not in the range"),
        (["--windows", "1"], "1 is not in the range"),
        (["--episodes", "1"], "and 1 episodes"),
    ],
)
def test_a_wrong_option_is_one_line_and_writes_nothing(words, why, tmp_path):
    where = tmp_path / "policy"
    found = CliRunner().invoke(group, ["agent", "rehearse", "-o", str(where), *words])
    assert found.exit_code == 2 or isinstance(found.exception, UsageError)
    assert why in (found.output + str(found.exception))
    assert not where.exists()


def test_arms_are_those_of_the_environment_unless_others_are_named():
    assert simulated_with(4, None).arms[0] == "eevdf"
    assert simulated_with(4, ("eevdf", "scx:fifo")).machine.cpus == 4
