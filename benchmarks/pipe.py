"""What a watcher adds to a round trip of two pinned tasks (bpf_stats off): ladder and peers in one run.

While another guest uses the other half of the core, everything takes a quarter longer, and watchers add half as much
again; that comes and goes within seconds. A yardstick beside each chunk of 500 round trips shows it. Of the chunks
under a watcher, only the quarter with the shortest yardsticks counts. Each of these is compared with chunks of similar
yardsticks from runs without a watcher, right before and right after. Values are medians over rounds, each in another
order; subjects that a target compares have two turns in each round. What is added under ``nobody`` is chance.
"""

import time
from statistics import median

from benchmarks import peers, workloads
from benchmarks.loads import Sample, under_everybody
from benchmarks.measures import Plan, Row, Target, ratio, row
from benchmarks.peers import Peer
from benchmarks.workloads import PIPE_TRIPS, Chunk

PART = "pipe"
_UNIT = "ns/round trip"
_TARGETS = {"runqlat": Target(0.40), "perf sched record": Target(0.15)}
#: Round trips of one run, and with how many unwatched chunks each watched chunk is compared.
_TRIPS, _NEIGHBOURS = 100_000, 15


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    samples, notes = under_everybody(PART, plan, _sample, peers.measured())
    return _rows(samples), notes


def _sample(peer: Peer) -> Sample:
    before = workloads.pipe(_TRIPS)
    with peer.watching():
        time.sleep(peer.settle_s)
        watched = workloads.pipe(_TRIPS)
    return like_with_like(watched, before + workloads.pipe(_TRIPS))


def like_with_like(watched: list[Chunk], alone: list[Chunk]) -> Sample:
    """Nanoseconds of a round trip in the calmest quarter of the watched chunks, and in unwatched ones as calm."""
    calmest = sorted(watched, key=lambda chunk: chunk.yardstick_ns)[: -(-len(watched) // 4)]
    beside = [_alone(alone, chunk.yardstick_ns) for chunk in calmest]
    return Sample(median(chunk.took_ns for chunk in calmest) / PIPE_TRIPS, median(beside) / PIPE_TRIPS)


def _alone(chunks: list[Chunk], yardstick_ns: int) -> float:
    nearest = sorted(chunks, key=lambda chunk: abs(chunk.yardstick_ns - yardstick_ns))[:_NEIGHBOURS]
    return median(chunk.took_ns for chunk in nearest)


def _rows(samples: dict[str, list[Sample]]) -> list[Row]:
    """Rows: the time of a round trip, what each watcher adds to it, and schedtel's part of what peers add."""
    added = {name: [sample.added for sample in each] for name, each in samples.items()}
    rows = [row("round trip", name, _UNIT, [sample.watched for sample in each]) for name, each in samples.items()]
    rows += [row("added", name, _UNIT, values) for name, values in added.items()]
    for peer, target in _TARGETS.items():
        if peer in added:
            rows.append(ratio("added", added["schedtel"], added[peer], f"schedtel / {peer}", target))
    return rows
