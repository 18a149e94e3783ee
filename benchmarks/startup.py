"""From the start of a Python process to telemetry running: the first window is open. And of peers, until they watch.

Peers are looked at from outside, and shown to watch: some 10 ms of their times are for that.
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

#: Prints CLOCK_MONOTONIC at its first line, after the import, and when live() has returned: the first window is open.
_PROGRAM = """
import time
print(time.monotonic_ns())
import schedtel
print(time.monotonic_ns())
with schedtel.live(window="1s"):
    print(time.monotonic_ns())
"""


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    _sample()  # brings files into the page cache: what is measured is not the disk
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
    """Milliseconds of each step: interpreter, import, load and attach and seed."""
    moments = [time.monotonic_ns()]
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise PeerError(f"schedtel did not start: {done.stderr.strip()}")
    moments += [int(line) for line in done.stdout.split()]
    return tuple((after - before) / 1e6 for before, after in pairwise(moments))


def _peer_row(peer: peers.Peer, rounds: int) -> Row:
    return row("process start to all attached", peer.name, "ms", [_attach_ms(peer) for _ in range(rounds)])


def _attach_ms(peer: peers.Peer) -> float:
    """Milliseconds until a peer holds its programs and has run one; looking takes 10 ms or so of it."""
    begin = time.monotonic_ns()
    with peer.watching():
        return (time.monotonic_ns() - begin) / 1e6
