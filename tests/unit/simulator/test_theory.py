"""Long simulations against queueing theory."""

import math

import pytest
from simulated import Run, planned

OPEN = """
[classes.job]
arrival = {{ kind = "poisson", rate = {rate} }}
service = {{ kind = "exponential", mean = "10ms" }}
workers = 1024
"""


def erlang_c_wait_ms(servers, load, mean_ms):
    """Mean wait of an M/M/c queue; ``load`` is of all servers together, in servers (A. K. Erlang, 1917)."""
    waiting = load**servers / math.factorial(servers) * servers / (servers - load)
    probability = waiting / (sum(load**k / math.factorial(k) for k in range(servers)) + waiting)
    return probability * mean_ms / (servers - load)


@pytest.mark.parametrize("cpus", [1, 2, 4])
def test_first_come_first_served_waits_as_erlang_says(cpus):
    """80 % load, 40,000 jobs; the interval is of about four standard errors of such a run."""
    plan = planned(OPEN.format(rate=80 * cpus), f"{500 // cpus}s")
    run = Run(plan, 0, cpus=cpus, scheduler="fifo", slice_ns=10**10)
    waits = [rt for rt, _ in run.jobs("job")]
    assert sum(waits) / len(waits) == pytest.approx(erlang_c_wait_ms(cpus, 0.8 * cpus, 10), rel=0.12)


@pytest.mark.parametrize("scheduler", ["vtime", "eevdf"])
def test_processor_sharing_slows_all_jobs_down_alike(scheduler):
    """With slices that are short against the jobs, a CPU at load r is shared, and TAT is work / (1 - r) on average."""
    plan = planned(OPEN.format(rate=70), "500s")
    run = Run(plan, 0, scheduler=scheduler, slice_ns=100_000)
    tats = [tat for _, tat in run.jobs("job")]
    assert sum(tats) / len(tats) == pytest.approx(10 / (1 - 0.7), rel=0.12)


@pytest.mark.parametrize("weights", [(0, 0), (0, 5), (-5, 5), (0, 0, 19), (-20, 0, 10)])
def test_eevdf_shares_by_weight(weights):
    """No task is further from its share than a slice of each: the bound of EEVDF's lag, and one tick."""
    text = "".join(
        f'[classes.c{n}]\narrival = "closed"\nservice = "3600s"\nnice = {nice}\n' for n, nice in enumerate(weights)
    )
    run = Run(planned(text, "2s"), 0, slice_ns=3_000_000)
    table = {0: 1024, 5: 335, -5: 3121, 19: 15, -20: 88761, 10: 110}
    total = sum(table[nice] for nice in weights)
    elapsed = run.state.machine["now_ns"][0] - 10**9
    charged = run.state.tasks["total_cpu_ns"].copy()
    current = run.state.cpus["current"][0]
    charged[current] += run.state.machine["now_ns"][0] - run.state.cpus["charged_ns"][0]
    for task, nice in zip(charged.tolist(), weights, strict=True):
        assert abs(task - elapsed * table[nice] / total) <= 2 * 3_000_000 * len(weights)


@pytest.mark.parametrize(("cpus", "hogs"), [(2, 3), (4, 6), (4, 5)])
def test_hogs_that_cannot_be_spread_evenly_share_all_the_same(cpus, hogs):
    """Each has cpus / hogs of a CPU, over 60 s, within a tenth."""
    run = Run(planned(f'[classes.hog]\narrival = "closed"\nservice = "3600s"\nworkers = {hogs}\n', "60s"), 0, cpus=cpus)
    elapsed = run.state.machine["now_ns"][0] - 10**9
    assert run.state.tasks["total_cpu_ns"] / elapsed == pytest.approx(cpus / hogs, rel=0.1)
