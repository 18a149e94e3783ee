"""The state of environments and a decision in each in; the state at the next decisions, and what is seen of it, out.

Time passes only while no decision is open. A decision is open where a device is idle and a ready job can run on it; to
*wait* closes the decisions of this moment, and the next are at the next end of a job.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schedtel.dags.dag import NEVER
from schedtel.environments.dag_arrays import Graphs, Machines
from schedtel.environments.stepping import BEGIN
from schedtel.simulator.compiling import inlined, kept

#: Numbers that are seen of each choice; docs/dags.md has their meaning.
SEEN = 20
_LATE = 1 << 62


@inlined
def draw(m: Machines, e: int) -> float:
    """A number in [0, 1), by xorshift64* (S. Vigna, 2016)."""
    x = m.random[e]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    m.random[e] = x
    return float((x * np.uint64(2685821657736338717)) >> np.uint64(11)) / 9007199254740992.0


@inlined
def make_ready(g: Graphs, m: Machines, e: int, i: int) -> None:
    """Add a job to the ready ones, behind those with a tail as long."""
    first, at = g.first[m.graph[e]], m.ready_count[e]
    while at > 0 and g.tails[first + m.ready[e, at - 1]] < g.tails[first + i]:
        m.ready[e, at] = m.ready[e, at - 1]
        at -= 1
    m.ready[e, at] = i
    m.ready_count[e] += 1


@inlined
def begin(g: Graphs, m: Machines, e: int) -> None:
    """A new episode, of a graph that is drawn, with times that are drawn."""
    k = int(draw(m, e) * (g.first.shape[0] - 1))
    m.graph[e], m.now[e] = k, 0
    first, jobs = g.first[k], g.first[k + 1] - g.first[k]
    m.left[e], m.ready_count[e] = jobs, 0
    for p in range(g.sizes.shape[1]):
        m.work[e, p] = 0
        for d in range(m.running.shape[2]):
            m.running[e, p, d] = -1
    for i in range(jobs):
        needs = g.before_at[first + i + 1] - g.before_at[first + i]
        m.missing[e, i] = m.unplaced[e, i] = needs
        m.place[e, i] = m.device[e, i] = -1
        m.factor[e, i] = 1.0
        if m.noise[0] > 0:
            m.factor[e, i] = 1.0 + m.noise[0] * (2.0 * draw(m, e) - 1.0)
        best = g.best[first + i]
        m.work[e, best] += g.times[first + i, best]
        if needs == 0:
            make_ready(g, m, e, i)


@inlined
def idle_device(g: Graphs, m: Machines, e: int, p: int) -> int:
    """The first idle device of a place; -1 for none."""
    for d in range(g.sizes[m.graph[e], p]):
        if m.running[e, p, d] < 0:
            return d
    return -1


@inlined
def arrival(g: Graphs, m: Machines, e: int, i: int, p: int, planned: bool) -> int:
    """When all that a job needs is in a place, now at the earliest; of jobs that run, as planned or as it will be."""
    first, moment = g.first[m.graph[e]], m.now[e]
    for q in range(g.before_at[first + i], g.before_at[first + i + 1]):
        j = g.before[q] - first
        at = m.expected[e, j] if planned and m.end[e, j] > m.now[e] else m.end[e, j]
        if m.place[e, j] != p:
            at += g.transfer[q]
        moment = max(moment, at)
    return moment


@inlined
def put(g: Graphs, m: Machines, e: int, i: int, p: int) -> None:
    """Place a ready job on an idle device of a place."""
    first = g.first[m.graph[e]]
    d, start = idle_device(g, m, e, p), arrival(g, m, e, i, p, False)
    time = g.times[first + i, p]
    m.place[e, i], m.device[e, i], m.start[e, i] = p, d, start
    m.expected[e, i] = start + time
    m.end[e, i] = start + max(1, int(np.rint(time * m.factor[e, i])))
    m.running[e, p, d] = i
    best = g.best[first + i]
    m.work[e, best] -= g.times[first + i, best]
    m.left[e] -= 1
    for q in range(g.after_at[first + i], g.after_at[first + i + 1]):
        m.unplaced[e, g.after[q] - first] -= 1
    at = 0
    while m.ready[e, at] != i:
        at += 1
    m.ready_count[e] -= 1
    while at < m.ready_count[e]:
        m.ready[e, at] = m.ready[e, at + 1]
        at += 1


@inlined
def next_end(g: Graphs, m: Machines, e: int, planned: bool) -> int:
    """The next end of a job that runs; as planned, one that is late ends any moment. ``_LATE`` where none runs."""
    soonest = _LATE
    for p in range(g.sizes.shape[1]):
        for d in range(g.sizes[m.graph[e], p]):
            i = m.running[e, p, d]
            if i >= 0:
                soonest = min(soonest, max(m.now[e], m.expected[e, i]) if planned else m.end[e, i])
    return soonest


@inlined
def pass_time(g: Graphs, m: Machines, e: int) -> None:
    """To the next end of a job: its device is idle, and its successors may be ready."""
    m.now[e] = next_end(g, m, e, False)
    first = g.first[m.graph[e]]
    for p in range(g.sizes.shape[1]):
        for d in range(g.sizes[m.graph[e], p]):
            i = m.running[e, p, d]
            if i < 0 or m.end[e, i] > m.now[e]:
                continue
            m.running[e, p, d] = -1
            for q in range(g.after_at[first + i], g.after_at[first + i + 1]):
                j = g.after[q] - first
                m.missing[e, j] -= 1
                if m.missing[e, j] == 0:
                    make_ready(g, m, e, j)


@inlined
def list_choices(g: Graphs, m: Machines, e: int) -> None:
    """Each ready job on each place that has an idle device, the longest tails first, as many as there is room for."""
    first, most, n = g.first[m.graph[e]], m.choice_job.shape[1], 0
    for at in range(m.ready_count[e]):
        i = m.ready[e, at]
        for p in range(g.sizes.shape[1]):
            if n < most and g.times[first + i, p] != NEVER and idle_device(g, m, e, p) >= 0:
                m.choice_job[e, n], m.choice_place[e, n] = i, p
                n += 1
    m.choices[e] = n


@inlined
def coming(g: Graphs, m: Machines, e: int) -> int:
    """Of the jobs that wait for running ones only, the one with the longest tail; -1 for none."""
    k, found = m.graph[e], -1
    first = g.first[k]
    for i in range(g.first[k + 1] - first):
        if m.missing[e, i] > 0 and m.unplaced[e, i] == 0 and (found < 0 or g.tails[first + i] > g.tails[first + found]):
            found = i
    return found


@inlined
def best_place(g: Graphs, m: Machines, e: int, i: int) -> int:
    """Where a job would end first, were its devices idle."""
    first, best, soonest = g.first[m.graph[e]], 0, _LATE
    for p in range(g.sizes.shape[1]):
        time = g.times[first + i, p]
        if time != NEVER and g.sizes[m.graph[e], p] > 0:
            end = arrival(g, m, e, i, p, True) + time
            if end < soonest:
                best, soonest = p, end
    return best


@inlined
def least_elsewhere(g: Graphs, m: Machines, e: int, i: int, p: int) -> int:
    """The least time of a job on another place; ``NEVER`` for none."""
    first, least = g.first[m.graph[e]], NEVER
    for other in range(g.sizes.shape[1]):
        time = g.times[first + i, other]
        if other != p and time != NEVER and (least == NEVER or time < least):
            least = time
    return least


@inlined
def log_ratio(time: int, other: int) -> float:
    """Half the logarithm of two times' ratio, within 3; where one cannot be, it is the end of the range."""
    if time == NEVER:
        return 3.0
    if other == NEVER:
        return -3.0
    return float(min(3.0, max(-3.0, 0.5 * np.log(time / other))))


@inlined
def idle_elsewhere(g: Graphs, m: Machines, e: int, p: int) -> int:
    """For how long, as planned, no device of another place is idle."""
    soonest = _LATE
    for other in range(g.sizes.shape[1]):
        for d in range(g.sizes[m.graph[e], other]):
            if other != p:
                i = m.running[e, other, d]
                soonest = min(soonest, m.now[e] if i < 0 else max(m.now[e], m.expected[e, i]))
    return 0 if soonest == _LATE else soonest - m.now[e]


@inlined
def see_job(g: Graphs, m: Machines, e: int, i: int, p: int, seen: NDArray[np.float32], at: int) -> None:
    """What is seen of a job on a place."""
    k = m.graph[e]
    j, scale = g.first[k] + i, 4.0 / g.scale[k]
    elsewhere, ready = least_elsewhere(g, m, e, i, p), 0
    for q in range(g.after_at[j], g.after_at[j + 1]):
        ready += m.missing[e, g.after[q] - g.first[k]] == 1
    seen[e, at + 1] = max(0, g.times[j, p]) * scale
    seen[e, at + 2] = max(0, elsewhere) * scale
    seen[e, at + 3] = log_ratio(g.times[j, p], elsewhere)
    seen[e, at + 4] = g.tails[j] / g.scale[k]
    seen[e, at + 5] = (arrival(g, m, e, i, p, True) - m.now[e]) * scale
    seen[e, at + 6] = (g.after_at[j + 1] - g.after_at[j]) * 0.2
    seen[e, at + 7] = ready * 0.5
    seen[e, at + 11] = 1.0 if g.best[j] == p else 0.0


@inlined
def see_machine(g: Graphs, m: Machines, e: int, p: int, i: int, seen: NDArray[np.float32], at: int) -> None:
    """What is seen of the machine by a choice of a place; ``i`` is the job that is coming, or -1."""
    k, idle, devices = m.graph[e], 0, 0
    scale, soonest, elsewhere = 4.0 / g.scale[k], next_end(g, m, e, True), 0
    for d in range(g.sizes[k, p]):
        idle += m.running[e, p, d] < 0
    for other in range(g.sizes.shape[1]):
        if other != p:
            elsewhere += m.work[e, other]
            devices += g.sizes[k, other]
    seen[e, at + 8] = 0.0 if soonest == _LATE else (soonest - m.now[e]) * scale
    seen[e, at + 9] = idle * 0.5
    seen[e, at + 10] = idle_elsewhere(g, m, e, p) * scale
    seen[e, at + 12] = m.ready_count[e] * 0.1
    seen[e, at + 13] = m.work[e, p] / (g.sizes[k, p] * g.scale[k])
    seen[e, at + 14] = elsewhere / (max(1, devices) * g.scale[k])
    seen[e, at + 15] = m.left[e] / (g.first[k + 1] - g.first[k])
    if i >= 0:
        j = g.first[k] + i
        seen[e, at + 16] = g.tails[j] / g.scale[k]
        seen[e, at + 17] = log_ratio(g.times[j, p], least_elsewhere(g, m, e, i, p))
        seen[e, at + 18] = (arrival(g, m, e, i, p, True) - m.now[e]) * scale
        seen[e, at + 19] = max(0, g.times[j, p]) * scale


@inlined
def look(g: Graphs, m: Machines, e: int, seen: NDArray[np.float32], mask: NDArray[np.bool_]) -> None:
    """What is seen before a decision: a row for each choice, and the last for waiting, where anything runs."""
    most = m.choice_job.shape[1]
    for at in range(seen.shape[1]):
        seen[e, at] = 0.0
    awaited = coming(g, m, e)
    for n in range(most):
        mask[e, n] = n < m.choices[e]
        if mask[e, n]:
            see_job(g, m, e, m.choice_job[e, n], m.choice_place[e, n], seen, n * SEEN)
            see_machine(g, m, e, m.choice_place[e, n], awaited, seen, n * SEEN)
    mask[e, most] = next_end(g, m, e, False) < _LATE
    if mask[e, most]:
        p = 0
        if awaited >= 0:
            p = best_place(g, m, e, awaited)
            see_job(g, m, e, awaited, p, seen, most * SEEN)
        see_machine(g, m, e, p, awaited, seen, most * SEEN)
        seen[e, most * SEEN] = 1.0


@inlined
def close(g: Graphs, m: Machines, e: int) -> None:
    """The episode has ended: its makespan and its schedule are kept."""
    k, last = m.graph[e], 0
    for i in range(g.first[k + 1] - g.first[k]):
        last = max(last, m.end[e, i])
        m.ended_place[e, i], m.ended_device[e, i] = m.place[e, i], m.device[e, i]
        m.ended_start[e, i] = m.start[e, i]
    m.makespan[e], m.ended_graph[e] = last, k


@kept
def step(
    g: Graphs,
    m: Machines,
    actions: NDArray[np.int32],
    seen: NDArray[np.float32],
    rewards: NDArray[np.float32],
    ended: NDArray[np.bool_],
    mask: NDArray[np.bool_],
) -> None:
    """Take an action in each environment. A reward is minus the time that passed, as a share of the graph's scale."""
    for e in range(actions.shape[0]):
        action, before, scale = actions[e], m.now[e], g.scale[m.graph[e]]
        ended[e] = False
        rewards[e] = 0.0
        if action == BEGIN:
            begin(g, m, e)
        elif action == m.choice_job.shape[1]:
            pass_time(g, m, e)
        else:
            put(g, m, e, m.choice_job[e, action], m.choice_place[e, action])
        list_choices(g, m, e)
        while m.choices[e] == 0 and m.left[e] > 0:
            pass_time(g, m, e)
            list_choices(g, m, e)
        if action != BEGIN:
            rewards[e] = (before - m.now[e]) / scale
        if m.left[e] == 0:
            close(g, m, e)
            rewards[e] = (before - m.makespan[e]) / scale
            ended[e] = True
            begin(g, m, e)
            list_choices(g, m, e)
        look(g, m, e, seen, mask)
