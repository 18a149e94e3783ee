"""Arms of one cgroup, with directories in the place of sched_ext's, of the cgroups and of the objects."""

import shutil

import pytest
from fake_sched_ext import attaching, made_sysfs

from schedtel.errors import CapabilityError, CollectorError, UsageError
from schedtel.host.sched_ext import State, Sub, read_state
from schedtel.schedulers import sched_ext, sub_schedulers
from schedtel.schedulers.choices import Choice
from schedtel.schedulers.names import parse_arm
from schedtel.schedulers.sched_ext import Loader
from schedtel.schedulers.switching import Schedulers

#: Makes the kernel show a scheduler, and then one for the cgroup 28 below it; takes both back when it is told to.
ATTACHES = """
cd {sysfs}; trap 'echo disabled > state; rm -rf root; exit 0' TERM
mkdir -p root; echo lender > root/ops; echo enabled > state; echo 1 > enable_seq
sleep 0.1; mkdir -p root/sub/sub-28; echo {below} > root/sub/sub-28/ops
while :; do sleep 0.02; done
"""
SUB = Sub(28, "vtime")


@pytest.fixture
def sysfs(tmp_path, monkeypatch):
    """A kernel with sched_ext, whose user may load BPF programs."""
    monkeypatch.setattr(sched_ext, "_may_load_bpf", lambda: True)
    return made_sysfs(tmp_path)


@pytest.fixture
def able(sysfs, tmp_path, monkeypatch):
    """A kernel with sub-schedulers, a cgroup /x and the object of vtime."""
    monkeypatch.setattr(sub_schedulers, "has_sub_schedulers", lambda: True)
    for path in (tmp_path / "cgroups" / "x", tmp_path / "objects"):
        path.mkdir(parents=True)
    for path in (tmp_path / "cgroups", tmp_path / "cgroups" / "x"):
        (path / "cgroup.procs").touch()
    for name in ("vtime.sub.o", "lender.sub.o", "fifo.bpf.o"):
        (tmp_path / "objects" / name).touch()
    monkeypatch.setattr(sub_schedulers, "cgroup_root", lambda: tmp_path / "cgroups")
    monkeypatch.setattr(sub_schedulers, "OBJECTS", tmp_path / "objects")
    return tmp_path


@pytest.fixture
def attached(sysfs):
    def loader(below):
        return Loader(("sh", "-c", ATTACHES.format(sysfs=sysfs, below=below)), "lender", sub=SUB)

    with attaching(sysfs) as attach:
        yield lambda below="vtime", timeout_s=30.0: attach(loader(below), timeout_s)


def test_a_kernel_without_sub_schedulers_is_told_with_the_one_that_it_takes(sysfs, monkeypatch):
    monkeypatch.setattr(sub_schedulers, "has_sub_schedulers", lambda: False)
    with Schedulers(sysfs=sysfs) as schedulers:
        with pytest.raises(CapabilityError, match=r"no sub-schedulers.*Linux 7\.2 or later with CONFIG_EXT_SUB_SCHED"):
            schedulers.switch("scx:vtime@/x")
        (choice,) = [choice for choice in schedulers.arms() if choice.arm == "scx:NAME@/x"]
    assert choice.usable is False
    assert "CONFIG_EXT_SUB_SCHED" in choice.why


def test_the_loader_has_both_objects_and_the_id_of_the_cgroup(able):
    loader = sub_schedulers.find_loader(parse_arm("scx:vtime@/x"), 7000)
    identity = (able / "cgroups" / "x").stat().st_ino
    objects = able / "objects"
    below = (str(objects / "lender.sub.o"), "--below", str(objects / "vtime.sub.o"), "--cgroup", str(identity))
    assert loader.command[-5:] == below
    assert loader.command[loader.command.index("--timeout-ms") + 1] == "7000"
    assert (loader.ops, loader.waits, loader.sub) == ("lender", True, Sub(identity, "vtime"))


@pytest.mark.parametrize(
    ("arm", "says"),
    [
        ("scx:vtime@/none", "no such cgroup"),
        ("scx:vtime@/../x", "no such cgroup"),
        ("scx:vtime@/", r"it is the cgroup of all \(write scx:vtime\)"),
        ("scx:vtme@/x", "did you mean 'vtime'"),
        ("scx:fifo@/x", r"no fifo\.sub\.o is in"),
        ("scx:lender@/x", "no lender"),
    ],
)
def test_a_cgroup_or_a_scheduler_that_is_not_there_is_refused(able, sysfs, arm, says):
    with Schedulers(sysfs=sysfs) as schedulers, pytest.raises(UsageError, match=says):
        schedulers.check(arm)


def test_the_arms_are_listed_with_what_they_depend_on(able, sysfs):
    with Schedulers(sysfs=sysfs) as schedulers:
        found = [choice for choice in schedulers.arms() if "@" in choice.arm]
    assert found == [Choice("scx:vtime@/x", usable=None, why="where there is such a cgroup")]


def test_an_arm_is_in_effect_once_the_kernel_shows_both(attached, sysfs):
    scheduler = attached()
    assert read_state(sysfs) == State("enabled", "lender", 1, (SUB,))
    assert scheduler.problem() is None
    scheduler.detach()
    assert read_state(sysfs) == State("disabled", None, 1)


def test_one_that_the_cgroup_does_not_get_is_not_in_effect(attached, sysfs):
    with pytest.raises(CollectorError, match="it was not enabled in time"):
        attached(below="another", timeout_s=0.5)
    assert read_state(sysfs).state == "disabled"


def test_its_end_below_one_that_goes_on_is_noticed(attached, sysfs):
    scheduler = attached()
    shutil.rmtree(sysfs / "root" / "sub" / "sub-28")
    assert scheduler.problem().startswith("vtime was ejected: its cgroup is back to lender (")
