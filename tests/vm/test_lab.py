"""Guests of the lab: commands, a shell, swaps of schedulers, and runs that are the same twice or compared."""

import hashlib
import itertools
import json
import os
import pty
import select
import shutil
import subprocess
import sys
import termios
from contextlib import contextmanager
from pathlib import Path

import pytest
from kernels import UnavailableError

from schedtel.experiments.spec import spec_of
from schedtel.host.sched_ext import UNSEEN
from schedtel.lab import jobs, packages, schedulers
from schedtel.lab.cluster import ClusterGuests
from schedtel.lab.experiment import LabExperiment
from schedtel.lab.frames import STDERR, STDOUT
from schedtel.lab.guests import Guests
from schedtel.lab.machine import Boot
from schedtel.lab.snapshot import snapshot

SPEC = {"workloads": ["hogs-jobs"], "schedulers": ["eevdf"], "repeats": 2, "duration": "300ms", "settle": "10ms"}
PATIENCE_S = 300
SWAPS = 100
OBJECTS = "/usr/lib/sched_ext"
#: Attaches each of our sched_ext schedulers in turn, and tells which one the kernel then has.
SCRIPT = """
for name in fifo interactive vtime; do
    scx_$name 2>/dev/null &  # libbpf tells there what this kernel does not have yet
    for turn in $(seq 100); do cat /sys/kernel/sched_ext/root/ops 2>/dev/null && break; sleep 0.1; done
    kill $!
    wait $!
done
nproc
uname -r
cat /sys/kernel/sched_ext/state
echo wrong >&2
exit 3
"""


@pytest.fixture
def guest():
    """Makes a guest when called."""

    def made(cpus, kernel=packages.DEFAULT_KERNEL):
        try:
            return jobs.machine(kernel, cpus)
        except UnavailableError as reason:
            pytest.skip(str(reason))

    return made


@pytest.fixture
def begun(guest):
    """Takes a snapshot of a guest when called."""

    def made(cpus, files=(), kernel=packages.DEFAULT_KERNEL):
        machine = guest(cpus, kernel)
        try:
            return snapshot(machine, schedulers.guest_files(files))
        except UnavailableError as reason:
            pytest.skip(str(reason))

    return made


@pytest.mark.parametrize("kernel", packages.KERNEL_SUITES)
def test_a_command_in_a_guest(begun, kernel, report):
    start, said = begun(2, schedulers.own_names(), kernel), {STDOUT: b"", STDERR: b""}
    with packages.scratch() as directory:
        answer = Boot(start, directory).run(
            jobs.job_file(["sh", "-c", SCRIPT]),
            lambda kind, text: said.update({kind: said[kind] + text}),
            PATIENCE_S,
        )
    *attached, cpus, release, state = said[STDOUT].decode().split()
    report.note(f"lab: a command in a guest of {release}, sched_ext schedulers {', '.join(attached)}")
    assert (answer.status, said[STDERR]) == (3, b"wrong\n")
    assert (attached, cpus, state) == (["fifo", "interactive", "vtime"], "2", "disabled")
    assert release.startswith(f"{kernel}.")


def test_every_window_names_the_schedulers_that_it_had(begun, report):
    """Judged by the moments of the swaps, which the program that made them noted."""
    start, said = begun(2, schedulers.own_names()), {STDOUT: b"", STDERR: b""}
    script = Path(__file__).with_name("guest_swaps.py").read_bytes()
    command = f"LD_LIBRARY_PATH={OBJECTS} exec python3 -P /swaps.py {SWAPS}"
    with packages.scratch() as directory:
        answer = Boot(start, directory).run(
            jobs.job_file(["sh", "-c", command]) | {"/swaps.py": script},
            lambda kind, text: said.update({kind: said[kind] + text}),
            PATIENCE_S,
        )
    assert answer.status == 0, said[STDERR].decode()[-3000:]
    found = json.loads(said[STDOUT])
    swaps, windows = found["swaps"], found["windows"]
    assert len(swaps) == SWAPS
    assert {name for _, _, name in swaps} == {"eevdf", "fifo", "vtime"}
    held = [(after, before, name) for (_, after, name), (before, *_) in itertools.pairwise(swaps)]
    for number, (start, end, label) in enumerate(windows):
        named = label.split("+")
        certain = [name for after, before, name in held if after < end and before > start]
        # In a slow guest a scheduler may come and go between two readings: then the label says that there was one.
        assert set(certain) <= set(named) or UNSEEN in named, (label, certain)
        # A swap between two readings on both sides of an edge is in both windows. A slow collector may be late for two.
        first, last = windows[max(0, number - 2)][0], windows[min(len(windows) - 1, number + 2)][1]
        near = [name for _, after, name in swaps if first < after < last]
        known = next((name for _, after, name in reversed(swaps) if after <= first), "eevdf")
        assert set(named) <= {*near, known, "eevdf", *([UNSEEN] if len(near) > 1 else [])}, label
    alone = sum("+" not in label for _, _, label in windows)
    report.note(f"lab: {len(swaps)} swaps, {len(windows)} windows, {alone} of one scheduler")
    assert alone > 0
    assert found["broken"] == []


def runs_of(directory, machine, places):
    """The files of an experiment's runs, by their names."""
    spec = spec_of(dict(SPEC), "the experiment")
    assert LabExperiment(spec, directory, machine, {}, lambda _: places).run() == SPEC["repeats"]
    paths = sorted(path for path in (directory / "runs").rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): path.read_bytes() for path in paths}


@contextmanager
def busy():
    """Processes that want all CPUs of this host, and get a tenth of what is asked for, until the context ends."""
    hogs = [subprocess.Popen(["nice", "sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count())]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


@pytest.mark.parametrize("cpus", [1, 2])
def test_runs_are_the_same_side_by_side_beside_a_busy_host_and_from_another_snapshot(cpus, begun, tmp_path, report):
    """With two CPUs, a boot or a run may have another outcome (docs/lab.md): there, two of up to four are the same."""
    made = [snapshot_and_runs(begun(cpus), tmp_path / "0", 1)]
    with busy():
        while alone(made) and len(made) < 2 * cpus:
            made.append(snapshot_and_runs(begun(cpus), tmp_path / str(len(made)), 2))
    report.note(f"lab: {len(made)} times the same runs on {cpus} CPUs, {len(made[0])} files compared")
    assert alone(made) == []


def snapshot_and_runs(start, directory, side_by_side):
    """The memory of a snapshot, as a digest, and the files of runs from it, by their names. The snapshot is gone."""
    made = runs_of(directory, start.machine, Guests(start, side_by_side, PATIENCE_S))
    with open(start.directory / "memory", "rb") as file:
        memory = hashlib.file_digest(file, "sha256").digest()
    shutil.rmtree(start.directory)
    return {"memory": memory, **made}


def alone(made):
    """The files of which no two of the times have the same content."""
    names = sorted(set().union(*made))
    contents = {name: [each[name] for each in made if name in each] for name in names}
    return [name for name, each in contents.items() if len(set(each)) == len(each)]


def test_runs_of_a_cluster_are_those_of_this_host(begun, tmp_path, report):
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'schedtel[ray]')")
    start = begun(1)
    here = runs_of(tmp_path / "here", start.machine, Guests(start, 1, PATIENCE_S))
    places = ClusterGuests("local", start.machine, packages.DEFAULT_KERNEL, {}, 1)
    assert runs_of(tmp_path / "there", start.machine, places) == here
    report.note(f"lab: runs of a cluster, {len(here)} files compared")


def test_a_shell_on_a_terminal_is_interrupted_by_a_key_and_ends_with_its_status(guest, report):
    guest(1)
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (41, 133))
    before = termios.tcgetattr(theirs)
    process = subprocess.Popen([sys.executable, "-m", "schedtel.cli", "lab", "shell"], stdin=theirs, stdout=theirs)
    said = b""

    def await_text(text):
        nonlocal said
        while text not in said:
            assert select.select([ours], [], [], PATIENCE_S)[0], f"{text!r} did not come after {said!r}"
            said += os.read(ours, 65536)
        said = said.partition(text)[2]

    try:
        await_text(b"# ")
        # In a process of its own: a key between two commands of the shell itself may come to neither.
        os.write(ours, b"sh -c 'stty size; exec sleep 1000'\r")
        await_text(b"41 133")
        os.write(ours, b"\x03")
        await_text(b"# ")
        os.write(ours, b"echo $?; exit 3\r")
        await_text(b"130")
        assert process.wait(PATIENCE_S) == 3
        assert termios.tcgetattr(theirs) == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)
    report.note("lab: a shell on a terminal of 41 rows and 133 columns")


@pytest.mark.skipif(os.geteuid() != 0, reason="runs on this machine need root")
def test_runs_on_this_machine_and_in_the_lab_are_compared(guest, tmp_path, report):
    guest(1)
    spec = tmp_path / "grid.toml"
    spec.write_text(
        'workloads = ["hogs-jobs"]\nschedulers = ["eevdf", "policy:slice=100ms"]\n'
        'repeats = 1\nduration = "500ms"\nsettle = "10ms"\n'
    )
    command = [sys.executable, "-m", "schedtel.cli", "lab", "validate", "--format", "json"]
    where = ["-o", str(tmp_path / "runs"), "--cpus", "1", str(spec)]
    found = json.loads(subprocess.run([*command, *where], check=True, capture_output=True, timeout=PATIENCE_S).stdout)
    again = subprocess.run([*command, "--report", str(tmp_path / "runs")], check=True, capture_output=True)
    assert json.loads(again.stdout) == found
    assert found["lab"].startswith("kernel 6.18.")
    if here := jobs.preemption_like_here("6.18"):
        machine = json.loads((tmp_path / "runs" / "lab" / "experiment.json").read_text())["machine"]
        assert machine.endswith(f"preempt={here}")
    assert found["repeats"] == 1
    turnaround = next(each for each in found["agreements"] if each["figure"] == "TAT")
    for side in ("live", "lab"):
        runs = [json.loads(path.read_text()) for path in (tmp_path / "runs" / side / "runs").glob("*/run.json")]
        times = {run["cell"]["scheduler"]: run["figures"]["tat_mean_ns"] for run in runs}
        assert turnaround["pairs"][0][side] == pytest.approx(times["policy:slice=100ms"] / times["eevdf"])
    report.note("lab: an experiment on this machine and in the lab, compared")
