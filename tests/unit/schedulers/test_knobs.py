"""The files that a setting of a cgroup writes, in directories like those of either cgroup version."""

import pytest

from schedtel.errors import CapabilityError
from schedtel.schedulers.knobs import Knob, files_for
from schedtel.schedulers.settings import parse_setting

FILES = {
    "v1": ("cpu.shares", "cpu.cfs_period_us", "cpu.cfs_quota_us", "cpu.idle"),
    "v2": ("cpu.weight", "cpu.max", "cpu.idle"),
}
WRITTEN = {
    ("v2", "weight=10"): [("cpu.weight", "10", True)],
    ("v2", "max=50%"): [("cpu.max", "50000 100000", True)],
    ("v2", "max=5ms/20ms"): [("cpu.max", "5000 20000", True)],
    ("v2", "group-idle"): [("cpu.weight", "100", False), ("cpu.idle", "1", True)],
    ("v1", "weight=10"): [("cpu.shares", "102", True)],
    ("v1", "weight=100"): [("cpu.shares", "1024", True)],
    ("v1", "max=200%"): [("cpu.cfs_period_us", "100000", True), ("cpu.cfs_quota_us", "200000", True)],
    ("v1", "group-idle"): [("cpu.shares", "1024", False), ("cpu.idle", "1", True)],
}


@pytest.mark.parametrize(("version", "text"), WRITTEN)
def test_a_setting_writes_the_files_of_the_version(tmp_path, version, text):
    for name in FILES[version]:
        (tmp_path / name).touch()
    expected = [Knob(str(tmp_path / name), value, written) for name, value, written in WRITTEN[version, text]]
    assert files_for(parse_setting(text), tmp_path) == expected


def test_a_cgroup_without_the_controller_is_refused(tmp_path):
    with pytest.raises(CapabilityError, match=r"it has no cpu\.shares .*cgroup\.subtree_control"):
        files_for(parse_setting("weight=10"), tmp_path)
