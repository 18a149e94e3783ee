"""This machine in; what the simulator has to know of it, measured in a few seconds, out.

It needs no privileges and no counters of the processor. A thread pins itself and ends; nothing else is changed.
"""

import os
import subprocess
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from schedtel.schedulers import attributes
from schedtel.schedulers.trial import in_a_thread
from schedtel.workloads.plan import make_plan
from schedtel.workloads.run import Runner
from schedtel.workloads.spec import parse_workload

#: Working sets whose warmth is measured, and how often a pass over one is repeated. Large ones take long.
_SIZES = {64 << 10: 200, 256 << 10: 200, 512 << 10: 100, 1 << 20: 100, 4 << 20: 30}
_LINE_BYTES = 64
#: CLOCK_MONOTONIC_COARSE of include/uapi/linux/time.h, which goes on at each tick.
_COARSE = 6
_ROUNDS = 2_000
_MILLION = 1_000_000
#: Jobs of a pool and lives, which load one CPU by a fifth: so releases, forks and work are seen, and no queue.
_PROBE = """
duration = "1s"
[classes.pool]
arrival = { kind = "periodic", period = "5ms" }
service = "1ms"
workers = 4
[classes.life]
arrival = { kind = "periodic", period = "25ms", offset = "2500us" }
service = "500us"
life = true
"""


def measured() -> dict[str, Any]:
    """Fields of a :class:`~schedtel.simulator.machine.Machine`: all but those that only a run beside others can tell.

    Raises :class:`WorkloadError` where the generator cannot run.
    """
    slice_ns = in_a_thread(lambda: attributes.get(0))
    found: dict[str, Any] = {"tick_ns": round(time.clock_getres(_COARSE) * 1e9)}
    if slice_ns is not None and slice_ns.slice_ns:  # Linux before 6.12 does not tell
        found["slice_ns"] = slice_ns.slice_ns
    cpus = sorted(os.sched_getaffinity(0))
    found["switch_ns"] = in_a_thread(lambda: switch_ns(cpus[0]))
    if len(cpus) > 1:
        cold = in_a_thread(lambda: colds(cpus[:2]))
        found |= {"cold": cold, "migration_ns": max(1, dict(cold)[256 << 10])}  # 0 would switch both off
    return found | _of_releases()


def switch_ns(cpu: int) -> int:
    """CPU time of a switch: of a byte that goes through `cat` on this CPU and back, less what the system calls take.

    The median of several rounds, since whatever disturbs one makes it longer.
    """
    os.sched_setaffinity(0, {cpu})
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        if child.stdin is None or child.stdout is None:
            raise AssertionError("pipes were asked for")
        to_child, from_child = child.stdin.fileno(), child.stdout.fileno()
        with_switches = _median_ns(lambda: (os.write(to_child, b"x"), os.read(from_child, 1)))
        child.stdin.close()
    here, there = os.pipe()
    calls = _median_ns(lambda: (os.write(there, b"x"), os.read(here, 1)))
    os.close(here)
    os.close(there)
    return max(0, with_switches - 2 * calls) // 2


def _median_ns(function: Callable[[], object]) -> int:
    times = []
    for _ in range(_ROUNDS):
        began = time.perf_counter_ns()
        function()
        times.append(time.perf_counter_ns() - began)
    return int(np.median(times))


def colds(cpus: list[int]) -> tuple[tuple[int, int], ...]:
    """Sizes of working sets, and what a migration costs each: less what it costs a single line, which is our own.

    No larger working set takes less: what is less was chance.
    """
    own_ns = warming_ns(_LINE_BYTES, cpus, _SIZES[64 << 10])
    times = [max(0, warming_ns(size, cpus, passes) - own_ns) for size, passes in _SIZES.items()]
    return tuple(zip(_SIZES, np.maximum.accumulate(times).tolist(), strict=True))


def warming_ns(size: int, cpus: list[int], passes: int) -> int:
    """What the first pass over so many bytes takes longer after a migration, as the generator's ``memory`` makes it.

    :param cpus: two of them, between which this thread goes to and fro.
    """
    lines = np.zeros(size, np.uint8)[::_LINE_BYTES]

    def timed() -> int:
        began = time.perf_counter_ns()
        np.add(lines, 1, out=lines)
        return time.perf_counter_ns() - began

    moved, stayed = [], []
    for number in range(passes):
        os.sched_setaffinity(0, {cpus[number % 2]})
        moved.append(timed())
        timed()
        stayed.append(timed())
    return max(0, int(np.median(moved) - np.median(stayed)))


def _of_releases() -> dict[str, int]:
    """What a release and a life's fork cost the generator, and by how much work takes longer than planned."""
    plan = make_plan(parse_workload(_PROBE, "the probe"))
    outcome = Runner(plan).run()
    pool = outcome.records[: plan.counts[0]]
    done = pool[pool["ended_ns"] > 0]
    slower = np.median(done["cpu_ns"] / plan.jobs["work_ns"][: plan.counts[0]][pool["ended_ns"] > 0]) - 1
    facts = outcome.facts
    return {
        "late_ns": max(0, int(np.median(outcome.lateness_ns))),
        "dispatch_ns": facts["dispatcher_cpu_ns"] // max(1, facts["released"]),
        "fork_ns": facts["classes"][1]["forker_cpu_ns"] // max(1, plan.counts[1]),
        "slower_millionths": min(_MILLION, max(0, round(float(slower) * _MILLION))),
    }
