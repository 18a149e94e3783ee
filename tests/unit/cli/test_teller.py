"""Lines by a thread: in order, and never waited for."""

import os
import threading

import pytest
from waiting import eventually

from schedtel.cli import lines
from schedtel.cli.teller import Teller, show_line


def test_lines_are_written_in_order(capsys):
    with Teller(show_line) as teller:
        for number in range(50):
            teller.tell(f"line {number}")
    assert capsys.readouterr().out.splitlines() == [f"line {number}" for number in range(50)]


def test_a_terminal_that_takes_nothing_is_not_waited_for_and_what_was_dropped_is_told(monkeypatch):
    written, goes_on = [], threading.Event()

    def answer(line):
        goes_on.wait()
        written.append(line)

    monkeypatch.setattr(lines, "answer", answer)
    with Teller(show_line) as teller:
        for number in range(300):
            teller.tell(f"line {number}")
        goes_on.set()
        eventually(lambda: len(written) >= 100)
        teller.tell("the next")
    dropped = 300 - (len(written) - 1)
    assert dropped >= 199
    assert written[-1] == f"({dropped} lines were dropped) the next"


def test_an_error_is_told_at_once_and_raised_at_the_end(monkeypatch):
    def answer(_line):
        raise BrokenPipeError

    monkeypatch.setattr(lines, "answer", answer)

    def tell_for_long():
        with Teller(show_line) as teller:
            eventually(lambda: teller.tell("x"))

    with pytest.raises(BrokenPipeError):
        tell_for_long()
    with pytest.raises(BrokenPipeError), Teller(show_line) as teller:
        teller.tell("x")


def test_the_end_does_not_wait_for_a_terminal_that_takes_nothing(monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(lines, "answer", lambda _line: never.wait())
    with Teller(show_line) as teller:
        for _ in range(300):
            teller.tell(os.devnull)
    never.set()
