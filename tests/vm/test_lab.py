"""A guest of the lab: a command's output and status, a shell, and runs that are the same twice or compared."""

import json
import os
import pty
import subprocess
import sys
import termios

import pytest
from kernels import UnavailableError

from schedtel.experiments.spec import spec_of
from schedtel.lab import jobs, packages, schedulers
from schedtel.lab.experiment import LabExperiment
from schedtel.lab.frames import STDERR, STDOUT
from schedtel.lab.machine import Boot

SPEC = {"workloads": ["hogs-jobs"], "schedulers": ["eevdf"], "repeats": 1, "duration": "300ms", "settle": "10ms"}
PATIENCE_S = 300
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
            schedulers.guest_files(schedulers.own_names())
            return jobs.machine(kernel, cpus)
        except UnavailableError as reason:
            pytest.skip(str(reason))

    return made


@pytest.mark.parametrize("kernel", packages.KERNEL_SUITES)
def test_a_command_in_a_guest(guest, kernel, report):
    machine, said = guest(2, kernel), {STDOUT: b"", STDERR: b""}
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
    assert release.startswith(f"{kernel}.")


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
            said += os.read(ours, 65536)
        said = said.partition(text)[2]

    try:
        await_text(b"# ")
        os.write(ours, b"stty size; sleep 1000\r")
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
    assert found["repeats"] == 1
    turnaround = next(each for each in found["agreements"] if each["figure"] == "TAT")
    for side in ("live", "lab"):
        runs = [json.loads(path.read_text()) for path in (tmp_path / "runs" / side / "runs").glob("*/run.json")]
        times = {run["cell"]["scheduler"]: run["figures"]["tat_mean_ns"] for run in runs}
        assert turnaround["pairs"][0][side] == pytest.approx(times["policy:slice=100ms"] / times["eevdf"])
    report.note("lab: an experiment on this machine and in the lab, compared")
