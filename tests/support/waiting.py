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
