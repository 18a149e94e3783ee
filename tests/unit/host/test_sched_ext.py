"""What the files of /sys/kernel/sched_ext say, and what windows are labelled with. They are written by hand."""

import errno
import shutil
import time
from pathlib import Path

import pytest

from schedtel.host import counters, sched_ext
from schedtel.host.sched_ext import SchedulerLabels, State, Sub, has_sub_schedulers, read_state


class Kernel:
    """The files of sched_ext as the kernel leaves them (scx_enable() and scx_disable_workfn(), kernel/sched/ext.c)."""

    def __init__(self, path):
        self.path, self.attached = path, 7
        (path / "root").mkdir()
        self.show("disabled")

    def show(self, state, ops=None):
        (self.path / "state").write_text(f"{state}\n")
        (self.path / "enable_seq").write_text(f"{self.attached}\n")
        shown = self.path / "root" / "ops"
        shown.write_text(f"{ops}\n") if ops else shown.unlink(missing_ok=True)

    def attach(self, ops):
        self.attached += 1
        self.show("enabled", ops)

    def attach_below(self, place, ops):
        """For one cgroup, as the kernel does it: enable_seq stays."""
        (self.path / "root" / place).mkdir(parents=True, exist_ok=True)
        (self.path / "root" / place / "ops").write_text(f"{ops}\n")

    def detach(self):
        self.show("disabled")


@pytest.fixture
def kernel(tmp_path):
    return Kernel(tmp_path)


@pytest.fixture
def labels(kernel):
    return SchedulerLabels("eevdf", kernel.path)


def test_sub_schedulers_are_told_by_the_names_of_their_kfunc_and_their_form_in_btf(tmp_path):
    """Without CONFIG_EXT_SUB_SCHED, the members are there and the kfunc is not; 7.1 has it, and no such form."""
    btf = tmp_path / "vmlinux"
    for names, expected in (
        (b"\0sched_ext_ops_cid\0sub_cgroup_id\0scx_bpf_sub_dispatch\0", True),
        (b"\0sched_ext_ops_cid\0sub_cgroup_id\0__pfx_scx_bpf_sub_dispatch\0", False),
        (b"\0sched_ext_ops\0sub_cgroup_id\0scx_bpf_sub_dispatch\0", False),
    ):
        btf.write_bytes(b"\x9f\xeb" + names)
        assert has_sub_schedulers(btf) is expected
    assert not has_sub_schedulers(tmp_path / "none")


def test_the_state_is_what_the_files_say(kernel):
    assert read_state(Path("/nowhere")) is None
    assert read_state(kernel.path) == State("disabled", None, 7)
    kernel.attach("simple")
    assert read_state(kernel.path) == State("enabled", "simple", 8)
    kernel.show("disabling", "simple")
    assert read_state(kernel.path) == State("disabling", "simple", 8)


def test_schedulers_of_cgroups_are_told_with_the_one_above_them(kernel):
    kernel.attach("lender")
    kernel.attach_below("sub/sub-28", "vtime")
    kernel.attach_below("sub/sub-7", "fifo")
    kernel.attach_below("sub/sub-7/sub/sub-9", "fifo")
    kernel.attach_below("sub/other", "none")
    now = read_state(kernel.path)
    assert now == State("enabled", "lender", 8, (Sub(7, "fifo"), Sub(9, "fifo"), Sub(28, "vtime")))
    assert now.name == "lender/fifo/fifo/vtime"
    kernel.detach()
    assert read_state(kernel.path) == State("disabled", None, 8)


def test_a_window_names_the_scheduler_that_a_cgroup_got_in_it(kernel, labels):
    def ended():
        labels.see()
        return labels.until(time.monotonic_ns())

    kernel.attach("lender")
    assert ended() == "eevdf+lender"
    kernel.attach_below("sub/sub-28", "vtime")
    assert ended() == "lender+lender/vtime"
    shutil.rmtree(kernel.path / "root" / "sub")
    assert [ended(), ended()] == ["lender/vtime+lender", "lender"]


@pytest.mark.parametrize("file", ["ops", "enable_seq"])
def test_a_scheduler_that_is_enabled_while_the_files_are_read_is_not_seen_as_half_of_it(kernel, monkeypatch, file):
    kernel.show("enabling", "simple")
    read, to_come = sched_ext._line, [lambda: kernel.attach("simple")]

    def line(path):
        if path.name == file and to_come:
            to_come.pop()()
        return read(path)

    monkeypatch.setattr(sched_ext, "_line", line)
    assert read_state(kernel.path) == State("enabled", "simple", 8)


def test_a_state_that_changes_again_and_again_is_told_as_it_was(kernel, monkeypatch):
    states = iter(range(1000))
    monkeypatch.setattr(sched_ext, "_line", lambda path: str(next(states)) if path.name == "state" else "1")
    assert read_state(kernel.path).enable_seq == 1
    assert next(states) < 10


def window(labels, *changes, late=()):
    """The label of a window in which changes happen; those in ``late`` happen behind its edge, before it is read."""
    for change in changes:
        change()
    labels.see()
    edge_ns = time.monotonic_ns()
    for change in late:
        change()
    return labels.until(edge_ns)


def test_a_kernel_without_sched_ext_has_its_own_scheduler(tmp_path):
    labels = SchedulerLabels("cfs", tmp_path / "nowhere")
    assert [window(labels), window(labels)] == ["cfs", "cfs"]


def test_a_window_of_two_schedulers_says_so_and_the_next_one_has_one(kernel, labels):
    assert window(labels) == "eevdf"
    assert window(labels, lambda: kernel.attach("fifo")) == "eevdf+fifo"
    assert window(labels) == "fifo"
    assert window(labels, kernel.detach) == "fifo+eevdf"
    assert window(labels) == "eevdf"


def test_a_scheduler_that_was_replaced_passed_through_the_kernels_own(kernel, labels):
    window(labels, lambda: kernel.attach("fifo"))
    assert window(labels, kernel.detach, lambda: kernel.attach("vtime")) == "fifo+eevdf+vtime"
    # The same name, but another attach.
    assert window(labels, kernel.detach, lambda: kernel.attach("vtime")) == "vtime+eevdf+vtime"
    assert window(labels) == "vtime"


def test_a_scheduler_that_came_and_went_between_two_readings_leaves_its_number(kernel, labels):
    assert window(labels, lambda: kernel.attach("fifo"), kernel.detach) == "eevdf+sched_ext+eevdf"
    assert window(labels) == "eevdf"
    unseen = (lambda: kernel.attach("fifo"), kernel.detach, lambda: kernel.attach("vtime"))
    assert window(labels, *unseen) == "eevdf+sched_ext+eevdf+vtime"


def test_an_attach_that_the_kernel_has_not_counted_yet_is_not_seen_twice(kernel, labels):
    def attach():
        kernel.show("enabled", "fifo")  # and enable_seq as before

    def count():
        kernel.attach("fifo")

    assert window(labels, attach) == "eevdf+fifo"
    assert window(labels, count) == "fifo"
    assert window(labels, kernel.detach) == "fifo+eevdf"
    assert window(labels, attach) == "eevdf+fifo"
    assert window(labels, count, kernel.detach) == "fifo+eevdf"


def test_a_swap_at_an_edge_is_in_both_windows(kernel, labels):
    assert window(labels, late=[lambda: kernel.attach("fifo")]) == "eevdf+fifo"
    assert window(labels) == "eevdf+fifo"
    assert window(labels) == "fifo"


def test_a_late_collector_does_not_give_a_window_the_scheduler_of_a_later_one(kernel, labels):
    """It was busy past the edges of two windows, and the swap was in one of them: nothing says in which."""
    window(labels)
    edges_ns = (time.monotonic_ns(), time.monotonic_ns())
    kernel.attach("fifo")
    labels.see()
    assert [labels.until(edge_ns) for edge_ns in edges_ns] == ["eevdf+fifo", "eevdf+fifo"]
    assert window(labels) == "eevdf+fifo"
    assert window(labels) == "fifo"


@pytest.mark.parametrize(
    ("state", "labels_of_three"),
    [
        ("enabling", ["eevdf+fifo", "eevdf+fifo", "fifo"]),
        ("enabled", ["eevdf+fifo", "fifo", "fifo"]),
        ("disabling", ["eevdf+fifo+eevdf", "fifo+eevdf", "eevdf"]),
    ],
)
def test_a_change_under_way_at_an_edge_is_in_both_windows(kernel, labels, state, labels_of_three):
    def begin():
        kernel.attached += state != "enabling"  # the kernel counts an attach when it is complete
        kernel.show(state, "fifo")

    def complete():
        kernel.attached += state == "enabling"
        kernel.show(*(("disabled",) if state == "disabling" else ("enabled", "fifo")))

    assert [window(labels, begin), window(labels, complete), window(labels)] == labels_of_three


def test_an_attach_that_fails_is_none(kernel, labels):
    window(labels, lambda: kernel.show("enabling", "fifo"))
    assert window(labels, kernel.detach) == "eevdf+fifo+eevdf"
    assert window(labels, lambda: kernel.attach("vtime")) == "eevdf+vtime"


def test_without_a_descriptor_the_last_label_stands_and_the_next_one_has_the_swap(kernel, monkeypatch):
    monkeypatch.setattr(sched_ext, "SYSFS", kernel.path)
    monkeypatch.setattr(counters, "SchedulerLabels", lambda own: SchedulerLabels(own, kernel.path))
    host = counters.HostCounters(is_eevdf=True)
    kernel.attach("fifo")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: (_ for _ in ()).throw(OSError(errno.EMFILE, "full")))
        host.before_edge()
        assert host.since_last(time.monotonic_ns())["scheduler"] == "eevdf"
    assert host.since_last(time.monotonic_ns())["scheduler"] == "eevdf+fifo"
