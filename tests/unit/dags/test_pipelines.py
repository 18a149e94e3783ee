"""Periodic pipelines: figures of another program of the same instance, and what holds for every schedule."""

import itertools

import pytest
from refusals import refused

from schedtel.dags.pipelines import configurations, edf, hyperperiod, jobs_of, met, pipelines
from schedtel.errors import UsageError

TIGHT = (875, 350, 875, 350)


@pytest.mark.parametrize(("scale", "share"), [(1.0, 1.0), (1.6, 0.977), (2.0, 0.899)])
def test_edf_over_all_configurations(scale, share):
    sets = [pipelines(periods, scale) for periods in configurations()]
    jobs = [jobs_of(chains) for chains in sets]
    assert len(sets) == 81
    assert sum(map(len, jobs)) == 2054
    counts = [met(some, edf(chains)) for some, chains in zip(jobs, sets, strict=True)]
    assert sum(counts) / 2054 == pytest.approx(share, abs=0.0005)


def test_without_fusion_edf_misses_some():
    sets = [pipelines(periods, 1.0) for periods in configurations()]
    found = sum(met(jobs_of(chains), edf(chains, fused=False)) for chains in sets)
    assert found / 2054 == pytest.approx(0.858, abs=0.0005)


def test_the_most_that_can_meet_their_deadlines():
    """And its schedule: each chain whole and in order, between release and deadline, one stretch a device at a time."""
    pytest.importorskip("ortools", reason="OR-Tools is not installed (pip install 'schedtel[learn]')")
    from schedtel.dags.deadlines import most_met  # noqa: PLC0415

    chains = pipelines(TIGHT, 1.6)
    jobs = jobs_of(chains)
    assert (met(jobs, edf(chains)), len(jobs)) == (12, 14)
    most = most_met(chains, 30)
    assert (most.met, most.proven) == (14, True)
    for device in (0, 1):
        spans = sorted((one.start, one.end) for one in most.stretches if one.device == device)
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
    for number, job in enumerate(jobs):
        steps = sorted((one for one in most.stretches if one.job == number), key=lambda one: one.first)
        chain = chains[job.pipeline]
        assert [kernel for one in steps for kernel in range(one.first, one.last + 1)] == list(range(chain.length))
        assert job.release <= steps[0].start
        assert steps[-1].end <= job.deadline
        assert all(one.end - one.start == chain.times[one.first, one.last][one.device] for one in steps)
        assert all(a.end <= b.start for a, b in itertools.pairwise(steps))


def test_a_hyperperiod_is_a_multiple_of_each_period():
    for periods in configurations():
        chains = pipelines(periods, 1.0)
        assert all(hyperperiod(chains) % chain.period == 0 for chain in chains)


def test_periods_and_scales_that_are_not_there_are_refused():
    refused(UsageError, pipelines, (875, 350), 1.0)
    refused(UsageError, pipelines, (875, 350, 875, 351), 1.0)
    refused(UsageError, pipelines, TIGHT, 0.0)
    refused(UsageError, pipelines, TIGHT, float("nan"))
