"""Mean time of a run of the BPF programs at a switch, wakeup, fork and exit, as the kernel times them.

bpf_stats_enabled is 1, which adds the same to every run of every program: the rung ``empty`` shows how much. The times
of all programs that a peer runs at an event are added up. Switches and wakeups are those of two tasks on one CPU that
pass a byte to and fro. ``life`` is the time of all of a peer's programs for each process of a fork storm; a process
execs, ends and is waited for. ``messaging`` is their time for each message among 400 processes, whose state is not in
the near caches. ``schedtel, 10 ms and more`` has no row for a process that did less: like its peers, it reports a fork
storm as sums. ``schedtel, 1 counter`` and ``schedtel, 4 counters`` count perf events for each task as well: their
switch is that of two programs.

The kernel does not count the work it does before it runs a program. At a plain tracepoint (runqlat.bt; schedtel, bcc)
that work is more than elsewhere: see slowdown.
"""

import time
from collections.abc import Callable

from benchmarks import kernel, peers, rungs, workloads
from benchmarks.failures import PeerError
from benchmarks.measures import Plan, Row, Target, ratio, row
from benchmarks.peers import Peer
from benchmarks.rounds import interleaved

PART = "programs"
TRIPS, WARM_UP_TRIPS, LIVES, WARM_UP_LIVES, FORKS, ROUNDS = 60_000, 5_000, 8_000, 500, 2_000, 9
_LIFE, _MESSAGING = "life", "messaging"
_TARGETS = {
    ("switch", rungs.FLOOR): Target(1.7),
    ("switch", "runqlat"): Target(0.40),
    ("wakeup", "runqlat"): Target(0.50),
    (_LIFE, "runqlat"): Target(1.0),
    (_MESSAGING, "runqlat"): Target(1.0),
}
_OTHERS = (rungs.FLOOR, "runqlat")
_UNITS = {_LIFE: "ns/process", _MESSAGING: "ns/message"}
#: (event, peer) → mean ns per run (or process, or message), one for each round.
Samples = dict[tuple[str, str], list[float]]


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    subjects = {peer.name: peer for peer in _subjects() if peer.programs}
    with kernel.counting():
        sampled, notes = interleaved(subjects, plan.rounds(ROUNDS), _sample)
    samples = {(event, name): [one[event] for one in each] for name, each in sampled.items() for event in each[0]}
    missing = [] if workloads.has_perf() else ["programs: no messaging, perf is missing (apt install linux-perf)"]
    return _rows(samples, list(sampled)), notes + missing


def _subjects() -> list[Peer]:
    others = (peers.schedtel_without_preemptions(), peers.schedtel_without_short_lives())
    others += (peers.schedtel_counting(1), peers.schedtel_counting(4))
    return [*rungs.ladder(), *peers.measured(), *others]


def _sample(peer: Peer) -> dict[str, float]:
    """Event → nanoseconds of all programs of a peer that run at it; also for a process's life and for a message."""
    with peer.watching() as pid:
        time.sleep(peer.settle_s / 4)
        workloads.pipe(WARM_UP_TRIPS)
        workloads.lives_ns(WARM_UP_LIVES)
        piped = _grown(pid, lambda: workloads.pipe(TRIPS))
        lived = _grown(pid, lambda: workloads.lives_ns(_births(peer, LIVES)))
        time.sleep(peer.settle_s / 4)
        forked = _grown(pid, lambda: workloads.forks_ns(_births(peer, FORKS)))
        time.sleep(peer.settle_s / 2)
        sent = _grown(pid, workloads.messaging) if workloads.has_perf() else {}
    means = {event: _mean_ns(peer, event, piped if event in peers.PIPE_EVENTS else lived) for event in peer.programs}
    means[_LIFE] = _all_ns(forked) / _births(peer, FORKS)
    return means | ({_MESSAGING: _all_ns(sent) / workloads.MESSAGES} if sent else {})


def _grown(pid: int, load: Callable[[], object]) -> dict[str, kernel.Runs]:
    """Program → its runs and run time under a load."""
    before = kernel.program_runs(pid)
    load()
    return {name: runs.since(before[name]) for name, runs in kernel.program_runs(pid).items()}


def _all_ns(grown: dict[str, kernel.Runs]) -> int:
    return sum(program.run_time_ns for program in grown.values())


def _births(peer: Peer, usual: int) -> int:
    """How many births to cause: at most as many as the peer can follow, since further ones cost it almost nothing."""
    return min(usual, peer.most_births)


def _mean_ns(peer: Peer, event: str, grown: dict[str, kernel.Runs]) -> float:
    """Mean nanoseconds of a run of a peer's programs at an event, summed over the programs.

    Two tasks on one CPU take turns, so each program runs at least once for each round trip and for each life. Raises
    :class:`PeerError` when one did not: the peer did not watch.
    """
    least = TRIPS if event in peers.PIPE_EVENTS else _births(peer, LIVES)
    names = map(kernel.kept, peer.programs[event])
    programs = [grown[name] for name in names if name in grown]
    if not programs or min(program.runs for program in programs) < least:
        raise PeerError(f"{peer.name} did not watch: at each {event}, its programs ran {grown}, expected {least} runs")
    return sum(program.mean_ns for program in programs)


def _rows(samples: Samples, names: list[str]) -> list[Row]:
    rows = []
    for event in ("switch", "wakeup", "fork", "exit", _LIFE, _MESSAGING):
        unit = _UNITS.get(event, "ns/run")
        rows += [row(event, name, unit, samples[event, name]) for name in names if (event, name) in samples]
        rows += [_ratio(samples, event, "schedtel", other) for other in _OTHERS if (event, other) in samples]
    if {(_LIFE, peers.FROM_10_MS), (_LIFE, "runqlat")} <= samples.keys():
        rows.append(_ratio(samples, _LIFE, peers.FROM_10_MS, "runqlat"))
    return rows


def _ratio(samples: Samples, event: str, ours: str, other: str) -> Row:
    both, names = (samples[event, ours], samples[event, other]), f"{ours} / {other}"
    return ratio(event, *both, names, _TARGETS.get((event, other)))
