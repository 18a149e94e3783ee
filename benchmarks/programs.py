"""Mean time of a run of the switch and wakeup programs, as the kernel times them (bpf_stats_enabled=1).

The load is ``perf bench sched pipe`` with both tasks on one CPU.
"""

from benchmarks import kernel, peers, workloads
from benchmarks.measures import Row, Target, ratio, rotations, row

PART = "programs"
LOOPS, WARM_UP_LOOPS, REPEATS = 100_000, 10_000, 7
_TARGETS = {"switch": Target(0.45), "wakeup": Target(0.55)}
#: Names of the programs, by peer.
_NAMES = {
    "schedtel": {"switch": "on_switch", "wakeup": "on_wakeup"},
    "runqlat": {"switch": "sched_switch", "wakeup": "sched_wakeup"},
}


def measure() -> tuple[list[Row], list[str]]:
    """Rows, and notes on what could not be measured."""
    if not workloads.tool("perf"):
        return [], ["programs: not measured, perf is missing (apt install linux-perf)"]
    commands, notes = _commands()
    with kernel.counting():
        samples = _samples(commands)
    return _rows(samples), notes


def _commands() -> tuple[dict[str, tuple[str, ...]], list[str]]:
    commands = {"schedtel": peers.schedtel_command()}
    runqlat = peers.runqlat_command()
    if runqlat:
        return commands | {"runqlat": runqlat}, []
    return commands, ["programs: runqlat is missing (apt install libbpf-tools), so schedtel stands alone"]


def _samples(commands: dict[str, tuple[str, ...]]) -> dict[tuple[str, str], list[float]]:
    """(program, peer) → mean ns per run, one for each round."""
    samples: dict[tuple[str, str], list[float]] = {}
    for order in rotations(list(commands), REPEATS):
        for peer in order:
            for program, mean_ns in peers.undisturbed(lambda peer=peer: _sample(peer, commands[peer])).items():
                samples.setdefault((program, peer), []).append(mean_ns)
    return samples


def _sample(peer: str, command: tuple[str, ...]) -> dict[str, float]:
    with peers.running(command) as pid:
        workloads.pipe_ns(WARM_UP_LOOPS)
        before = kernel.program_runs(pid)
        workloads.pipe_ns(LOOPS)
        after = kernel.program_runs(pid)
    grown = {program: after[name].since(before[name]) for program, name in _NAMES[peer].items()}
    # Two tasks on one CPU take turns: a run for each switch and wakeup, or the peer was not attached.
    if min(runs.runs for runs in grown.values()) < LOOPS:
        raise peers.PeerError(f"{peer} was not attached: its programs ran {grown} times in {LOOPS} round trips")
    return {program: runs.mean_ns for program, runs in grown.items()}


def _rows(samples: dict[tuple[str, str], list[float]]) -> list[Row]:
    rows = []
    for program, target in _TARGETS.items():
        of_program = {peer: values for (name, peer), values in samples.items() if name == program}
        rows += [row(program, peer, "ns/run", of_program[peer]) for peer in _NAMES if peer in of_program]
        if "runqlat" in of_program:
            rows.append(ratio(program, of_program["schedtel"], of_program["runqlat"], "runqlat", target))
    return rows
