"""Switching between sched_ext and policy arms, with a directory in the place of the kernel's sched_ext."""

import os
import subprocess
import time

import pytest
from fake_sched_ext import attaches, made_sysfs
from scheduled import BATCH, OTHER, is_running, policy_of
from waiting import eventually

from schedtel.errors import CapabilityError, UsageError
from schedtel.schedulers import sched_ext
from schedtel.schedulers.choices import Choice
from schedtel.schedulers.sched_ext import Loader
from schedtel.schedulers.switching import Schedulers


@pytest.fixture
def sysfs(tmp_path, monkeypatch):
    """A kernel with sched_ext, whose user may load BPF programs, with no loader on the path but a shell."""
    monkeypatch.setattr(sched_ext, "_may_load_bpf", lambda: True)
    return made_sysfs(tmp_path, 0)


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


@pytest.fixture
def schedulers(sysfs, sleeper, tmp_path):
    loaders = {name: Loader(("sh", "-c", attaches(sysfs, f"{name}_1.0")), name) for name in ("first", "second")}
    loaders["missing"] = Loader(("no-such-loader",), "missing")
    with Schedulers(f"pid={sleeper}", loaders=loaders, journals=tmp_path / "journals", sysfs=sysfs) as made:
        yield made


def test_current_is_read_from_the_kernel(schedulers, sysfs):
    assert schedulers.current().scheduler == "eevdf"
    schedulers.switch("scx:first")
    assert (schedulers.current().scheduler, schedulers.current().state) == ("first_1.0", "enabled")
    (sysfs / "state").write_text("disabled\n")
    assert (schedulers.current().scheduler, schedulers.current().state) == ("eevdf", "disabled")
    assert "was ejected" in schedulers.problem()


def test_each_switch_ends_what_was_before(schedulers, sleeper):
    schedulers.switch("scx:first")
    (first,) = schedulers.helpers - {schedulers._guard.pid}
    schedulers.switch("scx:second")
    assert not is_running(first)
    assert schedulers.current().scheduler == "second_1.0"
    schedulers.switch("policy:batch")
    assert (schedulers.current().scheduler, policy_of(sleeper)) == ("eevdf", BATCH)
    schedulers.switch("eevdf")
    assert policy_of(sleeper) == OTHER
    assert schedulers.problem() is None


def test_a_switch_says_how_long_each_half_took(schedulers, sysfs):
    """The loader of `second` takes 200 ms, and that of `first` as long to end."""
    assert (schedulers.switch("eevdf"), schedulers.switch("eevdf").gap_ns < 100_000_000) == (0, True)
    schedulers._loaders["slow"] = Loader(
        ("sh", "-c", "sleep 0.2; " + attaches(sysfs, "slow").replace("exit 0", "sleep 0.3; exit 0")),
        "slow",
    )
    began = time.monotonic_ns()
    first = schedulers.switch("scx:slow")
    second = schedulers.switch("scx:first")
    took_ns = time.monotonic_ns() - began
    assert (first, second) == (1, 1)
    assert first.attach_ns >= 200_000_000
    assert second.detach_ns >= 300_000_000
    assert first.gap_ns + second.gap_ns <= took_ns


def test_a_wrong_arm_leaves_the_one_in_effect(schedulers, sleeper):
    schedulers.switch("policy:batch")
    for arm in ("scx:missing", "scx:no-such-scheduler", "policy:cpus=8000", "policy:hogs:idle", "nonsense"):
        with pytest.raises(UsageError):
            schedulers.switch(arm)
        assert policy_of(sleeper) == BATCH


def test_a_user_who_may_not_load_bpf_programs_is_refused_before(schedulers, sysfs, monkeypatch):
    monkeypatch.setattr(sched_ext, "_may_load_bpf", lambda: False)
    with pytest.raises(CapabilityError, match="this user may not load BPF programs"):
        schedulers.switch("scx:first")
    assert (sysfs / "enable_seq").read_text() == "0\n"


def test_eevdf_is_refused_while_another_program_has_a_scheduler_attached(schedulers, sysfs):
    (sysfs / "root").mkdir()
    (sysfs / "root" / "ops").write_text("theirs\n")
    (sysfs / "state").write_text("enabled\n")
    with pytest.raises(CapabilityError, match="cannot switch to eevdf: theirs is attached"):
        schedulers.switch("eevdf")
    assert schedulers.current().scheduler == "theirs"
    (sysfs / "state").write_text("disabled\n")
    assert schedulers.switch("eevdf") == 0


def test_arms_says_which_loaders_are_there(schedulers):
    found = schedulers.arms()
    assert found[0] == Choice("eevdf", usable=True)
    assert Choice("scx:first", usable=True) in found
    assert Choice("scx:missing", usable=False, why="its program is not on the path") in found


def test_the_end_of_the_context_ends_scheduler_and_guard(schedulers, sysfs, tmp_path):
    schedulers.switch("scx:first")
    helpers = schedulers.helpers
    assert len(helpers) == 2
    schedulers.close()
    assert [pid for pid in helpers if is_running(pid)] == []
    assert (sysfs / "state").read_text() == "disabled\n"
    assert not (tmp_path / "journals").exists()
    schedulers.close()


def test_the_guard_ends_a_loader_that_has_outlived_its_parent(schedulers, sysfs):
    """A loader may have given up the parent-death signal, as a setuid program does. The journal has it all the same."""
    schedulers.switch("scx:first")
    guard = schedulers._guard
    (loader,) = schedulers.helpers - {guard.pid}
    guard.close()
    eventually(lambda: os.waitid(os.P_PID, loader, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None)
    (sysfs / "state").write_text("disabled\n")  # as the kernel does then
