"""Small graphs, and all schedules of them: written from the rules, without the library's schedulers and checker."""

import itertools

import numpy as np

from schedtel.dags.dag import NEVER, Dag, Edge, Kind


def random_graph(draw, jobs, *, cpus=2, gpus=1, own=False):
    """A graph with transfers, in which some jobs cannot run on a GPU."""
    times = tuple(
        (int(draw.integers(1, 25)), NEVER if draw.random() < 0.15 else int(draw.integers(1, 13))) for _ in range(jobs)
    )
    pairs = itertools.combinations(range(jobs), 2)
    edges = tuple(Edge(a, b, int(draw.integers(0, 7))) for a, b in pairs if draw.random() < 0.35)
    return Dag("random", (Kind("cpu", cpus), Kind("gpu", gpus, own)), tuple(f"j{n}" for n in range(jobs)), times, edges)


def _memory(dag, device):
    first = 0
    for number, kind in enumerate(dag.kinds):
        if device < first + kind.count:
            return number, device - first if kind.own_memory else None
        first += kind.count
    raise LookupError(device)


def least_makespan(dag):
    """The optimum, by trying every order and every assignment; a start as early as both allow."""
    devices, jobs = range(sum(kind.count for kind in dag.kinds)), range(len(dag.jobs))
    needs = [[(e.before, e.transfer) for e in dag.edges if e.after == job] for job in jobs]
    orders = [
        order
        for order in itertools.permutations(jobs)
        if all(order.index(before) < order.index(job) for job in jobs for before, _ in needs[job])
    ]
    best = np.inf
    for on in itertools.product(devices, repeat=len(jobs)):
        kinds = [_memory(dag, device) for device in on]
        if any(dag.times[job][kinds[job][0]] == NEVER for job in jobs):
            continue
        for order in orders:
            free, ends = dict.fromkeys(devices, 0), {}
            for job in order:
                arrivals = [ends[b] + (t if kinds[b] != kinds[job] else 0) for b, t in needs[job]]
                ends[job] = free[on[job]] = max([free[on[job]], *arrivals]) + dag.times[job][kinds[job][0]]
            best = min(best, *([max(ends.values())]))
    return int(best)


def least_without_waiting(dag):
    """The least makespan if no idle device that can run a ready job ever waits; a ready one's predecessors are over."""
    jobs, devices = range(len(dag.jobs)), range(sum(kind.count for kind in dag.kinds))
    needs = [[(e.before, e.transfer) for e in dag.edges if e.after == job] for job in jobs]

    def least(now, free, done):
        if len(done) == len(jobs):
            return max(end for end, _ in done.values())
        ready = [j for j in jobs if j not in done and all(b in done and done[b][0] <= now for b, _ in needs[j])]
        pairs = [
            (job, device)
            for device in devices
            for job in ready
            if free[device] <= now and dag.times[job][_memory(dag, device)[0]] != NEVER
        ]
        if not pairs:
            later = [end for end, _ in done.values() if end > now] + [moment for moment in free if moment > now]
            return least(min(later), free, done)
        return min(_placed(now, free, done, job, device) for job, device in pairs)

    def _placed(now, free, done, job, device):
        here = _memory(dag, device)
        start = max([now, *(done[b][0] + (t if done[b][1] != here else 0) for b, t in needs[job])])
        end = start + dag.times[job][here[0]]
        return least(now, (*free[:device], end, *free[device + 1 :]), {**done, job: (end, here)})

    return least(0, (0,) * len(devices), {})
