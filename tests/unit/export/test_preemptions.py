"""Series of preemptions: victim and preemptor, bounded."""

import pytest
from exporting import (
    named,
    preempted,
    totals_of,
)


def test_who_preempted_whom_adds_up_to_the_preempt_waits(windows):
    totals = totals_of(windows)
    distributions = [window.metrics.preempt_wait for window in windows]
    counted = sum(named(totals, "schedtel_preemption_waits_total").values())
    assert counted == sum(found.count for found in distributions) > 0
    waited = sum(named(totals, "schedtel_preemption_wait_seconds_total").values())
    assert waited == pytest.approx(sum(found.count * (found.mean_ns or 0) for found in distributions) / 1e9)


def test_pairs_without_room_are_other_and_so_is_a_cgroup_without_a_name(windows):
    first = preempted(windows[0], ("/a", "/b", 2, 500), ("/b", "/a", 1, 900), ("/c", None, 1, 2000), ("/c", "/a", 1, 1))
    rest = ("other", "other", 1, 9), (None, "/a", 1, 10_000)
    second = preempted(windows[1], ("/a", "/b", 5, 70), ("/c", None, 1, 3), *rest)
    totals = totals_of([first, second], max_cgroups=2)
    assert named(totals, "schedtel_preemption_waits_total") == {
        ("/c", "other"): 2,
        ("/b", "/a"): 1,
        ("other", "other"): 2 + 1 + 5 + 1 + 1,
    }
    assert named(totals, "schedtel_preemption_wait_seconds_total")["/c", "other"] == pytest.approx(2003e-9)
