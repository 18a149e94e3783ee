"""Ctrl-C while a program starts tracing: KeyboardInterrupt, wherever it comes, and never a dropped one."""

import subprocess
import sys

import pytest

import schedtel

#: Sends itself SIGINT at moments that are spread over the start; a start that it does not reach is over before.
PROGRAM = """
import os, random, signal, sys, threading, time
import schedtel
began = time.monotonic()
schedtel.live("50ms").close()
lasts, moments, interrupted = time.monotonic() - began, random.Random(18), 0
for _ in range(int(sys.argv[1])):
    timer = threading.Timer(moments.uniform(0, lasts * 0.8), os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        schedtel.live("50ms").close()
        timer.join()
        time.sleep(0.01)
    except KeyboardInterrupt:
        interrupted += 1
print(interrupted)
"""


@pytest.mark.slow
def test_an_interrupt_is_never_dropped():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "30"], check=True, capture_output=True, text=True, timeout=200
    )
    assert done.stderr == ""
    assert int(done.stdout) == 30


def test_a_window_whose_reading_was_interrupted_counts_a_loss_when_it_is_read_again(monkeypatch):
    def interrupt(*_):
        monkeypatch.undo()
        raise KeyboardInterrupt

    with schedtel.live("100ms") as source:
        first = next(iter(source))
        monkeypatch.setattr(source._backend, "_advance", interrupt)
        with pytest.raises(KeyboardInterrupt):
            next(iter(source))
        windows = iter(source)
        again, after = next(windows), next(windows)
    assert [w.window_id for w in (first, again, after)] == [1, 2, 3]
    assert [w.losses["state_failed"] for w in (first, again, after)] == [0, 1, 0]
