"""Quarantine: growing pauses, and a file that is checked as if it came from someone else."""

import json
import os
import stat

import pytest

from schedtel.agent.quarantine import NAME, Quarantine
from schedtel.errors import UsageError

S = 1_000_000_000


class Clock:
    def __init__(self, now_s=1000):
        self.now_s = now_s

    def __call__(self):
        return self.now_s * S


def test_each_failure_doubles_the_pause_up_to_an_hour(tmp_path):
    clock = Clock()
    quarantine = Quarantine(None, clock)
    for pause in (30, 60, 120, 240, 480, 960, 1920, 3600, 3600):
        quarantine.add("scx:a", "it stalled")
        assert quarantine.why("scx:a") == f"in quarantine for {pause} s: it stalled"
        clock.now_s += pause - 1
        assert quarantine.why("scx:a")
        clock.now_s += 1
        assert quarantine.why("scx:a") == ""
    assert quarantine.why("scx:b") == ""


def test_an_arm_that_has_worked_for_an_hour_is_as_good_as_new():
    clock = Clock()
    quarantine = Quarantine(None, clock)
    quarantine.add("a", "x")
    quarantine.add("a", "x")
    clock.now_s += 60 + 3600 + 1
    quarantine.add("a", "x")
    assert quarantine.why("a") == "in quarantine for 30 s: x"


def test_it_outlives_the_agent_and_goes_on_growing(tmp_path):
    clock = Clock()
    Quarantine(tmp_path, clock).add("a", "it stalled")
    clock.now_s += 10
    later = Quarantine(tmp_path, clock)
    assert later.why("a") == "in quarantine for 20 s: it stalled"
    later.add("a", "again")
    assert Quarantine(tmp_path, clock).why("a") == "in quarantine for 60 s: again"


def test_after_a_restart_of_the_machine_what_was_left_begins_anew(tmp_path):
    quarantine = Quarantine(tmp_path, Clock(50_000), boot="one")
    for _ in range(3):
        quarantine.add("a", "x")
    assert Quarantine(tmp_path, Clock(5), boot="other").why("a") == "in quarantine for 120 s: x"
    assert Quarantine(tmp_path, Clock(50_030), boot="one").why("a") == "in quarantine for 90 s: x"


def test_only_its_owner_reads_the_file(tmp_path):
    Quarantine(tmp_path / "new", Clock()).add("a", "x")
    assert stat.S_IMODE(os.stat(tmp_path / "new" / NAME).st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o700
    assert os.listdir(tmp_path / "new") == [NAME]


def test_a_directory_that_cannot_be_written_is_told_and_ends_nothing(tmp_path):
    told = []
    quarantine = Quarantine(tmp_path / "state", Clock(), told.append)
    (tmp_path / "state").write_text("a file")
    quarantine.add("a", "x")
    quarantine.add("a", "x")
    assert len(told) == 1
    assert "Not a directory" in told[0]
    assert quarantine.why("a")


def good():
    return {"version": 1, "boot": "b", "written_ns": 1, "arms": {"a": {"failures": 1, "until_ns": 5, "why": "x"}}}


def broken(**changes):
    return json.dumps(good() | changes).encode()


HOSTILE = [
    b"",
    b"\xff\xfe",
    b"null",
    b"[]",
    b"{}",
    b"[" * 100_000,
    b'{"version": 1' + b" " * (2 << 20),
    broken(version=2),
    broken(version="1"),
    broken(written_ns=-1),
    broken(written_ns=1e300),
    broken(boot=7),
    broken(arms=[]),
    broken(arms={"a": 5}),
    broken(arms={"a": {}}),
    broken(arms={"a": {"failures": 0, "until_ns": 5, "why": "x"}}),
    broken(arms={"a": {"failures": 10**9, "until_ns": 5, "why": "x"}}),
    broken(arms={"a": {"failures": True, "until_ns": 5, "why": "x"}}),
    broken(arms={"a": {"failures": 1, "until_ns": 1 << 80, "why": "x"}}),
    broken(arms={"a": {"failures": 1, "until_ns": float("nan"), "why": "x"}}),
    broken(arms={"a": {"failures": 1, "until_ns": 5, "why": "x" * 5000}}),
    broken(arms={str(n): good()["arms"]["a"] for n in range(300)}),
]


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_a_damaged_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / NAME).write_bytes(content)
    os.chmod(tmp_path / NAME, 0o600)
    with pytest.raises(UsageError) as error:
        Quarantine(tmp_path, Clock())
    assert "remove it" in str(error.value)
    assert "\n" not in str(error.value)


def test_no_file_keeps_an_arm_out_for_longer_than_the_longest_pause(tmp_path):
    ban = {"failures": 1, "until_ns": (1 << 63) - 1, "why": "x"}
    (tmp_path / NAME).write_bytes(broken(arms={"a": ban}))
    os.chmod(tmp_path / NAME, 0o600)
    assert Quarantine(tmp_path, Clock()).why("a") == "in quarantine for 3600 s: x"


def test_a_file_that_others_may_have_written_is_refused(tmp_path):
    (tmp_path / NAME).write_bytes(broken())
    os.chmod(tmp_path / NAME, 0o666)
    with pytest.raises(UsageError, match="others may have written it"):
        Quarantine(tmp_path, Clock())
    os.chmod(tmp_path / NAME, 0o600)
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / NAME).symlink_to(tmp_path / NAME)
    with pytest.raises(Exception, match="cannot read"):
        Quarantine(tmp_path / "link", Clock())
