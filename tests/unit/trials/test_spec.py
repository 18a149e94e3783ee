"""What a file of a trial may say, and the order in which its blocks are to be made."""

import pytest

from schedtel.errors import UsageError
from schedtel.trials.design import blocks, place_of
from schedtel.trials.spec import spec_of

LEARNER = {"policy": "ucb1", "arms": ["policy:short:rr=10", "policy:hogs:idle"], "window": "500ms", "no-trial": True}


def table(**changes):
    plain = {
        "workloads": ["web", "equal", "bursty"],
        "schedulers": ["eevdf", "policy:batch", "placebo", "agent:learner"],
        "rounds": 3,
        "repeats": 4,
        "duration": "2s",
        "agents": {"learner": dict(LEARNER)},
    }
    return plain | changes


def spec(**changes):
    return spec_of(table(**changes), "it")


def test_in_each_round_every_workload_has_a_phase_and_the_plans_of_a_repeat_are_those_of_all_methods():
    found = blocks(spec())
    assert len(found) == 4 * 4
    assert {block.scheduler for block in found[:4]} == {"eevdf", "policy:batch", "placebo", "agent:learner"}
    for repeat in range(1, 5):
        plans = {tuple((c.workload, c.seed) for c in block.phases) for block in found if block.repeat == repeat}
        assert len(plans) == 1
        phases = [place_of(name) for name, _ in plans.pop()]
        assert [number for number, _ in phases] == [1] * 3 + [2] * 3 + [3] * 3
        assert all({w for n, w in phases if n == number} == {"web", "equal", "bursty"} for number in (1, 2, 3))
    seeds = [cell.seed for block in found if block.scheduler == "eevdf" for cell in block.phases]
    assert len(set(seeds)) == len(seeds)


def test_orders_differ_between_repeats_and_more_repeats_change_no_block():
    orders = {tuple(cell.workload for cell in block.phases) for block in blocks(spec(repeats=20))}
    methods = {tuple(block.scheduler for block in blocks(spec(repeats=20)) if block.repeat == n) for n in range(1, 21)}
    assert len(orders) > 10
    assert len(methods) > 10
    assert blocks(spec(repeats=20))[: len(blocks(spec()))] == blocks(spec())


def test_an_agent_is_asked_what_its_table_says_for_this_process_with_a_seed_of_the_repeat(tmp_path):
    asked = spec(seed=7).asked("agent:learner", 3, str(tmp_path))
    assert asked.settings.arms == ("eevdf", "policy:short:rr=10", "policy:hogs:idle")
    assert asked.settings.is_trusted
    assert asked.settings.exploring.seed == 10
    assert str(asked.settings.scope).startswith("pid=")
    assert (asked.log, asked.duration, asked.save) == (str(tmp_path), None, None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"schedulers": ["placebo", "eevdf"]}, "the first scheduler must be eevdf"),
        ({"schedulers": ["eevdf", "agent:lerner"]}, "did you mean 'agent:learner'"),
        ({"schedulers": ["eevdf", "agent:x"], "agents": {}}, "there is no table of agents"),
        ({"schedulers": ["eevdf", "eevdf"]}, "twice"),
        ({"schedulers": ["eevdf", "polcy:batch"]}, "did you mean 'policy'"),
        ({"agents": {"learner": {**LEARNER, "windw": "1s"}}}, "did you mean 'window'"),
        ({"agents": {"learner": {**LEARNER, "for": "pid=1"}}}, "for is not for an agent in a trial"),
        ({"agents": {"learner": {**LEARNER, "policy": "nothing"}}}, None),
        ({"agents": {"learner": {"policy": "ucb1"}}}, "cannot run without arms"),
        ({"agents": {"learner": 1}}, "no table"),
        ({"agents": 1}, "must be a table"),
        ({"duration": "100ms"}, "settle is as long as a phase"),
        ({"duraton": "2s"}, None),
        ({"rounds": 0}, "rounds"),
        ({"repeats": 10_000, "rounds": 1000}, "more than 100,000 phases"),
        ({"workloads": []}, "workloads"),
        ({"x": 1}, "unknown field 'x'"),
    ],
)
def test_what_cannot_be_run_is_refused_in_one_line(changes, said):
    if said is None and "agents" in changes:  # which policies there are is known when it begins
        assert spec(**changes).asked("agent:learner", 1).settings.policy == "nothing"
        return
    with pytest.raises(UsageError) as error:
        spec(**changes)
    assert "\n" not in str(error.value)
    assert (said or "unknown field 'duraton'") in str(error.value)


@pytest.mark.parametrize("name", ["web", "/web", "x/web", "1/", "", "²/web"])
def test_what_is_no_phase_has_no_place(name):
    with pytest.raises(ValueError, match="no phase"):
        place_of(name)
    assert place_of("12/dir/web.toml") == (12, "dir/web.toml")
