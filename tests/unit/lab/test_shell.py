"""A shell in a guest, on a terminal of the test, with a program in the place of the guest."""

import os
import pty
import select
import signal
import subprocess
import sys
import termios
import textwrap
import time

import pytest
from waiting import PATIENCE_S

#: What runs on the terminal: a shell whose guest is GUEST, a program in Python on two pipes.
PROGRAM = """
import sys
from pathlib import Path
from schedtel.cli.session import stop_on_signals
from schedtel.lab import machine
from schedtel.lab.machine import Machine
from schedtel.lab.packages import Qemu
from schedtel.lab.shell import Shell

class Guest(Machine):
    def command(self, *, interactive):
        assert interactive
        return [sys.executable, "-P", "-c", sys.argv[2]]

directory = Path(sys.argv[1])
(directory / "archive").write_bytes(b"archive")
guest = Guest(Qemu(directory), directory / "vmlinuz", directory / "archive")
type(guest.qemu).environment = lambda _: None
(directory / "guest").mkdir()
opened = Shell(guest, directory / "guest")
with stop_on_signals(opened.stop):
    status = opened.run({})
print("status", status)
"""
#: Says that it is there, then what it gets; "q" ends it with status 3.
GUEST = """
import os
from schedtel.lab.frames import INPUT, SIZE, STATUS, STDOUT, FrameReader, framed
def say(kind, content):
    for frame in framed(kind, content):
        os.write(1, frame)
say(STDOUT, b"ready\\r\\n")
reader = FrameReader()
while True:
    for kind, content in reader.feed(os.read(0, 65536)):
        say(STDOUT, b"<%s %s>" % ({INPUT: b"typed", SIZE: b"size"}[kind], content.hex().encode()))
        if content == b"q":
            say(STATUS, b"3")
"""


class Terminal:
    """A terminal of 30 rows and 100 columns with a shell on it."""

    def __init__(self, directory, guest):
        self.ours, self.theirs = pty.openpty()
        termios.tcsetwinsize(self.theirs, (30, 100))
        self.before = termios.tcgetattr(self.theirs)
        self.said = b""
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(PROGRAM), str(directory), textwrap.dedent(guest)],
            stdin=self.theirs,
            stdout=self.theirs,
            stderr=self.theirs,
        )

    def type(self, keys):
        os.write(self.ours, keys)

    def await_text(self, text):
        end = time.monotonic() + PATIENCE_S
        while text not in self.said:
            assert time.monotonic() < end, self.said
            if select.select([self.ours], [], [], 0.1)[0]:
                self.said += os.read(self.ours, 65536)

    def is_as_before(self):
        return termios.tcgetattr(self.theirs) == self.before

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture
def terminal(tmp_path):
    opened = []

    def made(guest=GUEST):
        opened.append(Terminal(tmp_path, guest))
        return opened[-1]

    yield made
    for each in opened:
        each.close()


def test_keys_go_to_the_guest_as_they_are_ctrl_c_too(terminal):
    t = terminal()
    t.await_text(b"<size %s>" % b"30 100".hex().encode())
    assert not t.is_as_before()
    t.type(b"a\x03\x1a\r")
    t.await_text(b"<typed %s>" % b"a\x03\x1a\r".hex().encode())
    t.type(b"q")
    t.await_text(b"status 3")
    assert t.process.wait(PATIENCE_S) == 0
    assert t.is_as_before()


def test_a_window_of_another_size_is_told(terminal):
    t = terminal()
    t.await_text(b"<size ")
    termios.tcsetwinsize(t.theirs, (50, 132))
    t.await_text(b"<size %s>" % b"50 132".hex().encode())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_ends_it_and_the_terminal_is_as_before(terminal, number):
    t = terminal()
    t.await_text(b"<size ")
    t.process.send_signal(number)
    t.await_text(b"status None")
    assert t.process.wait(PATIENCE_S) == 0
    assert t.is_as_before()


def test_the_escape_leaves_before_the_guest_has_said_anything(terminal):
    t = terminal("import time; time.sleep(600)")
    deadline = time.monotonic() + PATIENCE_S
    while t.is_as_before():  # until then, the terminal itself would take what is typed
        assert time.monotonic() < deadline
        time.sleep(0.01)
    t.type(b"abc\x1d")
    t.await_text(b"status 0")
    assert t.is_as_before()


def test_a_guest_that_ends_early_is_told_when_the_terminal_is_as_before(terminal):
    t = terminal("import sys; sys.exit('no such machine')")
    t.await_text(b"it ended early (no such machine)")
    assert t.process.wait(PATIENCE_S) == 1
    assert t.is_as_before()


def test_without_a_terminal_it_is_refused_in_one_line():
    command = [sys.executable, "-m", "schedtel.cli", "lab", "shell"]
    done = subprocess.run(command, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "it needs a terminal" in done.stderr
