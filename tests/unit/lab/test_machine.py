"""The command line of qemu, and what becomes of a qemu that fails. No guest boots here."""

import shlex
import sys

import pytest

from schedtel.errors import CollectorError, UsageError
from schedtel.lab import jobs
from schedtel.lab.frames import STATUS, STDOUT, framed
from schedtel.lab.machine import Boot, Machine
from schedtel.lab.packages import Qemu


class Program(Qemu):
    """A program in the place of qemu."""

    def __new__(cls, _text):
        return object.__new__(cls)

    def __init__(self, text):
        object.__setattr__(self, "text", text)
        object.__setattr__(self, "root", "/nowhere/qemu-system-x86_10.0.2+ds-2")

    def command(self):
        return [sys.executable, "-c", self.text]


@pytest.fixture
def booted(tmp_path):
    """Runs a program as if it were qemu; returns its answer and what was told."""
    (tmp_path / "archive").write_bytes(b"archive")
    (tmp_path / "guest").mkdir()

    def run(text, timeout_s=60):
        machine = Machine(Program(text), tmp_path / "vmlinuz-6.18", tmp_path / "archive")
        told = []
        answer = Boot(machine, tmp_path / "guest").run({"/job.json": b"{}"}, lambda *said: told.append(said), timeout_s)
        return answer, told

    return run


def guest(tmp_path, cpus=1, **options):
    qemu = Qemu(tmp_path / "cache: of mine, here" / "qemu-system-x86_10.0.2+ds-2")
    return Machine(qemu, tmp_path / "vmlinuz-6.18", tmp_path / "archive", cpus, **options)


def line(tmp_path, cpus=1):
    return guest(tmp_path, cpus).command()


def test_the_command_line_has_no_path_of_this_machine(tmp_path):
    assert not [word for word in line(tmp_path) if word.startswith("/") or str(tmp_path) in word]


def test_time_follows_instructions_and_nothing_comes_from_outside(tmp_path):
    text = shlex.join(line(tmp_path, 2))
    for part in ("-icount shift=1,sleep=off", "clock=vm", "-seed 1", "thread=single", "-smp 2", "-nodefaults"):
        assert part in text
    assert "nokaslr" in text
    assert "kvm" not in text


def test_with_kvm_only_what_executes_the_guest_differs(tmp_path):
    virtual, real = line(tmp_path, 2), guest(tmp_path, 2, kvm=True).command()
    begin = virtual.index("-accel")
    end = virtual.index("-cpu")
    assert real == [*virtual[:begin], "-accel", "kvm", *virtual[end:]]
    clock = ["-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off"]
    turns = ["-netdev", "hubport,id=turns,hubid=0", "-object", "filter-buffer,id=turn,netdev=turns,interval=100"]
    assert virtual[begin:end] == clock + turns
    assert guest(tmp_path, 2, kvm=True).name != guest(tmp_path, 2).name


def test_a_shells_guest_talks_to_its_pipes_and_does_not_spin_while_it_waits(tmp_path):
    text = shlex.join(guest(tmp_path).command(interactive=True))
    for part in ("-icount shift=1,sleep=on", "-chardev stdio,id=line,signal=off", "-serial chardev:line"):
        assert part in text
    assert "filter-buffer" not in text


def test_output_and_status_are_those_of_the_command(booted):
    frames = b"".join([*framed(STDOUT, b"hello\n"), *framed(STATUS, b"3")])
    answer, told = booted(f"open('answer', 'wb').write({frames!r})")
    assert (answer.status, told) == (3, [(STDOUT, b"hello\n")])


def test_the_last_words_of_a_qemu_that_fails_are_told(booted):
    with pytest.raises(CollectorError, match=r"ended early \(no such machine\)"):
        booted("import sys; sys.exit('no such machine')")


def test_a_guest_that_hangs_is_ended(booted):
    with pytest.raises(CollectorError, match=r"not done within 0\.5 s"):
        booted("import time; time.sleep(600)", timeout_s=0.5)


@pytest.mark.parametrize("model", [None, "none"])
def test_a_guests_kernel_gets_its_model_of_preemption_and_runs_of_another_are_told_apart(tmp_path, model):
    machine = Machine(Qemu(tmp_path), tmp_path / "vmlinuz-6.18", tmp_path / "archive", preempt=model)
    words = machine.command()[-1].split()
    assert [word for word in words if word.startswith("preempt=")] == ([f"preempt={model}"] if model else [])
    assert ("preempt" in machine.name) == bool(model)


def test_a_model_that_the_kernel_does_not_have_is_refused():
    with pytest.raises(UsageError, match=r"Linux 7\.2 the preemption model none"):
        jobs.machine("7.2", 1, preempt="none")
