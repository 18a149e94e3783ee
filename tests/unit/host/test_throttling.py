"""Bandwidth limits, from cpu.stat files as the kernel writes them: v1 in ns, v2 in us."""

import os
import shutil
from pathlib import Path

import pytest
from serving import no_descriptor_left

from schedtel.host import procfs, throttling
from schedtel.host.cgroups import directories
from schedtel.host.throttling import Throttling
from schedtel.records.throttled import Throttled


@pytest.fixture
def hierarchy(tmp_path):
    """A tree of cgroups: /web/api and /batch."""
    for path in ("web/api", "batch"):
        (tmp_path / path).mkdir(parents=True)
    return tmp_path


def v1(directory: Path, periods: int, throttled: int, throttled_ns: int) -> None:
    text = f"nr_periods {periods}\nnr_throttled {throttled}\nthrottled_time {throttled_ns}\n"
    (directory / "cpu.stat").write_text(text)


def v2(directory: Path, periods: int, throttled: int, throttled_us: int) -> None:
    head = "usage_usec 5000\nuser_usec 4000\nsystem_usec 1000\n"
    text = f"nr_periods {periods}\nnr_throttled {throttled}\nthrottled_usec {throttled_us}\nnr_bursts 0\n"
    (directory / "cpu.stat").write_text(head + text)


def an_hour_later(monkeypatch):
    """By now, a search is due."""
    later = throttling.time.monotonic_ns() + 3_600_000_000_000
    monkeypatch.setattr(throttling.time, "monotonic_ns", lambda: later)


@pytest.mark.parametrize(("write", "unit"), [(v1, 1_000_000), (v2, 1_000)])
def test_what_was_throttled_since_the_last_look(hierarchy, write, unit):
    write(hierarchy / "web/api", 100, 10, 50 * unit)
    write(hierarchy / "batch", 5, 0, 0)
    limits = Throttling(str(hierarchy))
    assert limits.since_last() == []
    write(hierarchy / "web/api", 110, 14, 80 * unit)
    write(hierarchy / "batch", 7, 0, 0)
    assert limits.since_last() == [Throttled("/web/api", 30_000_000, 10, 4), Throttled("/batch", 0, 2, 0)]


def test_a_limit_that_is_new_is_found_by_the_next_search_with_all_it_did(hierarchy, monkeypatch):
    limits = Throttling(str(hierarchy))
    v1(hierarchy / "batch", 3, 2, 9_000)
    assert limits.since_last() == [], "it searched again at once, which costs too much with a thousand cgroups"
    an_hour_later(monkeypatch)
    assert limits.since_last() == [Throttled("/batch", 9_000, 3, 2)]


def test_a_cgroup_that_is_renamed_counts_on_under_its_new_name(hierarchy, monkeypatch):
    """As v1 hierarchies allow. What it had counted under its old name is not counted again."""
    v1(hierarchy / "batch", 100, 50, 700)
    limits = Throttling(str(hierarchy))
    (hierarchy / "batch").rename(hierarchy / "nightly")
    v1(hierarchy / "nightly", 104, 51, 730)
    an_hour_later(monkeypatch)
    assert limits.since_last() == [Throttled("/nightly", 30, 4, 1)]


def test_a_cgroup_that_was_renamed_before_the_next_search_counts_on_once_it_is_found(hierarchy, monkeypatch):
    v1(hierarchy / "batch", 100, 50, 700)
    limits = Throttling(str(hierarchy))
    (hierarchy / "batch").rename(hierarchy / "nightly")
    assert limits.since_last() == []
    v1(hierarchy / "nightly", 104, 51, 730)
    an_hour_later(monkeypatch)
    assert limits.since_last() == [Throttled("/nightly", 30, 4, 1)]


def test_a_cgroup_made_anew_counts_from_zero_and_one_that_has_gone_is_forgotten(hierarchy):
    v1(hierarchy / "batch", 100, 50, 700)
    v1(hierarchy / "web", 100, 50, 700)
    limits = Throttling(str(hierarchy))
    v1(hierarchy / "batch", 4, 1, 30)
    (hierarchy / "web/cpu.stat").unlink()
    assert limits.since_last() == [Throttled("/batch", 30, 4, 1)]


def test_a_cgroup_without_a_limit_is_not_read_again(hierarchy, monkeypatch):
    v1(hierarchy, 0, 0, 0)
    v1(hierarchy / "batch", 1, 0, 0)
    limits = Throttling(str(hierarchy))
    looked = []
    monkeypatch.setattr(throttling, "_read", lambda directory, _before: looked.append(directory) or (0, 1, 0))
    limits.since_last()
    assert looked == [str(hierarchy / "batch")]


def test_without_a_descriptor_nothing_is_forgotten_and_the_next_reading_has_it(hierarchy):
    v2(hierarchy / "batch", 5, 2, 1000)
    limits = Throttling(str(hierarchy))
    v2(hierarchy / "batch", 9, 4, 3000)
    limits._search_ns = 0  # also a search finds nothing
    with no_descriptor_left():
        assert limits.since_last() == []
    assert limits.since_last() == [Throttled("/batch", 2_000_000, 4, 2)]


def test_every_directory_is_found_and_files_are_not(hierarchy):
    (hierarchy / "cpu.stat").touch()
    (hierarchy / "link").symlink_to(hierarchy / "web")
    assert sorted(directory.path for directory in directories(str(hierarchy))) == sorted(
        map(str, (hierarchy, *(hierarchy / p for p in _BELOW)))
    )


_BELOW = ("web", "web/api", "batch")


def test_a_cgroup_that_goes_takes_nothing_from_the_others(hierarchy):
    v2(hierarchy / "batch", 100, 50, 500)
    v2(hierarchy / "web", 100, 50, 0)
    limits = Throttling(str(hierarchy))
    shutil.rmtree(hierarchy / "batch")
    v2(hierarchy / "web", 101, 51, 3)
    assert limits.since_last() == [Throttled("/web", 3_000, 1, 1)]


def test_a_machine_without_the_controller_is_never_throttled(monkeypatch):
    monkeypatch.setattr(throttling, "cpu_hierarchy", lambda: None)
    assert Throttling().since_last() == []


def test_mounts_without_a_source_and_with_names_in_other_encodings_are_read(tmp_path):
    table = tmp_path / "mountinfo"
    table.write_bytes(
        b"69 46 0:39 / /mnt rw,relatime - tmpfs  rw\n"
        b"70 46 0:40 / /m\xe4rz rw shared:1 - tmpfs none rw\n"
        b"71 46 0:41 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
    )
    without, other, cpu = procfs.mounts(str(table))
    assert (without.point, without.kind, without.options) == ("/mnt", "tmpfs", ("rw",))
    assert os.fsencode(other.point) == b"/m\xe4rz"
    assert (cpu.point, cpu.kind, cpu.options) == ("/sys/fs/cgroup/cpu", "cgroup", ("rw", "cpu", "cpuacct"))
