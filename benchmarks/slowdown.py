"""How much longer three loads take while somebody watches the scheduler (bpf_stats off): ladder and peers in one run.

``messaging``: CPU time of 10 groups of 40 processes; ``fork storm``: CPU time of processes that are forked, exec and
end, in two lanes; ``cpu bound``: arithmetic on every CPU. What a collector does is not in that, so its CPU time of a
whole window, by the kernel's books, is added: divided by the CPUs, which all of these loads keep busy. Windows last
5 s, and peers print every 5 s. Each watcher has each load alone right before and after it. On a machine that others
share, all of that drifts by a tenth. So beside the first two goes a yardstick, some pages that are mapped, touched and
given back on each CPU every 4 ms, and what a load takes is told in its terms. Medians over rounds, each in another
order; what a target compares has two turns in each. The slowdown of ``nobody`` is what chance makes of 1.
``schedtel, 10 ms and more`` has no row for who did less: like its peers, it tells a storm in sums.
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
#: No worse, as far as can be told: medians of six turns differ by a hundredth by chance alone.
_NO_WORSE = {"messaging": Target(1.01), "fork storm": Target(1.01)}

#: (load, watcher) → a sample for each turn.
Samples = dict[tuple[str, str], list[Sample]]


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    if not workloads.has_perf():
        return [], ["slowdown: not measured, perf is missing (apt install linux-perf)"]
    watchers = [*peers.measured(peers.USUAL_WINDOW_S), peers.schedtel_without_short_lives(peers.USUAL_WINDOW_S)]
    taken, notes = under_everybody(PART, plan, _sample, watchers)
    samples = {(load, name): [one[load] for one in each] for name, each in taken.items() for load in each[0]}
    return [line for load in _LOADS for line in _rows(load, samples, list(taken))], notes


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
