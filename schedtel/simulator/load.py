"""The load of tasks and of CPUs as an average over time, by which the fair class places tasks: PELT.

A task's load is its weight while it is runnable and 0 while it is not, averaged over the past, which counts half as
much 32 periods ago; a CPU's is the sum over the tasks that were last there (kernel/sched/pelt.c).
"""

import numpy as np

from schedtel.simulator.compiling import inlined
from schedtel.simulator.state import State

#: A load of one, as it is kept.
SCALE = 16
_PERIOD_BITS, _HALF_LIFE, _ONE_BITS = 20, 32, 20
#: What is left after so many periods, and what a period takes, in millionths of 2^20.
_LEFT = np.array([round(2 ** (_ONE_BITS - n / _HALF_LIFE)) for n in range(_HALF_LIFE)], np.int64)
_LOST = int((1 << _ONE_BITS) - _LEFT[1])


@inlined
def decayed(load: int, span_ns: int) -> int:
    """What is left of a load after some time; a part of a period counts evenly."""
    periods = span_ns >> _PERIOD_BITS
    if periods >= 40 * _HALF_LIFE:
        return 0
    rest = span_ns & ((1 << _PERIOD_BITS) - 1)
    load = (load * _LEFT[periods % _HALF_LIFE] >> _ONE_BITS) >> periods // _HALF_LIFE
    return int(load - (load * (rest * _LOST >> _PERIOD_BITS) >> _ONE_BITS))


@inlined
def bring_up_cpu(s: State, c: int) -> None:
    """Average a CPU's load up to now. Its queue is as it was since it last was."""
    cpu, now = s.cpus[c], s.machine[0].now_ns
    held = cpu.weight_sum * SCALE
    if now > cpu.load_at_ns:
        cpu.load = held + decayed(cpu.load - held, now - cpu.load_at_ns)
        cpu.load_at_ns = now


@inlined
def bring_up_task(s: State, k: int, weight: int) -> None:
    """Average a task's load up to now; since it last was, it was of this weight: 0 if it slept."""
    task, now = s.tasks[k], s.machine[0].now_ns
    held = weight * SCALE
    if now > task.load_at_ns:
        task.load = held + decayed(task.load - held, now - task.load_at_ns)
        task.load_at_ns = now


@inlined
def attach(s: State, c: int, k: int) -> None:
    """A task becomes runnable on a CPU, where its load is from now on: before its weight is there."""
    task = s.tasks[k]
    bring_up_cpu(s, c)
    if task.load_cpu == c:
        bring_up_task(s, k, 0)
        return
    if task.load_cpu >= 0:
        bring_up_task(s, k, 0)
        detach(s, k)
    else:
        task.load = task.weight * SCALE  # init_entity_runnable_average(): a new task has the load of its weight
        task.load_at_ns = s.machine[0].now_ns
    s.cpus[c].load += task.load
    task.load_cpu = c


@inlined
def detach(s: State, k: int) -> None:
    """A task's load is nowhere any more."""
    task = s.tasks[k]
    bring_up_cpu(s, task.load_cpu)
    s.cpus[task.load_cpu].load = max(0, s.cpus[task.load_cpu].load - task.load)
    task.load_cpu = -1
