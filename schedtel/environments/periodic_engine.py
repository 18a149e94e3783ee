"""The state of environments and a decision in each in; the state at the next decisions, and what is seen of it, out.

A decision is open where a device is idle and a job is ready. An action is a pipeline, whose oldest ready job it is
about, a device, and how many kernels run as one stretch. The device may be busy: the stretch then follows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.periodic_arrays import Instance, Runs
from schedtel.environments.stepping import BEGIN
from schedtel.simulator.compiling import inlined, kept

#: Numbers that are seen of each pipeline, where one more follows for each of its actions, and, before all, besides;
#: docs/dags.md has their meaning.
SEEN, BESIDES = 13, 3
_LATE = 1 << 62
_UNITS_PER_S = 10_000.0


@inlined
def draw_below(r: Runs, e: int, most: int) -> int:
    """A whole number in [0, most), by xorshift64* (S. Vigna, 2016)."""
    x = r.random[e]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    r.random[e] = x
    return int(((x * np.uint64(2685821657736338717)) >> np.uint64(33)) % np.uint64(most))


@inlined
def begin(i: Instance, r: Runs, e: int) -> None:
    """A new episode, of a configuration that is drawn, or of the environment's own."""
    r.configuration[e] = draw_below(r, e, i.period.shape[0])
    if r.only[e] >= 0:
        r.configuration[e] = r.only[e]
    k = r.configuration[e]
    r.now[e], r.met[e] = 0, 0
    r.left[e] = i.jobs[k, i.length.shape[0]]
    for d in range(r.free.shape[1]):
        r.free[e, d] = 0
    for n in range(r.left[e]):
        r.done[e, n], r.ready[e, n], r.over[e, n] = 0, i.release[k, n], False


@inlined
def choose(i: Instance, r: Runs, e: int) -> None:
    """The oldest ready job of each pipeline; those that cannot meet their deadline are dropped before."""
    k = r.configuration[e]
    for p in range(i.length.shape[0]):
        r.chosen[e, p] = -1
        for n in range(i.jobs[k, p], i.jobs[k, p + 1]):
            if r.over[e, n] or r.ready[e, n] > r.now[e]:
                continue
            if i.drops[0] and r.now[e] + i.rest[p, r.done[e, n]] > i.deadline[k, n]:
                r.over[e, n] = True
                r.left[e] -= 1
            elif r.chosen[e, p] < 0:
                r.chosen[e, p] = n


@inlined
def is_open(r: Runs, e: int) -> bool:
    """Whether a device is idle and a job is ready."""
    idle, able = False, False
    for d in range(r.free.shape[1]):
        idle = idle or r.free[e, d] <= r.now[e]
    for p in range(r.chosen.shape[1]):
        able = able or r.chosen[e, p] >= 0
    return idle and able


@inlined
def next_moment(i: Instance, r: Runs, e: int) -> int:
    """When a device is idle next, or a job ready; ``_LATE`` for never."""
    moment = _LATE
    for d in range(r.free.shape[1]):
        if r.free[e, d] > r.now[e]:
            moment = min(moment, r.free[e, d])
    for n in range(i.jobs[r.configuration[e], i.length.shape[0]]):
        if not r.over[e, n] and r.ready[e, n] > r.now[e]:
            moment = min(moment, r.ready[e, n])
    return moment


@inlined
def run(i: Instance, r: Runs, e: int, action: int) -> bool:
    """A stretch of a pipeline's job on a device; whether its job meets its deadline by it."""
    longest, devices = i.times.shape[1], i.times.shape[3]
    p, d, kernels = action // (devices * longest), action // longest % devices, action % longest + 1
    k, n = r.configuration[e], r.chosen[e, p]
    first = r.done[e, n]
    end = max(r.now[e], r.free[e, d]) + i.times[p, first, first + kernels - 1, d]
    r.free[e, d] = r.ready[e, n] = end
    r.done[e, n] += kernels
    if r.done[e, n] < i.length[p]:
        return False
    r.over[e, n] = True
    r.left[e] -= 1
    return bool(end <= i.deadline[k, n])


@inlined
def bounded(value: float) -> float:
    return min(2.0, max(-2.0, value))


@inlined
def see_job(i: Instance, r: Runs, e: int, p: int, n: int, seen: NDArray[np.float32], at: int) -> None:
    """What is seen of a pipeline's ready job."""
    k, first, last = r.configuration[e], r.done[e, n], i.length[p] - 1
    period, left = float(i.period[k, p]), i.deadline[k, n] - r.now[e]
    seen[e, at] = 1.0
    seen[e, at + 1] = first / i.length[p]
    seen[e, at + 2] = bounded((left - i.rest[p, first]) / period)
    seen[e, at + 3] = bounded(left / period)
    seen[e, at + 4] = i.times[p, first, last, 0] / period
    seen[e, at + 5] = i.times[p, first, last, 1] / period
    seen[e, at + 6] = i.rest[p, first] / period
    seen[e, at + 7] = i.times[p, first, first, 0] / period
    seen[e, at + 8] = i.times[p, first, first, 1] / period
    longest, devices = i.times.shape[1], i.times.shape[3]
    for action in range(devices * longest):
        d, after = action // longest, first + action % longest + 1
        if after <= i.length[p]:
            end = max(r.now[e], r.free[e, d]) + i.times[p, first, after - 1, d]
            seen[e, at + SEEN + action] = bounded((i.deadline[k, n] - end - i.rest[p, after]) / period)


@inlined
def most_urgent(i: Instance, r: Runs, e: int) -> int:
    """The pipeline whose ready job has the earliest deadline, as EDF would choose; -1 for none."""
    k, found = r.configuration[e], -1
    for p in range(i.length.shape[0]):
        n, best = r.chosen[e, p], r.chosen[e, found]
        if n >= 0 and (found < 0 or i.deadline[k, n] < i.deadline[k, best]):
            found = p
    return found


@inlined
def see_pipeline(i: Instance, r: Runs, e: int, p: int, seen: NDArray[np.float32], at: int) -> None:
    """What is seen of a pipeline whether a job is ready or not."""
    k = r.configuration[e]
    period, coming, waiting = float(i.period[k, p]), _LATE, 0
    for n in range(i.jobs[k, p], i.jobs[k, p + 1]):
        if not r.over[e, n] and r.ready[e, n] > r.now[e]:
            coming = min(coming, r.ready[e, n])
        waiting += not r.over[e, n] and r.ready[e, n] <= r.now[e]
    seen[e, at + 9] = 2.0 if coming == _LATE else bounded((coming - r.now[e]) / period)
    seen[e, at + 10] = period / _UNITS_PER_S
    seen[e, at + 11] = waiting * 0.5
    seen[e, at + 12] = 1.0 if p == most_urgent(i, r, e) else 0.0


@inlined
def look(i: Instance, r: Runs, e: int, seen: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
    """What is seen before a decision, and which actions can be taken."""
    longest, devices, pipelines = i.times.shape[1], i.times.shape[3], i.length.shape[0]
    for at in range(seen.shape[1]):
        seen[e, at] = 0.0
    for d in range(devices):
        seen[e, d] = max(0, r.free[e, d] - r.now[e]) / _UNITS_PER_S
    seen[e, devices] = r.left[e] / i.jobs[r.configuration[e], pipelines]
    for p in range(pipelines):
        n, at = r.chosen[e, p], BESIDES + p * (SEEN + devices * longest)
        left = i.length[p] - r.done[e, n] if n >= 0 else 0
        for action in range(p * devices * longest, (p + 1) * devices * longest):
            mask[e, action] = action % longest < left
        if n >= 0:
            see_job(i, r, e, p, n, seen, at)
        see_pipeline(i, r, e, p, seen, at)
    mask[e, pipelines * devices * longest] = next_moment(i, r, e) < _LATE


@inlined
def go_on(i: Instance, r: Runs, e: int) -> None:
    """To the next open decision, or to the end of the episode."""
    choose(i, r, e)
    while r.left[e] > 0 and not is_open(r, e):
        r.now[e] = next_moment(i, r, e)
        choose(i, r, e)


@kept
def step(
    i: Instance,
    r: Runs,
    actions: NDArray[np.int32],
    seen: NDArray[np.float32],
    rewards: NDArray[np.float32],
    ended: NDArray[np.bool_],
    mask: NDArray[np.bool_],
) -> None:
    """Take an action in each environment. A reward is a met deadline's share of the episode's jobs."""
    wait = i.length.shape[0] * i.times.shape[3] * i.times.shape[1]
    for e in range(actions.shape[0]):
        action = actions[e]
        ended[e] = False
        rewards[e] = 0.0
        if action == BEGIN:
            begin(i, r, e)
        elif action == wait:
            r.now[e] = next_moment(i, r, e)
        elif run(i, r, e, action):
            r.met[e] += 1
            rewards[e] = 1.0 / i.jobs[r.configuration[e], i.length.shape[0]]
        go_on(i, r, e)
        if r.left[e] == 0:
            ended[e] = True
            r.ended_met[e], r.ended_configuration[e] = r.met[e], r.configuration[e]
            begin(i, r, e)
            go_on(i, r, e)
        look(i, r, e, seen, mask)
