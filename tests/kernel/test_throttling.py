"""Throttled time, against what the kernel says of a cgroup that has a CPU bandwidth limit."""

import os
import subprocess
from pathlib import Path

import pytest

from schedtel.host import Throttling

#: CPU bandwidth controllers: where the hierarchy is, the file of the limit and 10 ms in each 100 ms in its words.
_CONTROLLERS = [
    (Path("/sys/fs/cgroup/cpu"), "cpu.cfs_quota_us", "10000"),
    (Path("/sys/fs/cgroup/cpu,cpuacct"), "cpu.cfs_quota_us", "10000"),
    (Path("/sys/fs/cgroup"), "cpu.max", "10000 100000"),
]


@pytest.fixture
def limited():
    """A cgroup that may run for 10 ms in each 100 ms; removed afterwards."""
    for root, file, limit in _CONTROLLERS:
        path = root / f"schedtel-throttled-{os.getpid()}"
        try:
            path.mkdir()
        except OSError:
            continue
        try:
            (path / file).write_text(limit)
            yield path
        except OSError:
            continue
        else:
            return
        finally:
            path.rmdir()
    pytest.skip("needs a writable cgroup hierarchy with the cpu controller")


def throttled_ns(path):
    """Of cpu.stat: nanoseconds in v1, microseconds in v2."""
    figures = dict(line.split() for line in (path / "cpu.stat").read_text().splitlines())
    return int(figures["throttled_time"]) if "throttled_time" in figures else 1000 * int(figures["throttled_usec"])


def test_throttled_time_is_what_the_cgroup_says_of_itself(limited):
    throttling = Throttling()
    hog = f"echo $$ > {limited}/cgroup.procs; exec timeout 0.6 sh -c 'while :; do :; done'"
    assert subprocess.run(["sh", "-c", hog], check=False).returncode == 124
    counted, said = throttling.since_last_ns(), throttled_ns(limited)
    assert counted == pytest.approx(said, rel=0.02)
    assert said > 100_000_000
    assert throttling.since_last_ns() < said / 10
