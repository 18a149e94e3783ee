"""Arrivals that are replayed from windows: by a reading of the same rows written another way."""

import numpy as np
import pytest

from schedtel.errors import UsageError
from schedtel.workloads.plan import make_plan
from schedtel.workloads.recorded import lives_of
from schedtel.workloads.spec import parse_workload

SPEC = 'duration = "10s"\n[classes.x]\narrival = {{ kind = "recorded", recording = "r", comm = "{}"{} }}\n{}'


def by_rows(windows, comm):
    """Identity → (arrival after the first window's start, CPU time), row after row."""
    lives = {}
    for window in windows:
        for row in window.tasks.to_pylist():
            known = row["comm"].startswith(comm) and row["left_censored"] is False
            if known and row["arrival_ns"] is not None and row["arrival_ns"] >= windows[0].start_ns:
                moment = row["arrival_ns"] - windows[0].start_ns
                lives[row["tid"], row["start_boottime_ns"]] = (moment, max(1, row["total_cpu_ns"]))
    return sorted(lives.values())


def test_lives_are_those_of_the_rows(windows):
    names = {row["comm"] for window in windows for row in window.tasks.to_pylist()}
    expected = {comm: by_rows(windows, comm) for comm in ("", *names)}
    assert len(expected[""]) > 1
    for comm, lives in expected.items():
        moments, work = lives_of(windows, comm)
        assert sorted(zip(moments.tolist(), work.tolist(), strict=True)) == lives
        assert (np.diff(moments) >= 0).all()


def planned(lives, comm="make", more="", rest=""):
    """A plan whose recording has these lives, and the arguments with which it was read."""
    asked = []

    def read(recording, prefix):
        asked.append((recording, prefix))
        return tuple(np.array(column, np.int64) for column in lives)

    return make_plan(parse_workload(SPEC.format(comm, more, rest), "test"), read), asked


def test_a_replay_has_the_moments_and_the_work_of_the_recording():
    plan, asked = planned(([5, 7, 7, 20_000_000_000], [100, 0, 300, 400]))
    assert asked == [("r", "make")]
    assert plan.jobs["at_ns"].tolist() == [5, 7, 7], "the fourth came after 10 s"
    assert plan.jobs["work_ns"].tolist() == [100, 1, 300]


def test_a_replay_may_be_faster_and_have_other_work():
    plan, _ = planned(([0, 1000, 2000], [1, 1, 1]), more=", speed = 2", rest='service = "3us"')
    assert plan.jobs["at_ns"].tolist() == [0, 500, 1000]
    assert set(plan.jobs["work_ns"]) == {3000}


def test_a_recording_without_such_tasks_is_refused():
    with pytest.raises(UsageError, match=r"no task 'make' arrived in r .give another comm"):
        planned(([], []))
