"""How much longer three loads take under a watcher of the scheduler (bpf_stats off): ladder and peers in one run.

``messaging``: CPU time of 10 groups of 40 processes; ``fork storm``: CPU time of processes that are forked, exec and
end, in two lanes; ``cpu bound``: arithmetic on every CPU. A load's own time does not contain the collector's work. So
the collector's CPU time over a whole window, from the kernel's accounting, is added after division by the number of
CPUs, all of which these loads keep busy. Windows last 5 s, and peers print every 5 s. Each load also runs alone right
before and right after each watcher.

On a machine shared with other guests, all of these times drift by a tenth. So a yardstick runs beside the first two
loads: on each CPU, every 4 ms, it maps, touches and unmaps some pages. The time of a load is divided by that of the
yardstick. Values are medians over rounds, each in another order; subjects that a target compares have two turns in each
round. The slowdown of ``nobody`` differs from 1 only by chance. ``schedtel, 10 ms and more`` has no row for a process
that did less: like its peers, it reports a fork storm as sums.
"""

from functools import partial

from benchmarks import peers, workloads
from benchmarks.loads import Load, Sample, between, under_everybody
from benchmarks.measures import Plan, Row, Target, ratio, row
from benchmarks.peers import FROM_10_MS, Peer

PART = "slowdown"
_PROCESSES = 1_000
storm = partial(workloads.forks_ns, _PROCESSES)
_LOADS = {
    "messaging": Load("ms", lambda: workloads.cpu_ns(workloads.messaging) / 1e6, by_yardstick=True),
    "fork storm": Load("µs/process", lambda: workloads.cpu_ns(storm) / 1e3 / _PROCESSES, by_yardstick=True),
    "cpu bound": Load("ms", lambda: workloads.spin_ns(250) / 1e6, by_yardstick=False),
}
#: "No worse", within the noise: medians of six turns differ by a hundredth by chance alone.
_NO_WORSE = {"messaging": Target(1.01), "fork storm": Target(1.01)}

#: (load, watcher) → a sample for each turn.
Samples = dict[tuple[str, str], list[Sample]]


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """The rows of this part, and notes on what could not be measured."""
    if not workloads.has_perf():
        return [], ["slowdown: not measured, perf is missing (apt install linux-perf)"]
    watchers = [*peers.measured(peers.USUAL_WINDOW_S), peers.schedtel_without_short_lives(peers.USUAL_WINDOW_S)]
    sampled, notes = under_everybody(PART, plan, _sample, watchers)
    samples = {(load, name): [one[load] for one in each] for name, each in sampled.items() for load in each[0]}
    return [line for load in _LOADS for line in _rows(load, samples, list(sampled))], notes


def _sample(peer: Peer) -> dict[str, Sample]:
    """One sample of each load under a peer."""
    return {name: between(load, peer) for name, load in _LOADS.items()}


def _rows(load: str, samples: Samples, names: list[str]) -> list[Row]:
    rows = [row(load, name, _LOADS[load].unit, [sample.watched for sample in samples[load, name]]) for name in names]
    slower = {name: [sample.slowdown for sample in samples[load, name]] for name in names}
    rows += [row(f"{load}, slowdown", name, "ratio", values) for name, values in slower.items()]
    for name in ("schedtel", FROM_10_MS):
        if "runqlat" in names and name in names:
            both = (slower[name], slower["runqlat"])
            rows.append(ratio(f"{load}, slowdown", *both, f"{name} / runqlat", _NO_WORSE.get(load)))
    return rows
