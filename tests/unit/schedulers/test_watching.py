"""Changes of what the kernel runs, with a directory in the place of /sys/kernel/sched_ext."""

import time

import pytest

from schedtel.errors import CapabilityError
from schedtel.schedulers.watching import Watch


class Kernel:
    """What the kernel's files show."""

    def __init__(self, path):
        self.path = path
        (path / "root").mkdir(parents=True)
        self.show("disabled", None, 0)

    def show(self, state, ops, enable_seq):
        (self.path / "state").write_text(f"{state}\n")
        (self.path / "enable_seq").write_text(f"{enable_seq}\n")
        if ops:
            (self.path / "root" / "ops").write_text(f"{ops}\n")
        else:
            (self.path / "root" / "ops").unlink(missing_ok=True)


@pytest.fixture
def kernel(tmp_path):
    return Kernel(tmp_path / "sched_ext")


@pytest.fixture
def watch(kernel):
    with Watch(kernel.path) as watching:
        yield watching


def told(watch):
    return [(seen.scheduler, seen.state, seen.enable_seq, seen.unseen) for seen in watch.look()]


def test_the_first_look_tells_what_is_and_later_ones_what_has_changed(kernel, watch):
    assert told(watch) == [("eevdf", "disabled", 0, 0)]
    assert told(watch) == []
    kernel.show("enabled", "fifo", 1)
    assert told(watch) == [("fifo", "enabled", 1, 0)]
    kernel.show("disabling", "fifo", 1)
    assert told(watch) == [("fifo", "disabling", 1, 0)]
    kernel.show("disabled", None, 1)
    assert told(watch) == [("eevdf", "disabled", 1, 0)]


def test_a_scheduler_of_a_cgroup_is_told_when_it_comes_and_when_it_goes(kernel, watch):
    told(watch)
    kernel.show("enabled", "lender", 1)
    assert told(watch) == [("lender", "enabled", 1, 0)]
    below = kernel.path / "root" / "sub" / "sub-99999999"
    below.mkdir(parents=True)
    (below / "ops").write_text("vtime\n")
    (seen,) = watch.look()
    assert (seen.scheduler, list(seen.cgroups.values()), seen.unseen, seen.eevdf_ns) == (
        "lender/vtime",
        ["vtime"],
        0,
        None,
    )
    (below / "ops").unlink()
    assert told(watch) == [("lender", "enabled", 1, 0)]


def test_an_attach_is_told_once_the_kernel_has_counted_it(kernel, watch):
    told(watch)
    kernel.show("enabled", "fifo", 0)
    assert told(watch) == []
    kernel.show("enabled", "fifo", 1)
    assert told(watch) == [("fifo", "enabled", 1, 0)]


@pytest.mark.parametrize(
    ("state", "ops", "enable_seq", "unseen"),
    [
        ("disabled", None, 3, 2),
        ("enabled", "vtime", 2, 0),
        ("enabled", "fifo", 2, 0),
        ("enabled", "vtime", 4, 2),
        ("enabling", "vtime", 2, 1),
        ("disabling", "vtime", 2, 0),
    ],
)
def test_what_came_and_went_between_two_looks_is_counted(kernel, watch, state, ops, enable_seq, unseen):
    kernel.show("enabled", "fifo", 1)
    told(watch)
    kernel.show(state, ops, enable_seq)
    assert told(watch) == [("eevdf" if state == "disabled" else ops, state, enable_seq, unseen)]


def test_the_time_under_the_kernels_own_is_between_the_looks(kernel, watch):
    kernel.show("enabled", "fifo", 1)
    (first,) = watch.look()
    assert first.eevdf_ns is None
    kernel.show("disabled", None, 1)
    before = time.monotonic_ns()
    (gone,) = watch.look()
    kernel.show("enabled", "vtime", 2)
    (back,) = watch.look()
    after = time.monotonic_ns()
    assert back.eevdf_ns == back.monotonic_ns - gone.monotonic_ns
    assert before <= gone.monotonic_ns <= back.monotonic_ns <= after
    assert abs(back.time_ns - time.time_ns()) < 60_000_000_000


def test_a_kernel_without_sched_ext_is_refused(tmp_path):
    with pytest.raises(CapabilityError, match="CONFIG_SCHED_CLASS_EXT"):
        Watch(tmp_path)
