"""Throttled time, of directories with the files of cgroups in them; the kernel's own are in tests/kernel."""

import shutil

import pytest

from schedtel import host

#: The file that holds a limit, without and with one; the line of cpu.stat, and nanoseconds for each of its units.
V1 = ("cpu.cfs_quota_us", "-1", "20000", "throttled_time", 1)
V2 = ("cpu.max", "max 100000", "20000 100000", "throttled_usec", 1000)


class Tree:
    def __init__(self, root, version):
        self.root = root
        self.file, self.unlimited, self.limited, self.line, self.unit = version
        self.cgroup(".", 0)

    def cgroup(self, name, throttled, limited=True):
        directory = self.root / name
        directory.mkdir(exist_ok=True)
        (directory / self.file).write_text((self.limited if limited else self.unlimited) + "\n")
        (directory / "cpu.stat").write_text(f"nr_periods 9\n{self.line} {throttled}\n")


@pytest.fixture(params=[V1, V2], ids=["v1", "v2"])
def tree(request, tmp_path, monkeypatch):
    monkeypatch.setattr(host, "_cpu_hierarchy", lambda: tmp_path)
    monkeypatch.setattr(host, "_LOOKING_PART", 0)  # look for limits each time
    return Tree(tmp_path, request.param)


def test_what_was_throttled_before_is_not_counted_again(tree):
    tree.cgroup("a", 5)
    throttling = host.Throttling()
    assert throttling.since_last_ns() == 0
    tree.cgroup("a", 12)
    tree.cgroup("b", 30)
    assert throttling.since_last_ns() == (7 + 30) * tree.unit
    assert throttling.since_last_ns() == 0


def test_a_cgroup_that_goes_takes_nothing_from_the_others(tree):
    tree.cgroup("a", 500)
    tree.cgroup("b", 0)
    throttling = host.Throttling()
    shutil.rmtree(tree.root / "a")
    tree.cgroup("b", 3)
    assert throttling.since_last_ns() == 3 * tree.unit
    tree.cgroup("a", 2)  # another one of that name
    assert throttling.since_last_ns() == 2 * tree.unit


def test_a_limit_that_was_lifted_and_set_again_counts_from_where_it_was(tree):
    tree.cgroup("a", 500)
    throttling = host.Throttling()
    tree.cgroup("a", 500, limited=False)
    assert throttling.since_last_ns() == 0
    tree.cgroup("a", 504)
    assert throttling.since_last_ns() == 4 * tree.unit


def test_limits_are_looked_for_again_only_after_a_thousand_times_what_it_takes(tree, monkeypatch):
    monkeypatch.setattr(host, "_LOOKING_PART", 10**9)
    throttling = host.Throttling()
    tree.cgroup("a", 5)
    assert throttling.since_last_ns() == 0
    monkeypatch.setattr(throttling, "_look_again", 0.0)
    assert throttling.since_last_ns() == 5 * tree.unit


def test_a_machine_without_the_controller_is_never_throttled(monkeypatch):
    monkeypatch.setattr(host, "_cpu_hierarchy", lambda: None)
    assert host.Throttling().since_last_ns() == 0
