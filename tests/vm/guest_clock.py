"""The wall clock is set while a recorder and a viewer run: a test may set it only here, in a guest."""

import itertools
import json
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import schedtel
from schedtel.windows import invariants as laws

WINDOW_NS = 500_000_000
HOUR_S = 3600
#: 2026-12-29, half past midnight, UTC.
START_S = 1_798_504_200
#: In hours: forwards, back, and back over midnight.
STEPS = [1, -1, -1]
DAYS = ["day=2026-12-28", "day=2026-12-29"]
PATIENCE_S = 300
DATASET, TOLD, SHOWN = Path("/tmp/clock"), Path("/tmp/clock.log"), Path("/tmp/clock.ndjson")


def check_clock(words):
    """The kernel's times are undisturbed, the log tells of each step, and the dataset is read in order."""
    time.clock_settime(time.CLOCK_REALTIME, START_S)
    with open(TOLD, "w") as told, open(SHOWN, "w") as shown:
        processes = [start("record", "-v", "-o", f"file://{DATASET}", *words, stderr=told)]
        processes.append(start("live", "--format", "ndjson", *words, stdout=shown))
    wait_until(lambda: shown_summaries() and any(DATASET.glob("summary/**/part-*.parquet")))
    for number, hours in enumerate(STEPS, 1):
        time.clock_settime(time.CLOCK_REALTIME, time.time() + hours * HOUR_S)
        wait_until(lambda number=number: len(told_steps()) == len(steps_of(shown_summaries())) == number)
    for process in processes:
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert told_steps() == STEPS, TOLD.read_text()
    assert_undisturbed(shown_summaries())
    return f"{assert_in_order()} windows, {', '.join(f'{hours:+} h' for hours in STEPS)}"


def start(name, *words, **streams):
    return subprocess.Popen([sys.executable, "-m", "schedtel.cli", name, "-w", "500ms", *words], **streams)


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"it did not come: {TOLD.read_text()}"
        time.sleep(0.1)


def shown_summaries():
    """The summaries of the complete lines that the viewer has written so far."""
    return [json.loads(line)["summary"] for line in SHOWN.read_text().splitlines(keepends=True) if line.endswith("\n")]


def told_steps():
    """Steps of the wall clock in the recorder's log, in hours. A slow guest may find smaller ones."""
    hours = [round(int(seconds) / HOUR_S) for seconds in re.findall(r"moved by ([+-]\d+) s at", TOLD.read_text())]
    return [step for step in hours if step]


def steps_of(summaries):
    """By how many hours the wall clock moved from window to window, compared with the kernel's clock."""
    walls = [datetime.fromisoformat(row["wall_start"]).timestamp() - row["window_start_ns"] / 1e9 for row in summaries]
    hours = [round((after - before) / HOUR_S) for before, after in itertools.pairwise(walls)]
    return [step for step in hours if step]


def assert_undisturbed(summaries):
    """Windows are numbered, tile, and begin at multiples of their length, whatever the wall clock did."""
    assert steps_of(summaries) == STEPS, steps_of(summaries)
    assert [row["window_id"] for row in summaries] == list(range(1, len(summaries) + 1))
    for before, after in itertools.pairwise(summaries):
        assert before["window_start_ns"] + before["window_ns"] == after["window_start_ns"]
        assert after["window_start_ns"] % WINDOW_NS == 0


def assert_in_order():
    """The dataset has a folder for each day and is read in the order of its windows; returns how many."""
    assert sorted({path.name for path in DATASET.glob("summary/*/day=*")}) == DAYS
    windows = list(schedtel.read(DATASET))
    assert_undisturbed([json.loads(window.to_ndjson())["summary"] for window in windows])
    for before, window in itertools.pairwise(windows):
        broken = [finding for finding in laws.check(window, before) if not finding.holds]
        assert not broken, str(broken)
    return len(windows)
