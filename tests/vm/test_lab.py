"""A guest of the lab: a command's output and status, swaps of schedulers, and a run that is the same twice."""

import itertools
import json
from pathlib import Path

import pytest
from kernels import UnavailableError

from schedtel.experiments.spec import spec_of
from schedtel.lab import jobs, packages, schedulers
from schedtel.lab.experiment import LabExperiment
from schedtel.lab.frames import STDERR, STDOUT
from schedtel.lab.machine import Boot

SPEC = {"workloads": ["hogs-jobs"], "schedulers": ["eevdf"], "repeats": 1, "duration": "300ms", "settle": "10ms"}
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
def guest():
    """Makes a guest of the default kernel when called."""

    def made(cpus):
        try:
            schedulers.guest_files(schedulers.own_names())
            return jobs.machine(packages.DEFAULT_KERNEL, cpus)
        except UnavailableError as reason:
            pytest.skip(str(reason))

    return made


def test_a_command_in_a_guest(guest, report):
    machine, said = guest(2), {STDOUT: b"", STDERR: b""}
    with packages.scratch() as directory:
        command = ["sh", "-c", SCRIPT]
        answer = jobs.run_command(
            Boot(machine, directory),
            command,
            lambda kind, text: said.update({kind: said[kind] + text}),
            PATIENCE_S,
            schedulers.guest_files(schedulers.own_names()),
        )
    *attached, cpus, release, state = said[STDOUT].decode().split()
    report.note(f"lab: a command in a guest of {release}, sched_ext schedulers {', '.join(attached)}")
    assert (answer.status, said[STDERR]) == (3, b"wrong\n")
    assert (attached, cpus, state) == (["fifo", "interactive", "vtime"], "2", "disabled")
    assert release.startswith(packages.DEFAULT_KERNEL)


def test_every_window_names_the_schedulers_that_it_had(guest, report):
    """Judged by the moments of the swaps, which the program that made them noted."""
    machine, said = guest(2), {STDOUT: b"", STDERR: b""}
    script = Path(__file__).with_name("guest_swaps.py").read_bytes()
    command = f"LD_LIBRARY_PATH={OBJECTS} exec python3 -P /swaps.py {SWAPS}"
    with packages.scratch() as directory:
        answer = jobs.run_command(
            Boot(machine, directory),
            ["sh", "-c", command],
            lambda kind, text: said.update({kind: said[kind] + text}),
            PATIENCE_S,
            schedulers.guest_files(schedulers.own_names()) | {"/swaps.py": script},
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


def test_a_run_is_the_same_twice(guest, tmp_path, report):
    machine, files = guest(1), []
    for name in ("first", "second"):
        experiment = LabExperiment(spec_of(dict(SPEC), "the experiment"), tmp_path / name, machine, PATIENCE_S)
        assert experiment.run() == 1
        runs = sorted(path for path in (tmp_path / name / "runs").rglob("*") if path.is_file())
        files.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in runs})
    report.note(f"lab: a run twice, {len(files[0])} files compared")
    assert files[0].keys() == files[1].keys()
    assert [name for name in files[0] if files[0][name] != files[1][name]] == []
