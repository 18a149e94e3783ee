"""Which arm is proposed first, by cards made up and by the one that ships."""

from schedtel.agent.cold_start import pretrained
from schedtel.agent.proposal import proposals, text_of

HERE = "policy:batch"


def figures(value, low, high):
    return {"value": value, "low": low, "high": high, "better_in": 3, "worst": "web", "worst_percent": 7.4}


CARD = {
    "experiments": [
        {
            "title": "one",
            "workloads": ["web", "pipe", "compile", "editor"],
            "by_itself_percent": {
                "scx:wide": figures(-40.0, -70.0, 2.0),
                "scx:sure": figures(-20.0, -25.0, -15.0),
                "scx:second": figures(-30.0, -40.0, -10.0),
            },
        },
        {"title": "other", "workloads": ["web"] * 5, "by_itself_percent": {HERE: figures(-9.0, -16.0, -1.0)}},
    ]
}


def without_sched_ext(arm):
    return "its kernel has no sched_ext" if arm.startswith("scx:") else ""


def test_the_arm_that_is_surest_to_cost_less_is_first_whichever_costs_least_on_average():
    (first,) = proposals(["scx:wide", "scx:sure", "scx:second", HERE, "eevdf"], said=CARD)
    assert (first.arm, first.experiment, first.workloads, first.missing) == ("scx:sure", "one", 4, "")


def test_where_it_is_missing_the_best_of_those_that_are_there_is_told_as_well():
    found = proposals(["scx:sure", "scx:second", HERE], without_sched_ext, CARD)
    assert [one.arm for one in found] == ["scx:sure", HERE]
    told = "{} by itself: {} against the default, less in 3 of {} workloads, at worst +7 % in web ({})".format
    assert text_of(found) == [
        f"first: {told('scx:sure', '-20.0 % [-25.0, -15.0]', 4, 'one')}",
        "  this machine cannot have it: its kernel has no sched_ext",
        f"here: {told(HERE, '-9.0 % [-16.0, -1.0]', 5, 'other')}",
    ]
    assert [one.arm for one in proposals(["scx:sure", "scx:wide"], without_sched_ext, CARD)] == ["scx:sure"]


def test_an_arm_that_was_not_shown_to_cost_less_is_not_proposed():
    assert proposals(["scx:wide", "eevdf", "policy:unknown"], said=CARD) == []
    assert text_of([]) == []


def test_of_the_shipped_policys_arms_interactive_first_is_proposed_and_without_sched_ext_nice_hogs():
    arms = pretrained().arms
    assert [one.arm for one in proposals(arms)] == ["scx:interactive"]
    first, here = proposals(arms, without_sched_ext)
    assert (first.arm, here.arm) == ("scx:interactive", "policy:hogs:nice=10")
    assert first.better_in == first.workloads
    assert here.high < 0 < here.worst_percent
