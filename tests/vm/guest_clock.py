"""The wall clock set while a recorder and a viewer run: only here, in a guest, may it be touched."""

import itertools
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import schedtel
from schedtel import laws

WINDOW_NS = 500_000_000
HOUR_NS = 3600 * 10**9
#: 2026-12-29, half past midnight, UTC.
START_NS = 1_798_504_200 * 10**9
#: In hours: forwards, back, and back over midnight.
STEPS = (1, -1, -1)
DAYS = ["day=2026-12-28", "day=2026-12-29"]
PATIENCE_S = 120
DATASET, TOLD, SHOWN = Path("/tmp/clock"), Path("/tmp/clock.log"), Path("/tmp/clock.ndjson")


def check_clock(words):
    """Times of the kernel go on as before; the log tells of each step, and the dataset is read in order."""
    time.clock_settime_ns(time.CLOCK_REALTIME, START_NS)
    with open(TOLD, "w") as told, open(SHOWN, "w") as shown:
        recorder = start("record", "-v", "-o", f"file://{DATASET}", *words, stderr=told)
        viewer = start("live", "--format", "ndjson", *words, stdout=shown)
    for number, hours in enumerate((*STEPS, None)):
        wait_until(lambda number=number: len(steps_told()) == len(steps_of(summaries())) == number)
        if hours:
            time.clock_settime_ns(time.CLOCK_REALTIME, time.time_ns() + hours * HOUR_NS)
    for process in (recorder, viewer):
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    windows = list(schedtel.read(DATASET))
    assert_undisturbed([window.to_dict()["summary"] for window in windows])
    assert_undisturbed(summaries())
    broken = [finding for pair in itertools.pairwise(windows) for finding in laws.check(*pair[::-1]) if not finding.holds]
    assert not broken, str(broken)
    assert sorted({path.name for path in DATASET.glob("summary/*/day=*")}) == DAYS
    return f"{len(windows)} windows, {', '.join(f'{hours:+} h' for hours in STEPS)}"


def start(name, *words, **options):
    return subprocess.Popen([sys.executable, "-m", "schedtel.cli", name, "-w", "500ms", *words], **options)
