"""The load of tasks and of CPUs as an average over time, by which the fair class places tasks: PELT.

A task's load is its weight while it is runnable and 0 while it is not, averaged over the past, which counts half as
much 32 periods ago; a CPU's is the sum over the tasks that were last there (kernel/sched/pelt.c).
"""

import numpy as np

from schedtel.simulator.compiling import inlined
from schedtel.simulator.state import State

#: A load of one, as it is kept.
SCALE = 16
#: Time counts in steps of 2^16 ns, of which 2^9 are 32 periods of the kernel's.
_STEP_BITS, _HALF_LIFE_BITS, _ONE_BITS = 16, 9, 20
_HALF_LIFE = 1 << _HALF_LIFE_BITS
#: What is left of one after so many steps.
_LEFT = np.array([round(2 ** (_ONE_BITS - n / _HALF_LIFE)) for n in range(_HALF_LIFE)], np.int64)


@inlined
def averaged(load: int, held: int, steps: int) -> int:
    """A load after some steps in which so much was held: what it was above or below that decays."""
    halvings = min(steps >> _HALF_LIFE_BITS, 40)
    return int(held + ((load - held) * _LEFT[steps & (_HALF_LIFE - 1)] >> (_ONE_BITS + halvings)))


@inlined
def bring_up_cpu(s: State, c: int) -> None:
    """Average a CPU's load up to now. Its queue is as it was since it last was."""
    cpu = s.cpus[c]
    steps = s.machine[0].now_ns - cpu.load_at_ns >> _STEP_BITS
    if steps > 0:
        cpu.load = averaged(cpu.load, cpu.weight_sum * SCALE, steps)
        cpu.load_at_ns += steps << _STEP_BITS


@inlined
def bring_up_task(s: State, k: int, weight: int) -> None:
    """Average a task's load up to now; since it last was, it was of this weight: 0 if it slept."""
    task = s.tasks[k]
    steps = s.machine[0].now_ns - task.load_at_ns >> _STEP_BITS
    if steps > 0:
        task.load = averaged(task.load, weight * SCALE, steps)
        task.load_at_ns += steps << _STEP_BITS


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
