"""What the kernel tells only in total, and what the collector finds itself: which window it is counted in."""

import numpy as np
from edges import EDGE, NEXT_EDGE, collect

from schedtel.kernel.losses import LossCounts
from schedtel.records import layout


def skips(backend, *totals):
    """Has the kernel tell these totals of skipped runs, one after the other."""
    answers = iter(totals)
    backend._skipped = lambda: next(answers)


def late_at_the_next_edge(backend):
    answers = iter([False])
    backend._is_ahead = lambda _: next(answers, True)


def two_windows(backend):
    return [collect(backend, now, end).losses["programs_skipped"] for now, end in ((EDGE + 1, 3_000), (3_001, 4_000))]


def test_runs_skipped_before_the_edge_are_of_that_window_alone(backend):
    skips(backend, 3, 3, 3, 3)
    assert two_windows(backend) == [3, 0]


def test_runs_skipped_between_the_readings_around_the_edge_are_of_both_windows(backend):
    skips(backend, 3, 5, 6, 6)
    assert two_windows(backend) == [3 + 2, 2 + 1]


def test_without_a_reading_before_the_edge_all_is_of_both_windows(backend):
    late_at_the_next_edge(backend)
    skips(backend, 4, 5, 5, 5)
    assert two_windows(backend) == [5, 5]


def test_runs_skipped_around_the_start_are_of_the_first_window_too(library):
    from machine import HostBackend  # noqa: PLC0415  (a machine whose warm-up is still open)

    backend = HostBackend(library, 1, 1_000, min_activity_ns=0)
    skips(backend, 3, 5, 5, 5)
    backend.open_first_at(1_001, EDGE)
    assert collect(backend).losses["programs_skipped"] == 2


def test_an_edge_that_passed_while_it_was_set_makes_both_windows_inexact(backend):
    backend._check_ahead = type(backend).__mro__[2]._check_ahead.__get__(backend)
    answers = iter([True, True, False])  # before the edge, before the opening, and after it
    backend._is_ahead = lambda _: next(answers, True)
    found = [collect(backend, end + 1, end + 1_000).losses["state_failed"] for end in (EDGE, NEXT_EDGE, 4_000, 5_000)]
    assert found == [0, 1, 1, 0]


def test_what_the_collector_finds_leaves_the_programs_counters_alone():
    """The programs raise the mapped counters by atomics, which an addition by the collector would overwrite."""
    counters = np.zeros(1, layout.LOSSES)
    losses = LossCounts(counters[0], 0)
    losses.add("state_failed", 2, 7)
    assert not counters.view("<u8").any()
    counters["state_failed"][0, 1] += 3
    assert [losses.take(window)["state_failed"] for window in (7, 8, 9)] == [5, 0, 0]
