"""Guests side by side. Programs in the place of qemu: no guest boots here."""

import os
import signal
import subprocess
import sys
import threading

import pytest
from waiting import eventually

from schedtel.errors import CollectorError
from schedtel.lab import guests, packages
from schedtel.lab.frames import RESULTS, STATUS, STDERR, framed
from schedtel.lab.guests import Guests, Job, local_guests
from schedtel.lab.machine import Machine
from schedtel.lab.packages import Qemu

#: Says what its job is called, on stderr and in its results, and ends with status 3.
ANSWERS = """
import pathlib
pathlib.Path("answer").write_bytes(pathlib.Path("frames").read_bytes())
"""
HANGS = "import pathlib, os, time; pathlib.Path(TOLD).joinpath(str(os.getpid())).touch(); time.sleep(600)"
#: Fails when the other one has begun.
FAILS = """
import os, sys, time
while not os.listdir(TOLD): time.sleep(0.01)
sys.exit('no such machine')
"""


class Program:
    """A program that a job of this name is done by, in the place of qemu."""

    def __init__(self, programs):
        self.programs, self.environment = programs, dict(os.environ)

    def prepare(self, files, directory):
        name = files["/name"]
        frames = [*framed(STDERR, name), *framed(RESULTS, name * 9), *framed(STATUS, b"3")]
        (directory / "frames").write_bytes(b"".join(frames))
        (directory / "program").write_text(self.programs.get(name.decode(), ANSWERS))

    def command(self):
        return [sys.executable, "program"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return packages.opened_cache()


def jobs(*names):
    return [Job(name, {"/name": name.encode()}) for name in names]


def hanging(directory, program=HANGS):
    directory.mkdir(exist_ok=True)
    return program.replace("TOLD", repr(str(directory)))


def begun(directory, count):
    """Pids of programs that hang, when there are so many."""
    eventually(lambda: len(os.listdir(directory)) == count)
    return [int(name) for name in os.listdir(directory)]


def gone(pids):
    eventually(lambda: not [pid for pid in pids if os.path.exists(f"/proc/{pid}")])


@pytest.mark.parametrize("most", [1, 2, 9])
def test_each_job_is_done_once_however_many_guests_there_are(most):
    work, begun = jobs(*"abcde"), []
    done = {job.name: done for job, done in Guests(Program({}), most, 60).done(work, begun.append)}
    assert sorted(job.name for job in begun) == list("abcde")
    assert {name: (each.status, each.said, each.results) for name, each in done.items()} == {
        name: (3, name.encode(), name.encode() * 9) for name in "abcde"
    }


def test_no_more_guests_run_at_a_time_than_asked_for(tmp_path):
    guests = Guests(Program(dict.fromkeys("abc", hanging(tmp_path / "told"))), 2, 60)
    ended = threading.Thread(target=lambda: list(guests.done(jobs(*"abc"), lambda _: None)))
    ended.start()
    pids = begun(tmp_path / "told", 2)
    guests.stop()
    ended.join()
    assert len(os.listdir(tmp_path / "told")) == 2  # the third never began
    gone(pids)


def test_a_guest_that_fails_ends_the_others_and_what_was_done_is_kept(tmp_path, cache):
    programs, done = {"hangs": hanging(tmp_path / "told"), "fails": hanging(tmp_path / "told", FAILS)}, []
    doing = Guests(Program(programs), 2, 60).done(jobs("hangs", "a", "b", "fails", "c"), lambda _: None)
    with pytest.raises(CollectorError, match="no such machine"):
        done.extend(job.name for job, _ in doing)
    assert done == ["a", "b"]
    gone(begun(tmp_path / "told", 1))
    assert list(cache.iterdir()) == []


def test_no_guest_outlives_a_process_that_is_killed(tmp_path):
    told = hanging(tmp_path / "told")
    script = (
        "import sys; sys.path[:0] = sys.argv[1:3]\n"
        "from test_guests import Guests, Program, jobs\n"
        f"list(Guests(Program(dict.fromkeys('ab', {told!r})), 2, 60).done(jobs(*'ab'), print))\n"
    )
    places = [os.path.dirname(__file__), os.path.join(os.path.dirname(__file__), "../../support")]
    with subprocess.Popen([sys.executable, "-c", script, *places]) as process:
        pids = begun(tmp_path / "told", 2)
        process.send_signal(signal.SIGKILL)
    gone(pids)


@pytest.mark.parametrize(("free_mb", "most"), [(100_000, 3), (5_000, 2), (100, 1)])
def test_memory_bounds_the_guests_and_a_line_says_so(free_mb, most, tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable:   {free_mb * 1024} kB\n")
    monkeypatch.setattr(guests, "_MEMORY", tmp_path / "meminfo")
    monkeypatch.setattr(guests, "beginning", lambda *_: "a snapshot")
    machine, told = Machine(Qemu(tmp_path), tmp_path, tmp_path), []
    assert local_guests(machine, {}, 3, told.append)._most == most
    assert [line.startswith(f"{most} guests at a time, not 3") for line in told] == ([True] if most < 3 else [])
