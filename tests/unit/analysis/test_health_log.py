"""The health log: a line for each event, and none for a window without one."""

import datetime as dt
import logging
import re

import pytest
from samples import changed

from schedtel.analysis.health_log import HealthLog

SECOND_NS = 1_000_000_000


@pytest.fixture
def second(windows):
    """Makes window ``number`` of one second, without losses, with other values in its summary where given."""
    began = dt.datetime(2026, 1, 31, tzinfo=dt.UTC)

    def make(number, step_s=0, **columns):
        clean = dict.fromkeys(windows[0].losses, 0)
        when = {"window_start_ns": number * SECOND_NS, "window_ns": SECOND_NS, "windows_spanned": 1}
        wall = {"wall_start": began + dt.timedelta(seconds=number + step_s)}
        return changed(windows[0], window_id=number, **(clean | when | wall | columns))

    return make


@pytest.fixture
def told(caplog):
    """Adds windows to a health log; returns its lines with their levels."""

    def lines(*windows):
        log = HealthLog()
        for window in windows:
            log.add(window)
        return [(record.levelname, record.getMessage()) for record in caplog.records]

    return lines


@pytest.fixture(autouse=True)
def listening(caplog):
    """Shows events whatever level a command has set that ran in this process before."""
    caplog.set_level(logging.INFO, logger="schedtel")


def test_a_thousand_windows_without_an_event_are_no_line(told, second):
    assert told(*map(second, range(1, 1001))) == []


def test_losses_are_told_when_they_begin_and_when_they_have_ended(told, second):
    lossy = {3: 5, 4: 0, 8: 2}  # window 8 comes before ten windows without a loss: the same period of losses
    found = told(*(second(n, programs_skipped=lossy.get(n, 0), ring_dropped=int(n == 30)) for n in range(1, 31)))
    assert found == [
        ("WARNING", "losses begin in window 3: 5 programs_skipped"),
        ("INFO", "losses have ended: 7 programs_skipped in windows 3 to 8"),
        ("WARNING", "losses begin in window 30: 1 ring_dropped"),
    ]


@pytest.mark.parametrize(("step_s", "said"), [(3600, r"\+3600 s"), (-3600, "-3600 s"), (0.25, r"\+250 ms")])
def test_a_step_of_the_wall_clock_is_told_once(told, second, step_s, said):
    ((level, line),) = told(*(second(n, step_s if n >= 4 else 0) for n in range(1, 9)))
    assert level == "WARNING"
    assert re.match(f"the wall clock moved by {said} at window 4 ", line)


def test_a_wall_clock_that_is_slewed_is_no_step(told, second):
    assert told(*(second(n, 0.0005 * n) for n in range(1, 100))) == []


def test_a_window_that_was_held_up_is_told(told, second):
    ((level, line),) = told(second(1), second(2, windows_spanned=13, window_ns=13 * SECOND_NS), second(15))
    assert level == "WARNING"
    assert line.startswith("held up: window 2 is 13.0 s long, for 13 windows")
