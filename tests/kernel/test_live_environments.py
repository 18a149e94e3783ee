"""MigrateLive and SwapLive on the running kernel: what they change and see, and that all is as it was afterwards."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="gymnasium is not installed (pip install 'schedtel[learn]')")
pytest.importorskip("numba", reason="numba is not installed (pip install 'schedtel[sim]')")
from gymnasium.wrappers import PassiveEnvChecker
from scheduled import IDLE, OTHER, all_of, children_of, policy_of
from waiting import eventually

from schedtel.environments.migrate import MigrateSim
from schedtel.environments.migrate_live import MigrateLive
from schedtel.environments.single import Single
from schedtel.environments.swap import SwapSim
from schedtel.environments.swap_live import SwapLive
from schedtel.environments.swap_settings import SwapSettings
from schedtel.errors import UsageError
from schedtel.schedulers.names import parse_selector

CPUS = sorted(os.sched_getaffinity(0))
pytestmark = pytest.mark.skipif(len(CPUS) < 2, reason="one CPU: no thread can be moved")
#: A shell that waits for a line, and two children of it that never sleep.
LOAD = "while :; do :; done & while :; do :; done & echo ready; read line"
#: Each acts, says so, and waits to be killed.
KEEPS = textwrap.dedent("""
    import sys
    import numpy as np
    from schedtel.environments.migrate_live import MigrateLive
    with MigrateLive(int(sys.argv[1]), threads=3) as environment:
        environment.step(np.array([environment.cpus + 1]))
        print("acts", flush=True)
        sys.stdin.readline()
""")
SWAPS = textwrap.dedent("""
    import sys
    import numpy as np
    from schedtel.environments.swap_live import SwapLive
    from schedtel.environments.swap_settings import SwapSettings
    from schedtel.schedulers.names import parse_selector
    settings = SwapSettings(("eevdf", "policy:batch"), window="50ms")
    with SwapLive(parse_selector("pid=" + sys.argv[1]), settings) as environment:
        environment.reset(0)
        environment.step(np.array([1]))
        print("acts", flush=True)
        sys.stdin.readline()
""")


@pytest.fixture
def load():
    """A process tree with three threads: the oldest waits for a line, the others are hogs."""
    with subprocess.Popen(
        ["sh", "-c", LOAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout.readline()
        yield process
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def state_of(pid):
    return {tid: all_of(tid) for tid in (pid, *children_of(pid))}


def act(environment, action):
    return environment.step(np.array([action], np.int32))


def test_a_thread_is_kept_and_let_go_and_all_are_as_they_were(load, tmp_path):
    hogs = sorted(children_of(load.pid))
    os.sched_setaffinity(hogs[1], {CPUS[1]})
    before = state_of(load.pid)
    with MigrateLive(load.pid, threads=4, journals=tmp_path / "journals") as environment:
        each = environment.cpus + 1
        _, masks = environment.reset(0)
        assert not masks[0, 2 * each], "it may not run there"
        assert not masks[0, 3 * each : -1].any(), "there is no fourth thread"
        observations, _, _, masks = act(environment, each)
        assert os.sched_getaffinity(hogs[0]) == {CPUS[0]}
        assert os.sched_getaffinity(hogs[1]) == {CPUS[1]}
        assert not masks[0, each]
        assert masks[0, each + environment.cpus]
        hog = 3 * environment.cpus + 6 + environment.cpus  # where the numbers of the second thread begin
        assert observations[0, [hog + 1, hog + 5, hog + 6]].tolist() == [1, 1, 1]
        act(environment, each + environment.cpus)
        assert state_of(load.pid) == before
        with pytest.raises(UsageError, match="cannot take action"):
            act(environment, 2 * each)
        act(environment, each + 1)
    assert state_of(load.pid) == before
    assert not (tmp_path / "journals").exists()


def test_two_hogs_on_one_cpu_lose_half_of_their_time(load, tmp_path):
    with MigrateLive(load.pid, threads=3, journals=tmp_path / "journals") as environment:
        act(environment, environment.cpus + 1)
        act(environment, 2 * (environment.cpus + 1))
        rewards = [act(environment, environment.action_count - 1)[1][0] for _ in range(30)]
        assert environment.cpu_rewards[0, 1] == 0
    # Of three threads one waits at any time, at least; what else runs on the machine makes it more.
    assert -1 <= np.mean(rewards) < -0.25


@pytest.mark.parametrize("script", [KEEPS, SWAPS], ids=["MigrateLive", "SwapLive"])
def test_a_kill_puts_every_thread_back(load, script):
    before = state_of(load.pid)
    command = [sys.executable, "-c", script, str(load.pid)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout.readline() == "acts\n"
        assert state_of(load.pid) != before
        killed.kill()
        eventually(lambda: state_of(load.pid) == before)


def test_both_live_forms_are_what_gymnasium_expects_and_have_the_spaces_of_the_simulated_ones(load, tmp_path):
    before = state_of(load.pid)
    cpus = len(CPUS)
    live = MigrateLive(load.pid, threads=3, step="2ms", steps=5, costs_ns={"sh": 5}, journals=tmp_path / "journals")
    simulated = MigrateSim(1, cpus, 3)
    checked = PassiveEnvChecker(Single(live))
    _, info = checked.reset(seed=1)
    for _ in range(5):
        assert checked.action_space.n == simulated.action_count
        assert checked.observation_space.shape == (simulated.observation_size,)
        *_, is_over, info = checked.step(np.int64(np.flatnonzero(info["action_mask"])[-1]))
    assert is_over
    checked.close()
    assert state_of(load.pid) == before


def test_what_moving_costs_is_marked_as_unknown_unless_it_is_said(load, tmp_path):
    for costs_ns, known in (({}, False), ({"sh": 400_000}, True)):
        with MigrateLive(load.pid, threads=3, costs_ns=costs_ns, journals=tmp_path / "journals") as environment:
            at = [3 * environment.cpus + k * (6 + environment.cpus) + 3 for k in range(3)]
            observations, _ = environment.reset(0)
            assert environment.known[at].tolist() == [known] * 3
            assert environment.known.sum() == environment.observation_size - (0 if known else 3)
            assert observations[0, at] == pytest.approx([0.2 if known else 0] * 3)


@pytest.mark.parametrize(
    ("of", "why"), [({}, "no such process"), ({"threads": 0}, "threads 0"), ({"steps": 0}, "steps")]
)
def test_a_process_or_a_number_that_cannot_be_is_refused(of, why):
    with pytest.raises(UsageError, match=why):
        MigrateLive(4_999_999, **of)


def test_swap_live_has_an_arm_in_effect_and_puts_everything_back(load):
    before, hogs = state_of(load.pid), sorted(children_of(load.pid))
    settings = SwapSettings(("eevdf", "policy:batch", "policy:hogs:idle"), window="100ms")
    live = SwapLive(parse_selector(f"pid={load.pid}"), settings, steps=60)
    simulated = SwapSim(1)
    try:
        assert live.observation_size == simulated.observation_size - simulated.action_count + 3
        observations, masks = live.reset(0)
        assert masks[0, :2].all()
        assert observations[0, -3:].tolist() == [1, 0, 0]
        while not masks[0, 2]:  # until the hogs are known to be some
            *_, masks = act(live, 0)
        observations, rewards, _, _ = act(live, 2)
        assert [policy_of(hog) for hog in hogs] == [IDLE, IDLE]
        assert observations[0, -3:].tolist() == [0, 0, 1]
        assert live.contexts[0].running == "policy:hogs:idle"
        assert np.isfinite(rewards).all()
        act(live, 0)
        assert [policy_of(hog) for hog in hogs] == [OTHER, OTHER]
        act(live, 1)
        assert state_of(load.pid) != before
    finally:
        live.close()
    assert state_of(load.pid) == before
