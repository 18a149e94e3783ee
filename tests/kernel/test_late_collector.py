"""A collector that is held up while losses happen: each is in the window in which it happened."""

import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from bcc_here import mounted_tracefs
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.doctor.observer import judge_losses, observed_switches
from schedtel.host import procfs

SLOTS = 64
TRIES = 4


@pytest.fixture(autouse=True, scope="module")
def _tracefs():
    with mounted_tracefs():
        yield


def recorded(directory, between, *options):
    """Windows of a second; the collector is stopped in the middle of one, and ``between`` runs in the next one.

    Returns the windows and when ``between`` began, in ns.
    """
    command = [sys.executable, "-m", "schedtel.cli", "record", "-q", "-o", directory, "-w", "1s", *options]
    process = subprocess.Popen(command)
    try:
        eventually((directory / "summary").is_dir)
        _sleep_to(0.4)
        process.send_signal(signal.SIGSTOP)
        _sleep_to(0.3)  # the window's end has passed
        began = time.monotonic_ns()
        between()
        process.send_signal(signal.SIGCONT)
        time.sleep(1.5)
    finally:
        process.send_signal(signal.SIGCONT)
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
    return list(schedtel.read(directory)), began


def _sleep_to(part):
    """Sleep to a moment that is so far into a second of CLOCK_MONOTONIC, at which windows begin."""
    now = time.monotonic()
    time.sleep((part - now) % 1)


def fork(times):
    for _ in range(times):
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)


def test_tasks_without_a_slot_count_in_the_window_in_which_they_came(tmp_path):
    """With few slots, bcc counts a loss for each task that comes: in the window after the one that is read late.

    Where events are withheld, it also counts each thread that lives without a slot, in both. So twice as many come.
    """
    for attempt in range(TRIES):
        living = sum(1 for _ in procfs.thread_ids())
        coming = 2 * living + 400
        windows, began = recorded(
            tmp_path / str(attempt), partial(fork, coming), "--backend", "bcc", "--max-tasks", str(SLOTS)
        )
        before = next(window for window in windows if window.end_ns > began - 1_000_000_000)
        after = [window for window in windows if window.end_ns > began]
        assert sum(window.losses["state_failed"] for window in after) >= coming - SLOTS
        if before.losses["state_failed"] < coming - SLOTS - 100:  # else other processes of this machine have come too
            return
    pytest.fail("the losses are in the window before the one in which they happened")


def spin_and_nap():
    deadline = time.monotonic() + 0.6
    children = [subprocess.Popen([sys.executable, "-c", NAPPER]) for _ in range(4)]
    time.sleep(max(0, deadline - time.monotonic()))
    for child in children:
        child.kill()
        child.wait()


NAPPER = "import time\nwhile True: time.sleep(0.0001)"


def test_what_ftrace_does_not_see_is_counted_where_ftrace_does_not_see_it(tmp_path):
    with observed_switches() as observation:
        windows, _ = recorded(tmp_path / "recording", spin_and_nap)
    finding = judge_losses(windows, observation)
    assert not observation.unavailable, observation.unavailable
    assert finding.holds, finding.figure
