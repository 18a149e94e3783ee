"""Time from the start of a Python process until the first window is open; for peers, until they watch.

The benchmark observes peers from outside and proves that they watch, which takes some 10 ms of their times.
"""

import subprocess
import sys
import time
from itertools import pairwise

from benchmarks import peers
from benchmarks.failures import PeerError
from benchmarks.measures import Plan, Row, Target, row

PART = "startup"
ROUNDS = 9
_TARGET = Target(350)
_PEERS = ("runqlat", "runqlat.bt", "bcc runqlat")

#: Prints CLOCK_MONOTONIC at its first line, after the import, and when live() has returned with the first window open.
_PROGRAM = """
import time
print(time.monotonic_ns())
import schedtel
print(time.monotonic_ns())
with schedtel.live(window="1s"):
    print(time.monotonic_ns())
"""


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    _sample()  # loads the files into the page cache, so that the samples do not measure the disk
    samples = [peers.undisturbed(_sample) for _ in range(plan.rounds(ROUNDS))]
    interpreter, imported, running = (list(column) for column in zip(*samples, strict=True))
    total = [sum(sample) for sample in samples]
    rows = [
        row("interpreter", "schedtel", "ms", interpreter),
        row("import schedtel", "schedtel", "ms", imported),
        row("load, attach, seed", "schedtel", "ms", running),
        row("process start to first window", "schedtel", "ms", total, _TARGET),
    ]
    watchers = [peer for peer in peers.measured() if peer.name in _PEERS]
    return rows + [_peer_row(peer, plan.rounds(3)) for peer in watchers], []


def _sample() -> tuple[float, ...]:
    """Milliseconds of the three steps: interpreter; import; load, attach and seed."""
    moments = [time.monotonic_ns()]
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise PeerError(f"schedtel did not start: {done.stderr.strip()}")
    moments += [int(line) for line in done.stdout.split()]
    return tuple((after - before) / 1e6 for before, after in pairwise(moments))


def _peer_row(peer: peers.Peer, rounds: int) -> Row:
    return row("process start to all attached", peer.name, "ms", [_attach_ms(peer) for _ in range(rounds)])


def _attach_ms(peer: peers.Peer) -> float:
    """Milliseconds until a peer holds its programs and has run one; about 10 ms of it are the check itself."""
    begin = time.monotonic_ns()
    with peer.watching():
        return (time.monotonic_ns() - begin) / 1e6
