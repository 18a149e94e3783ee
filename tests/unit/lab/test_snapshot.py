"""What guests go on from, up to the boot: programs in the place of qemu."""

import io
import os
import sys
import tarfile

import pytest

from schedtel.errors import CollectorError, UsageError
from schedtel.lab import packages, waiting_room
from schedtel.lab.machine import Machine
from schedtel.lab.packages import Qemu
from schedtel.lab.snapshot import Snapshot, snapshot

#: A monitor as qemu has it, up to the guest's boot, after which REST follows.
SPEAKS = """
import json, os, re, socket, sys, time
monitor = socket.socket(fileno=int(re.search(r"fd=([0-9]+)", " ".join(sys.argv)).group(1)))
stream = monitor.makefile("rw")
def say(what):
    stream.write(json.dumps(what) + "\\n")
    stream.flush()
halted, memory = 0, open("memory", "wb")
say({"QMP": {}})
for line in stream:
    order = json.loads(line)
    name, arguments = order["execute"], order["arguments"]
    if name == "cont":
        REST
        halted += 1
    answer = "HLT=%d" % (halted > 2) if name == "human-monitor-command" else {}
    say({"return": answer})
    if name == "cont":
        say({"event": "WATCHDOG", "data": {"action": "pause"}})
        say({"event": "STOP"})
    if name == "migrate":
        memory.write(b"stopped %d times" % halted)
        memory.flush()
        open(arguments["uri"].removeprefix("file:"), "w").write("devices")
        for status in ("active", "completed"):
            say({"event": "MIGRATION", "data": {"status": status}})
"""


class Program(Qemu):
    """A program in the place of qemu."""

    def __new__(cls, *_):
        return object.__new__(cls)

    def __init__(self, root, rest):
        object.__setattr__(self, "root", root)
        object.__setattr__(self, "rest", rest)

    def command(self):
        return [sys.executable, "-c", SPEAKS.replace("REST", self.rest)]


@pytest.fixture
def machine(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "archive").write_bytes(b"archive")

    def made(rest="pass", cpus=1):
        qemu = Program(tmp_path / "qemu-system-x86_10.0.2", rest)
        return Machine(qemu, tmp_path / "vmlinuz-6.18", tmp_path / "archive", cpus)

    return made


def test_a_guest_is_saved_when_all_its_cpus_are_idle_and_only_once(machine):
    told = []
    first = snapshot(machine(), {"/a": b"1"}, told.append)
    assert (first.directory / "memory").read_bytes() == b"stopped 3 times"
    assert (first.directory / "devices").read_bytes() == b"devices"
    assert snapshot(machine(), {"/a": b"1"}, told.append) == first
    assert len(told) == 1
    assert snapshot(machine(), {"/a": b"2"}, told.append) != first


def test_no_one_can_change_a_snapshot_by_running_from_it(machine, tmp_path):
    taken = snapshot(machine(), {})
    assert [os.stat(taken.directory / name).st_mode & 0o777 for name in ("memory", "devices")] == [0o400] * 2
    assert [word for word in taken.command() if "mem-path" in word and "share=off,readonly=on" not in word] == []


@pytest.mark.parametrize(
    ("rest", "words"), [("sys.exit('no memory')", "no memory"), ("time.sleep(600)", "not done within 1 s")]
)
def test_a_guest_that_does_not_come_up_is_told_and_nothing_is_kept(machine, rest, words):
    with pytest.raises(CollectorError, match=words):
        snapshot(machine(rest), {}, timeout_s=1 if "sleep" in rest else 60)
    assert list(packages.opened_cache().iterdir()) == []


def test_a_boot_that_is_stopped_gives_none(machine):
    answers = iter([False] * 5)
    assert snapshot(machine("time.sleep(600)"), {}, stopped=lambda: next(answers, True)) is None


def test_the_guest_finds_the_jobs_files_in_the_memory_that_it_shares(machine, tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    Snapshot(machine(), snapshot(machine(), {}).directory).prepare({"/root/a.toml": b"x = 1\n"}, tmp_path / "run")
    device = tmp_path / "devices/0000:00:11.0"
    device.mkdir(parents=True)
    for name, text in (("vendor", "0x1af4\n"), ("device", "0x1110\n"), ("enable", "0")):
        (device / name).write_text(text)
    (device / "resource2").write_bytes((tmp_path / "run/shared").read_bytes())
    monkeypatch.setattr(waiting_room, "_DEVICES", tmp_path / "devices")
    with tarfile.open(fileobj=io.BytesIO(waiting_room._Shared().read())) as archive:
        assert {member.name: archive.extractfile(member).read() for member in archive} == {"root/a.toml": b"x = 1\n"}
    assert (device / "enable").read_text() == "1"


def test_a_job_that_is_too_large_is_refused(machine, tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(UsageError, match="is the most"):
        snapshot(machine(), {}).prepare({"/a": bytes(waiting_room.SHARED_SIZE)}, tmp_path / "run")
