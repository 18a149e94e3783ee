"""Gaps in the text of ftrace, and whether windows count them."""

from types import SimpleNamespace

import pytest

from schedtel.doctor.observer import Gap, Observation, judge_losses, observe

MICROSECOND = 1_000


def line(cpu, microseconds, came, comes, comm="task"):
    return (
        f"          {comm}-{came}     [{cpu:03}] d..2.     1.{microseconds:06}: sched_switch: prev_comm={comm} "
        f"prev_pid={came} prev_prio=120 prev_state=S ==> next_comm=task next_pid={comes} next_prio=120\n"
    )


def gaps_of(*lines):
    observation = Observation()
    observe(iter(lines), observation)
    return [((gap.after_ns - 10**9) // MICROSECOND, (gap.before_ns - 10**9) // MICROSECOND) for gap in observation.gaps]


def test_a_task_that_leaves_and_did_not_come_is_a_gap():
    assert gaps_of(line(0, 1, 5, 6), line(0, 4, 6, 7), line(0, 9, 8, 5)) == [(4, 9)]


def test_each_cpu_by_itself():
    assert gaps_of(line(0, 1, 5, 6), line(1, 2, 7, 8), line(0, 3, 6, 5), line(1, 4, 8, 7)) == []


def test_the_first_switch_of_a_cpu_and_what_is_missing_around_the_idle_task_are_none():
    assert gaps_of(line(0, 1, 5, 6), line(0, 4, 0, 7)) == []
    assert gaps_of(line(0, 1, 5, 0), line(0, 4, 6, 7)) == []


def test_names_that_look_like_fields_and_other_lines():
    odd = line(0, 2, 6, 7, comm="a prev_pid=9 x")
    assert gaps_of("# tracer: nop\n", line(0, 1, 5, 6), "cpu 1 [LOST 3 EVENTS]\n", odd, line(0, 3, 7, 5)) == []


def window(start, end, skipped):
    return SimpleNamespace(start_ns=start, end_ns=end, losses={"programs_skipped": skipped})


@pytest.mark.parametrize(
    ("losses", "gap", "holds"),
    [
        ((0, 1), Gap(25_000, 28_000), True),
        ((1, 0), Gap(25_000, 28_000), False),
        ((0, 1), Gap(11_500, 28_000), True),  # in either window
        ((0, 0), Gap(3_000, 5_000), True),  # before the first window
        ((0, 0), Gap(32_000, 35_000), True),  # after the last one
        ((0, 0), Gap(11_500, 28_000), False),
    ],
)
def test_a_gap_must_be_in_a_window_that_counts_a_loss(losses, gap, holds):
    windows = [window(10_000, 20_000, losses[0]), window(20_000, 30_000, losses[1])]
    assert judge_losses(windows, Observation([gap], 1)).holds is holds


def test_where_ftrace_cannot_look_the_finding_says_so():
    finding = judge_losses([], Observation(unavailable="no tracefs"))
    assert (finding.holds, finding.figure) == (True, "not checked: no tracefs")
