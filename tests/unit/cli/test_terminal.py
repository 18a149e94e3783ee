"""The page of `subscribe` on a terminal of its own: it redraws itself, takes keys, and gives the terminal back."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading

import pytest
from serving import served, subscribers
from waiting import PATIENCE_S, eventually

import schedtel

ENTER_SCREEN, LEAVE_SCREEN = "\x1b[?1049h", "\x1b[?1049l"


class Terminal:
    """A command on a pseudo-terminal of 40 lines; ``written`` is all that it has written."""

    def __init__(self, *arguments):
        self._ours, self._theirs = pty.openpty()
        fcntl.ioctl(self._theirs, termios.TIOCSWINSZ, struct.pack("4H", 40, 140, 0, 0))
        self.modes = termios.tcgetattr(self._theirs)
        self.written = ""
        self.command = subprocess.Popen(
            [sys.executable, "-m", "schedtel.cli", *arguments],
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TERM": "xterm"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        while True:
            try:
                self.written += os.read(self._ours, 65536).decode(errors="replace")
            except OSError:  # the other side has been closed
                return

    def press(self, keys):
        os.write(self._ours, keys.encode())

    def shows(self, pattern):
        return re.search(pattern, re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.written), re.DOTALL)

    def ended(self):
        """Exit status, what is on stderr, and whether the terminal is as it was."""
        status = self.command.wait(PATIENCE_S)
        eventually(lambda: LEAVE_SCREEN in self.written)
        return status, self.command.stderr.read(), termios.tcgetattr(self._theirs) == self.modes

    def close(self):
        self.command.kill()
        self.command.wait()
        self.command.stderr.close()
        os.close(self._theirs)
        self._reader.join(PATIENCE_S)
        os.close(self._ours)


@pytest.fixture
def terminal():
    opened = []

    def begin(*arguments):
        opened.append(Terminal(*arguments))
        return opened[-1]

    yield begin
    for one in opened:
        one.close()


@pytest.fixture
def watched(terminal):
    """A server whose source the test feeds, and a terminal that subscribes to it."""
    with served() as server:
        screen = terminal("subscribe", server.uri)
        eventually(lambda: subscribers(server))
        yield server, screen


def test_the_page_redraws_itself_and_takes_keys(watched, windows):
    server, screen = watched
    server.source.feed(windows[0])
    eventually(lambda: screen.shows("testhost.*tid"))
    screen.press("b")
    eventually(lambda: screen.shows("b by process"))
    server.source.feed(windows[1])
    eventually(lambda: screen.written.count("testhost") > 2)
    assert screen.written.count(ENTER_SCREEN) == 1, "the pages share one screen"
    screen.press("q")
    assert screen.ended() == (0, "", True)


def test_pairs_are_sorted_by_columns_of_their_own(watched, windows):
    """Pairs are sorted by wait, then by the column after it; tasks stay sorted by cpu."""
    server, screen = watched
    server.source.feed(windows[0])
    eventually(lambda: screen.shows("cpu▾"))
    screen.press("bbbb")
    eventually(lambda: screen.shows("preemptor +count +wait▾"))
    screen.press("s")
    eventually(lambda: screen.shows("preemptor +count +wait +mean wait▾"))
    before = len(screen.written)
    screen.press("bb")  # past the longest waits
    eventually(lambda: "cpu▾" in screen.written[before:])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_gives_the_terminal_back(watched, windows, number):
    server, screen = watched
    server.source.feed(windows[0])
    eventually(lambda: screen.shows("testhost"))
    screen.command.send_signal(number)
    assert screen.ended() == (0, "", True)


def test_who_is_left_by_the_server_is_told_so_and_keeps_the_last_page(watched, windows):
    server, screen = watched
    server.source.feed(windows[0])
    eventually(lambda: screen.shows("testhost"))
    server.source.end()
    assert screen.ended() == (0, f"{server.uri}: the run is over\n", True)
    eventually(lambda: "testhost" in screen.written.partition(LEAVE_SCREEN)[2])


def test_windows_that_come_at_once_are_not_lost_with_the_screen(terminal, windows, tmp_path):
    recorder = schedtel.Recorder(tmp_path / "recording")
    for window in windows:
        recorder.write(window)
    with schedtel.serve(schedtel.read(tmp_path / "recording"), "grpc://127.0.0.1:0") as server:
        screen = terminal("subscribe", server.uri, "-n", "2")
        assert screen.ended() == (0, "", True)
    eventually(lambda: screen.shows("testhost"))
