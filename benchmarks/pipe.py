"""What a watcher adds to a round trip of two pinned tasks (bpf_stats off): ladder and peers in one run.

Of the better quarter of the time in which nobody else used the core, as a yardstick beside the pipe tells: with another
guest on the other half of the core, everything takes a fourth longer, and what watchers add half as much again. Each
watcher has the pipe alone right before and after it. Medians over rounds, each in another order; what a target compares
has five turns in each. What is added to ``nobody`` is chance.
"""

from benchmarks import workloads
from benchmarks.loads import Load, Sample, between, under_everybody
from benchmarks.measures import Plan, Row, Target, ratio, row

PART = "pipe"
_UNIT = "ns/round trip"
_TARGETS = {"runqlat": Target(0.40), "perf sched record": Target(0.15)}


def measure(plan: Plan) -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    load = Load(_UNIT, workloads.CalmPipe().round_trip_ns, steady=0.03, busy=False)
    samples, notes = under_everybody(PART, plan, lambda peer: between(load, peer))
    return _rows(samples), notes


def _rows(samples: dict[str, list[Sample]]) -> list[Row]:
    """How long a round trip takes, what each adds to it, and schedtel in parts of what others add."""
    added = {name: [sample.added for sample in taken] for name, taken in samples.items()}
    rows = [row("round trip", name, _UNIT, [sample.watched for sample in taken]) for name, taken in samples.items()]
    rows += [row("added", name, _UNIT, values) for name, values in added.items()]
    for peer, target in _TARGETS.items():
        if peer in added:
            rows.append(ratio("added", added["schedtel"], added[peer], f"schedtel / {peer}", target))
    return rows
