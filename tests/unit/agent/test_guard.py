"""The guard above real switches, with a directory in place of the kernel's sched_ext: all ways lead to EEVDF."""

import pytest
from acting import Acting, World, with_tasks
from fake_sched_ext import attaches, made_sysfs

from schedtel.agent.classes import CLASSES, Classes
from schedtel.agent.machine import ThisMachine
from schedtel.agent.pairs import Pairs
from schedtel.agent.policies.protocol import Settings
from schedtel.schedulers import sched_ext
from schedtel.schedulers.sched_ext import Loader


@pytest.fixture
def sysfs(tmp_path, monkeypatch):
    """A kernel with sched_ext, and no scheduler attached."""
    monkeypatch.setattr(sched_ext, "_may_load_bpf", lambda: True)
    return made_sysfs(tmp_path, 0)


@pytest.fixture
def acting(sysfs, tmp_path, windows):
    """An agent that may choose EEVDF or a scheduler, by a script in its loader's place; it runs the scheduler."""
    loaders = {"sim": Loader(("sh", "-c", attaches(sysfs, "sim_1.0")), "sim")}
    with ThisMachine(CLASSES, loaders=loaders, journals=tmp_path / "journals", sysfs=sysfs) as machine:
        arms, exploring = ("eevdf", "scx:sim"), Settings(seed=1)
        made = Acting(World(windows[0]), machine=machine, arms=arms, is_trusted=True, exploring=exploring)
        while machine.in_effect() == "eevdf":
            made.live(1)
        yield made


def ejected(sysfs, _machine):
    (sysfs / "state").write_text("disabled\n")


def replaced(sysfs, _machine):
    (sysfs / "enable_seq").write_text("7\n")


def renamed(sysfs, _machine):
    (sysfs / "root" / "ops").write_text("another\n")


@pytest.mark.parametrize("goes_wrong", [ejected, replaced, renamed])
def test_a_scheduler_with_which_something_is_wrong_gives_way_within_one_window(acting, sysfs, goes_wrong):
    goes_wrong(sysfs, acting.agent._machine)
    (status,) = acting.live(1)
    assert status.chosen == "eevdf"
    assert "scx:sim has failed: " in status.guard
    assert acting.quarantine.why("scx:sim")
    assert acting.agent._machine._attached is None


def test_someone_elses_scheduler_is_waited_for(acting, sysfs):
    acting.agent._machine.restore()
    acting.quarantine.add("scx:sim", "so that EEVDF runs")
    acting.live(3)
    (sysfs / "root").mkdir()
    (sysfs / "root" / "ops").write_text("theirs\n")
    (sysfs / "state").write_text("enabled\n")
    seen = acting.live(4)
    assert {status.scheduler for status in seen} == {"theirs"}
    assert all("theirs was attached by someone else" in status.guard for status in seen)
    assert (sysfs / "root" / "ops").read_text() == "theirs\n"


def test_an_arm_of_classes_without_threads_is_barred(windows):
    arms = ("eevdf", "policy:hogs:idle", "policy:short:rr=5", "policy:hogs:idle+comm=x:batch")
    classes = Classes()
    acting = Acting(World(windows[0]), arms=arms, classes=classes)
    pairs = Pairs(acting.settings.reward)
    assert acting.guard.barred(pairs) == {
        "policy:hogs:idle": "no thread looks like hogs",
        "policy:short:rr=5": "no thread looks like short",
    }
    hog = {"tid": 2, "tgid": 2, "cpu_ns": 90_000_000, "wait_ns": 0, "alive_ns": 100_000_000, "bursts": 0}
    for _ in range(2):
        classes.add(with_tasks(windows[0], [hog | {"bursts_unfinished": 1, "completion_ns": None}]))
    assert "policy:hogs:idle" not in acting.guard.barred(pairs)
    classes.refused = "short threads take 60 % of the CPUs"
    assert acting.guard.barred(pairs) == {"policy:short:rr=5": "short threads take 60 % of the CPUs"}
