"""Conditions on a window: what is understood, when a trigger goes off, and when not again."""

from types import SimpleNamespace

import pytest
from samples import moved

from schedtel.errors import UsageError
from schedtel.eventlog.triggers import Trigger
from schedtel.eventlog.watch import Watch
from schedtel.windows.schema import SUMMARY

MS = 1_000_000


def seen(trigger, window, column, *values):
    """For each value of the column whether the trigger goes off, disarmed each time that it does."""
    told = []
    for value in values:
        told.append(trigger.goes_off(moved(window, 5, **{column: value})))
        if told[-1]:
            trigger.disarm()
    return told


@pytest.mark.parametrize(
    ("text", "column", "below", "above"),
    [
        ("wakeup_wait_p99 > 10ms", "wakeup_wait_p99_ns", 10 * MS, 10 * MS + 1),
        ("wakeup_wait_p99_ns>10ms", "wakeup_wait_p99_ns", 10 * MS, 10 * MS + 1),
        (" burst_rt_max >= 1.5 s ", "burst_rt_max_ns", 1500 * MS - 1, 1500 * MS),
        ("migrations > 12", "migrations", 12, 13),
        ("runqueue_length_avg >= 2.5", "runqueue_length_avg", 2.49, 2.5),
        ("steal_ns > 0", "steal_ns", 0, 1),
        ("collector_rss_bytes > 100000000", "collector_rss_bytes", 100_000_000, 100_000_001),
    ],
)
def test_a_condition_is_a_column_a_sign_and_a_value_in_its_unit(windows, text, column, below, above):
    assert seen(Trigger(text), windows[0], column, below, above) == [False, True]


@pytest.mark.parametrize(("text", "broken"), [("fairness_jain < 0.9", 0.89), ("fairness_jain <= 0.9", 0.9)])
def test_a_condition_may_be_a_lower_bound(windows, text, broken):
    assert seen(Trigger(text), windows[0], "fairness_jain", 0.91, broken) == [False, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a column"),
        ("wakeup_wait_p99", "expected a column"),
        ("wakeup_wait_p99 > ", "expected a column"),
        ("wakeup_wait_p99 == 1ms", "expected a column"),
        ("wakeup_wait_p98 > 1ms", "did you mean 'wakeup_wait_p9"),
        ("host > 1", "no column 'host' of numbers"),
        ("wall_start > 1", "no column 'wall_start' of numbers"),
        ("wakeup_wait_p99 > 10", "expected a number and a unit"),
        ("wakeup_wait_p99 > 10 parsecs", "expected a number and a unit"),
        ("migrations > 10ms", "migrations is a number"),
        ("runqueue_length_avg > nan", "runqueue_length_avg is a number of tasks"),
        ("migrations > -1", "migrations is a number"),
        ("migrations > 1e3", "migrations is a number"),
        ("migrations > ٣", "migrations is a number"),
        ("x" * 10_000, "expected a column"),
    ],
)
def test_what_is_no_condition_is_refused_in_a_line(text, words):
    with pytest.raises(UsageError, match=words) as refused:
        Trigger(text)
    assert len(str(refused.value)) < 4_000
    assert str(refused.value).endswith(")")


def test_each_numeric_column_of_summary_can_be_watched():
    numeric = [column.name for column in SUMMARY if str(column.type) in ("int64", "double")]
    assert len(numeric) > 50
    assert [Trigger(f"{name} >= 0").column.name for name in numeric] == numeric


def test_a_value_that_wavers_around_the_bound_sets_it_off_once(windows):
    values = [ms * MS for ms in (8, 11, 12, 10, 11, 9.5, 11, 9, 11, 20)]
    expected = [False, True, False, False, False, False, False, False, True, False]
    assert seen(Trigger("rt_max > 10ms"), windows[0], "rt_max_ns", *map(int, values)) == expected


def test_with_a_lower_bound_a_value_has_to_rise_by_a_tenth_of_it(windows):
    values = (0.7, 0.82, 0.7, 0.87, 0.7, 0.89, 0.7)
    expected = [True, False, False, False, False, False, True]
    assert seen(Trigger("fairness_jain < 0.8"), windows[0], "fairness_jain", *values) == expected


def test_a_window_without_a_value_is_well(windows):
    assert seen(Trigger("rt_max > 10ms"), windows[0], "rt_max_ns", None, 11 * MS, 11 * MS, None, 11 * MS) == [
        *(False, True, False),
        *(False, True),
    ]


def test_the_description_says_which_window_and_by_how_much(windows):
    window = moved(windows[0], 12, rt_max_ns=12_345_678, migrations=1_234)
    assert Trigger("rt_max > 10ms").describe(window) == "window 12: rt_max_ns 12.3 ms > 10.0 ms"
    assert Trigger("migrations >= 1000").describe(window) == "window 12: migrations 1234 >= 1000"


# ---- the watch ----


class Given:
    """Windows as a live source yields them."""

    def __init__(self, windows):
        self._windows, self.closed = windows, False

    def __iter__(self):
        return iter(self._windows)

    def stop(self):
        """They end by themselves."""

    def close(self):
        self.closed = True


def watched(windows, *triggers, pause_ns):
    source = Given(windows)
    watch = Watch(source, [Trigger(text) for text in triggers], pause_ns)
    watch.start()
    watch.close()
    assert source.closed
    return watch, list(iter(watch.reason, None))


def of_waits(window, *values_ms):
    return [moved(window, number, rt_max_ns=value * MS) for number, value in enumerate(values_ms, 1)]


def test_one_reason_names_all_triggers_that_went_off(windows):
    _, reasons = watched(of_waits(windows[0], 5, 11), "rt_max > 10ms", "rt_max > 8ms", "rt_max > 1s", pause_ns=0)
    assert reasons == ["window 2: rt_max_ns 11.0 ms > 10.0 ms; window 2: rt_max_ns 11.0 ms > 8.00 ms"]


def test_within_the_pause_nothing_goes_off_and_it_is_counted(windows):
    watch, reasons = watched(of_waits(windows[0], 11, 5, 12, 13, 5, 14), "rt_max > 10ms", pause_ns=10**15)
    assert reasons == ["window 1: rt_max_ns 11.0 ms > 10.0 ms"]
    assert watch.held_back == 3


def test_what_is_still_broken_after_the_pause_goes_off_then(windows, monkeypatch):
    """The clock is asked at each window that breaks the condition."""
    moments = iter((0, 30, 61))
    clock = SimpleNamespace(monotonic_ns=lambda: next(moments) * 10**9)
    monkeypatch.setattr("schedtel.eventlog.watch.time", clock)
    watch, reasons = watched(of_waits(windows[0], 11, 5, 12, 13), "rt_max > 10ms", pause_ns=60 * 10**9)
    assert reasons == ["window 1: rt_max_ns 11.0 ms > 10.0 ms", "window 4: rt_max_ns 13.0 ms > 10.0 ms"]
    assert watch.held_back == 1


def test_what_ends_the_windows_is_raised_where_snapshots_are_written():
    def failing():
        raise UsageError("cannot go on: as a test has it (try another)")
        yield

    watch = Watch(Given(failing()), [Trigger("rt_max > 10ms")])
    watch.start()
    watch.stop()
    with pytest.raises(UsageError, match="as a test has it"):
        watch.reason()
