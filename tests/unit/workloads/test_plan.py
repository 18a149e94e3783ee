"""Plans by arithmetic: means, variances and tails that the formulas of the distributions give, and equal bytes."""

import hashlib
import math
import subprocess
import sys

import numpy as np
import pytest

from schedtel.errors import UsageError
from schedtel.workloads.chance import Chance
from schedtel.workloads.plan import JOB, MOST_JOBS, make_plan, refuse_overload
from schedtel.workloads.presets import preset_names
from schedtel.workloads.spec import load_workload, parse_workload

S, MS = 1_000_000_000, 1_000_000


def planned(arrival='{ kind = "poisson", rate = 100 }', service='"1ms"', rest="", duration="100s", more=""):
    """The plan of one class ``x``."""
    text = f'duration = "{duration}"\n{more}\n[classes.x]\narrival = {arrival}\nservice = {service}\n{rest}\n'
    return make_plan(parse_workload(text, "test"))


def distance(samples, distribution):
    """The largest distance between the samples' distribution and a given one, times the root of their number.

    By Kolmogorov's limit it is above 1.95 in one of a thousand draws.
    """
    ordered = np.sort(np.asarray(samples, float))
    ranks = np.arange(len(ordered) + 1) / len(ordered)
    expected = distribution(ordered)
    return max(np.max(ranks[1:] - expected), np.max(expected - ranks[:-1])) * math.sqrt(len(ordered))


def test_poisson_arrivals_have_the_mean_and_the_variance_of_their_rate():
    """In pieces of 1 s, counts have mean 100 and variance 100; of 400 pieces the mean is within 4 x 10 / 20."""
    plan = planned(duration="400s")
    counts = np.bincount(plan.jobs["at_ns"] // S, minlength=400)
    assert len(counts) == 400
    assert abs(counts.mean() - 100) < 2
    assert abs(counts.var() - 100) < 100 * 4 * math.sqrt(2 / 400)


def test_gaps_of_poisson_arrivals_are_exponential():
    gaps = np.diff(planned().jobs["at_ns"])
    assert len(gaps) > 9_000
    assert distance(gaps, lambda x: 1 - np.exp(-x / (10 * MS))) < 1.95


def test_the_distance_tells_another_distribution():
    """What the tests of distributions rest on: gaps of another mean are told apart."""
    gaps = np.diff(planned().jobs["at_ns"])
    assert distance(gaps, lambda x: 1 - np.exp(-x / (9 * MS))) > 1.95
    assert distance(np.full(100, 5.0), lambda x: x / 10) > 1.95


@pytest.mark.parametrize(
    ("service", "distribution"),
    [
        ('{ kind = "exponential", mean = "2ms" }', lambda x: 1 - np.exp(-x / (2 * MS))),
        # x_m = mean (a - 1) / a, and P(X > x) = (x_m / x)^a.
        ('{ kind = "pareto", mean = "3ms", alpha = 1.5 }', lambda x: 1 - (1 * MS / x) ** 1.5),
        (
            '{ kind = "lognormal", mean = "2ms", sigma = 0.5 }',
            np.vectorize(
                lambda x: 0.5 + 0.5 * math.erf((math.log(x) - math.log(2 * MS) + 0.125) / (0.5 * math.sqrt(2)))
            ),
        ),
    ],
    ids=["exponential", "pareto", "lognormal"],
)
def test_services_have_the_distribution_of_their_formula(service, distribution):
    work = planned(service=service).jobs["work_ns"]
    assert len(work) > 9_000
    assert distance(work, distribution) < 1.95


def test_a_bimodal_service_has_two_values_and_the_share_of_the_long_one():
    work = planned(service='{ kind = "bimodal", short = "1ms", long = "50ms", long_share = 0.1 }').jobs["work_ns"]
    assert set(work) == {1 * MS, 50 * MS}
    share = np.mean(work == 50 * MS)
    assert abs(share - 0.1) < 4 * math.sqrt(0.09 / len(work))


def test_a_tail_is_cut_at_most():
    work = planned(service='{ kind = "pareto", mean = "3ms", alpha = 1.1, most = "20ms" }').jobs["work_ns"]
    assert work.max() == 20 * MS
    assert np.sum(work == 20 * MS) > 1


def test_mmpp_has_the_mean_rate_of_its_states_and_more_variance_than_poisson():
    """States of 1 s and 0.25 s with 20 and 220 a second: (20 + 55) / 1.25 = 60 a second."""
    plan = planned('{ kind = "mmpp", rates = [20, 220], dwell = ["1s", "250ms"] }', duration="2000s")
    counts = np.bincount(plan.jobs["at_ns"] // S, minlength=2000)
    # The variance of a state's share over 1,600 cycles is some 2 % of the mean.
    assert abs(counts.mean() - 60) < 6
    assert counts.var() > 5 * counts.mean(), "the index of dispersion of a Poisson process is 1"


def test_a_state_without_arrivals_is_a_pause():
    plan = planned('{ kind = "mmpp", rates = [0, 200], dwell = ["1s", "1s"] }', duration="200s")
    gaps = np.diff(plan.jobs["at_ns"])
    assert gaps.max() > S / 2, "200 a second alone have no such gap in 200 s: e^-100 each"
    assert abs(len(plan.jobs) - 20_000) < 8_000


def test_periodic_arrivals_are_on_their_grid_and_jitter_stays_below_its_bound():
    exact = planned('{ kind = "periodic", period = "20ms", offset = "5ms" }', duration="1s").jobs["at_ns"]
    assert exact.tolist() == [5 * MS + number * 20 * MS for number in range(50)]
    moved = planned('{ kind = "periodic", period = "20ms", jitter = "10ms" }', duration="1s").jobs["at_ns"]
    off = moved - np.arange(50) * 20 * MS
    assert off.min() >= 0
    assert 0 < off.max() < 10 * MS


def test_a_batch_arrives_at_one_moment():
    at = planned('{ kind = "poisson", rate = 10, batch = 8 }').jobs["at_ns"].reshape(-1, 8)
    assert (at == at[:, :1]).all()
    assert len(np.unique(at)) == len(at)


def test_phases_stretch_the_time_of_a_class():
    """5 s as they are, 5 s without, 5 s at four times the rate, and again."""
    phases = "".join(f'[[phases]]\nduration = "5s"\nrates = {{ x = {factor} }}\n' for factor in (1, 0, 4))
    at = planned('{ kind = "periodic", period = "100ms" }', rest=phases, duration="30s").jobs["at_ns"]
    by_phase = np.bincount(at // (5 * S), minlength=6)
    assert by_phase.tolist() == pytest.approx([50, 0, 200, 50, 0, 200], abs=1)


def test_a_closed_class_has_work_for_each_worker_beyond_the_end():
    plan = planned('"closed"', '{ kind = "exponential", mean = "10ms" }', "workers = 3", "10s")
    assert set(plan.jobs["worker"]) == {0, 1, 2}
    for worker in range(3):
        assert plan.jobs["work_ns"][plan.jobs["worker"] == worker].sum() > 10 * S
    assert len(plan.order) == 0


@pytest.mark.parametrize("name", preset_names())
def test_the_same_seed_gives_the_same_bytes_and_another_one_others(name):
    workload = load_workload(name)
    first, again = make_plan(workload), make_plan(load_workload(name))
    assert first.to_bytes() == again.to_bytes()
    assert first.sha256 == hashlib.sha256(first.to_bytes()).hexdigest()
    assert make_plan(workload.with_options(seed=2)).sha256 != first.sha256


def test_another_process_plans_the_same():
    """As hashes of texts are not, which Python seeds anew in each process."""
    program = (
        "from schedtel.workloads.plan import make_plan\nfrom schedtel.workloads.spec import load_workload\n"
        "print(make_plan(load_workload('editor')).sha256)"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert found.strip() == make_plan(load_workload("editor")).sha256


def test_another_class_or_service_leaves_arrivals_as_they_are():
    alone = planned(duration="10s")
    other_service = planned(service='"7ms"', duration="10s")
    beside = planned(rest='[classes.y]\narrival = { kind = "poisson", rate = 50 }\nservice = "1ms"', duration="10s")
    assert (alone.jobs["at_ns"] == other_service.jobs["at_ns"]).all()
    assert (alone.jobs == beside.of_class(0)).all()
    assert beside.of_class(1)["at_ns"][0] != alone.jobs["at_ns"][0]


@pytest.mark.parametrize("name", [name for name in preset_names() if load_workload(name).classes])
def test_a_longer_run_begins_as_the_shorter_one(name):
    workload = load_workload(name)
    short, long = (make_plan(workload.with_options(duration_ns=seconds * S)) for seconds in (5, 20))
    for number in range(len(workload.classes)):
        few, many = short.of_class(number), long.of_class(number)
        for worker in np.unique(few["worker"]):
            begun = few[few["worker"] == worker]
            assert len(begun) < np.sum(many["worker"] == worker) or not len(begun)
            assert (many[many["worker"] == worker][: len(begun)] == begun).all()


def test_normal_numbers_are_normal():
    found = Chance(1, "x", "y").normal(20_000)
    assert distance(found, np.vectorize(lambda x: 0.5 + 0.5 * math.erf(x / math.sqrt(2)))) < 1.95
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 4 / math.sqrt(20_000)


def test_jobs_are_released_in_the_order_of_their_moments():
    plan = make_plan(load_workload("editor"))
    at = plan.jobs["at_ns"][plan.order]
    assert (np.diff(at) >= 0).all()
    assert len(at) == sum(n for n, c in zip(plan.counts, plan.workload.classes, strict=True) if c.arrival.is_open)


def test_a_plan_has_as_many_bytes_as_its_jobs():
    plan = planned(duration="1s")
    head, workload, jobs = plan.to_bytes().split(b"\n", 2)
    assert (head, len(jobs)) == (b"schedtel plan 1", len(plan.jobs) * JOB.itemsize)
    assert b'"seed":1' in workload


def test_impossible_rates_are_refused_before_anything_is_drawn():
    with pytest.raises(UsageError, match=r"cannot plan 8,640,000,000 jobs: impossible rates .at most 1,000,000"):
        planned('{ kind = "poisson", rate = 100000 }', duration="24h")
    with pytest.raises(UsageError, match=r"impossible rate, a job every 5.00 µs"):
        planned('"closed"', '"5us"')
    assert MOST_JOBS == 1_000_000


def test_more_work_than_cpus_is_refused_unless_it_is_meant():
    heavy = {"arrival": '{ kind = "periodic", period = "10ms" }', "service": '"25ms"', "duration": "1s"}
    with pytest.raises(UsageError, match=r"2.50 CPUs of work arrive, for 2 CPUs .lower a rate, draw another"):
        refuse_overload(planned(**heavy), {0, 1})
    refuse_overload(planned(**heavy), {0, 1, 2})
    refuse_overload(planned(**heavy, more="overload = true"), {0, 1})
    with pytest.raises(UsageError, match="for CPU 1"):
        refuse_overload(planned(**heavy, rest="cpus = [1]"), set(range(8)))
