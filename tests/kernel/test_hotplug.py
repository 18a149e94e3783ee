"""A CPU that goes offline and comes back: its last task does not run on, and the laws hold in every window."""

import itertools
import time
from contextlib import nullcontext

import pytest
from bcc_here import mounted_tracefs
from hotplug import booked_ns, hotpluggable_cpu, offline, stopper_of
from observe import collecting, judge

from schedtel.windows import invariants as laws

#: The stopper's last slice is accounted up to the moment at which the kernel says that the CPU is dead.
SLACK_NS = 5_000_000


@pytest.fixture(params=["core", "bcc"])
def by(request):
    with mounted_tracefs() if request.param == "bcc" else nullcontext():
        yield request.param


@pytest.fixture
def cpu():
    return hotpluggable_cpu()


def offline_ns(windows, cpu):
    """How long the windows say that a CPU was offline: a window without a row of the CPU says all of it."""
    total = 0
    for window in windows:
        rows = [row for row in window.cpus.to_pylist() if row["cpu"] == cpu]
        total += sum(row["offline_ns"] for row in rows) if rows else window.end_ns - window.start_ns
    return total


def assert_laws(windows):
    for before, window in itertools.pairwise([None, *windows]):
        assert [finding for finding in laws.check(window, before) if not finding.holds] == []


def judged(times, collected, cpu, booked):
    """The laws hold, the stopper ran as the kernel says, and the CPU was offline when it was told to be."""
    assert_laws(collected.windows)
    ran = collected.sum("cpu_ns", tid=stopper_of(cpu))
    assert abs(ran - booked) <= SLACK_NS, "the stopper's time is not what the kernel has booked"
    assert times.coming - times.gone <= offline_ns(collected.windows, cpu) <= times.come - times.going


def test_a_cpu_that_is_offline_over_many_windows(by, cpu):
    def observe():
        stopper = stopper_of(cpu)
        with collecting("100ms", backend=by) as collected:
            collected.await_windows(1)
            before = booked_ns(stopper)
            with offline(cpu) as times:
                time.sleep(0.45)
            collected.await_windows(1)
            booked = booked_ns(stopper) - before
        return collected, times, booked

    def verdict(collected, times, booked):
        assert any(cpu not in window.cpus["cpu"].to_pylist() for window in collected.windows)
        judged(times, collected, cpu, booked)

    judge(observe, verdict)


def test_a_cpu_that_goes_and_comes_within_one_window(by, cpu):
    def observe():
        stopper = stopper_of(cpu)
        with collecting("1m", backend=by) as collected:
            time.sleep(0.1)
            before = booked_ns(stopper)
            with offline(cpu) as times:
                time.sleep(0.2)
            time.sleep(0.1)
            booked = booked_ns(stopper) - before
        return collected, times, booked

    judge(observe, lambda collected, times, booked: judged(times, collected, cpu, booked))


def test_a_cpu_that_was_offline_at_attach_has_no_row_until_it_comes(by, cpu):
    def observe():
        with offline(cpu) as times:
            context = collecting("100ms", backend=by)
            collected = context.__enter__()
            try:
                collected.await_windows(2)
                missing = len(collected.windows)
            except BaseException:
                context.__exit__(None, None, None)
                raise
        collected.await_windows(2)
        context.__exit__(None, None, None)
        return collected, times, missing

    def verdict(collected, times, missing):
        assert_laws(collected.windows)
        rows = [cpu in window.cpus["cpu"].to_pylist() for window in collected.windows]
        assert not any(rows[:missing])
        assert rows[-1]
        started = collected.windows[0].start_ns
        assert times.coming - started <= offline_ns(collected.windows, cpu) <= times.come - started

    judge(observe, verdict)
