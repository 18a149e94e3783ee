"""Guests of the lab: a command's output and status, swaps of schedulers, and runs whose figures are the same twice."""

import hashlib
import itertools
import json
import shutil
import threading
from pathlib import Path

import pytest
from kernels import UnavailableError

from schedtel.experiments.spec import spec_of
from schedtel.lab import jobs, packages, schedulers
from schedtel.lab.cluster import ClusterGuests
from schedtel.lab.experiment import LabExperiment
from schedtel.lab.frames import STDERR, STDOUT
from schedtel.lab.guests import Guests
from schedtel.lab.machine import Boot
from schedtel.lab.snapshot import snapshot

SPEC = {"workloads": ["hogs-jobs"], "schedulers": ["eevdf"], "repeats": 2, "duration": "300ms", "settle": "10ms"}
PATIENCE_S = 300
SWAPS, WINDOW_NS = 100, 100_000_000
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
def begun():
    """Takes a snapshot of a guest of the default kernel when called."""

    def made(cpus, files=()):
        try:
            return snapshot(jobs.machine(packages.DEFAULT_KERNEL, cpus), schedulers.guest_files(files))
        except UnavailableError as reason:
            pytest.skip(str(reason))

    return made


def test_a_command_in_a_guest(begun, report):
    start, said = begun(2, schedulers.own_names()), {STDOUT: b"", STDERR: b""}
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
    assert release.startswith(packages.DEFAULT_KERNEL)


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
    for start, end, label in windows:
        named = label.split("+")
        certain = [name for after, before, name in held if after < end and before > start]
        assert set(certain) <= set(named), (label, certain)
        # A swap between two readings on both sides of an edge is in both windows.
        near = [name for _, after, name in swaps if start - WINDOW_NS < after < end + WINDOW_NS]
        known = next((name for _, after, name in reversed(swaps) if after < start), "eevdf")
        assert set(named) <= {*near, known, "eevdf"}, label
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


def digest(start):
    with open(start.directory / "memory", "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def busy(ended):
    """Keep a CPU of this host from the guests."""
    while not ended.is_set():
        sum(range(1000))


@pytest.mark.parametrize("cpus", [1, 2])
def test_runs_are_the_same_side_by_side_beside_a_busy_host_and_from_another_snapshot(cpus, begun, tmp_path, report):
    start = begun(cpus)
    first = runs_of(tmp_path / "first", start.machine, Guests(start, 1, PATIENCE_S))
    memory = digest(start)
    shutil.rmtree(start.directory)
    ended = threading.Event()
    threading.Thread(target=busy, args=(ended,)).start()
    try:
        again = begun(cpus)
        assert digest(again) == memory
        second = runs_of(tmp_path / "second", again.machine, Guests(again, 2, PATIENCE_S))
    finally:
        ended.set()
    report.note(f"lab: runs twice on {cpus} CPUs, {len(first)} files compared")
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []


def test_runs_of_a_cluster_are_those_of_this_host(begun, tmp_path, report):
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'schedtel[ray]')")
    start = begun(1)
    here = runs_of(tmp_path / "here", start.machine, Guests(start, 1, PATIENCE_S))
    places = ClusterGuests("local", start.machine, packages.DEFAULT_KERNEL, {}, 1)
    assert runs_of(tmp_path / "there", start.machine, places) == here
    report.note(f"lab: runs of a cluster, {len(here)} files compared")
