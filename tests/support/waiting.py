"""How tests wait for another thread or process."""

import time

#: A machine that is not hung does sooner what a test waits for; a shorter time makes no test faster.
PATIENCE_S = 60


def eventually(condition, seconds=PATIENCE_S, every_s=0.01):
    """Wait until a condition holds that another thread or process is about to fulfil."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(every_s)


def catches(pid, number):
    """Whether a process has got so far that it handles a signal itself; false once it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            mask = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
    except (OSError, StopIteration):
        return False
    return bool(mask >> (number - 1) & 1)
