"""Histories as a tracer prints them, read and replayed, against the model of live windows: to the nanosecond."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from histories import (
    COMPLETES_ON_THE_EDGE,
    DEAD_BEFORE_THE_WARM_UP_IS_DRAINED,
    FIRST_CPU_ON_THE_EDGE,
    UNHASHED_BEFORE_ITS_LAST_SWITCH,
    Collect,
    History,
    printed_histories,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st
from model import Arrive, Event, Switch, Wake
from readings import assert_cpus_equal_the_model, assert_rows_equal_the_model, total_of
from traces import PERF, STYLES, switch, text_of

from schedtel.records.layout import BLOCKED, CPU_BUSY, PREEMPT_WAIT, RUNNING, WAKEUP_WAIT
from schedtel.records.raw_window import RawWindow
from schedtel.traces.events import EVENT, Kind, PrevState
from schedtel.traces.order import InOrder
from schedtel.traces.replay import Replay
from schedtel.traces.text import ReadProgress, parse


def without_second_wakeups(history: History) -> Iterator[Event]:
    """The events of a history but for wakeups of a task that waits since one: by those, an import notices a gap."""
    woken = set()
    for event in history.events:
        match event:
            case Wake(_, task) if task in woken:
                continue
            case Wake(_, task) | Arrive(_, task):
                woken.add(task)
            case Switch(_, _, prev, following):
                woken -= {prev, following}
        yield event


def play(history: History, style: str) -> list[RawWindow]:
    """A history printed, read again, and looked at through the history's own edges."""
    # Before its first event, a CPU of a trace is unknown; in the model it is idle.
    silent = [switch(style, 0, cpu, (f"swapper/{cpu}", 0), (f"swapper/{cpu}", 0), "R") for cpu in range(history.cpus)]
    lines = [*silent, *(line for event in without_second_wakeups(history) if (line := text_of(style, event)))]
    text = "".join(f"{line}\n" for line in lines)
    reading = ReadProgress("perf" if style == PERF else "ftrace")
    events = np.concatenate(list(InOrder([parse(text.encode(), reading)])) or [parse(b"", reading)])
    assert (reading.not_understood, len(events)) == (0, text.count("\n"))
    replay, windows = Replay(0, history.first_edge), []
    replay.know_cpus(history.cpus)
    collects = [step for step in history.steps if isinstance(step, Collect)]
    for step in collects:
        events = events[replay.happen(events) :]
        window = replay.collect(lambda _, step=step: step.next_edge)
        windows.append(dataclasses.replace(window, tasks=window.tasks.copy()))
    return windows[1:]  # the first is the warm-up of a live run


@given(history=printed_histories, style=st.sampled_from(STYLES))
@settings(max_examples=150)
@example(FIRST_CPU_ON_THE_EDGE, PERF)
@example(DEAD_BEFORE_THE_WARM_UP_IS_DRAINED, PERF)
@example(UNHASHED_BEFORE_ITS_LAST_SWITCH, PERF)
@example(COMPLETES_ON_THE_EDGE, PERF)
def test_every_row_and_every_cpu_of_an_import_equal_the_model(history, style):
    windows = play(history, style)
    assert_rows_equal_the_model(history, windows, 1)
    assert_cpus_equal_the_model(history, windows)


@given(history=printed_histories)
@settings(max_examples=50)
def test_all_styles_of_print_say_the_same(history):
    expected, *others = [[total_of(window) for window in play(history, style)] for style in STYLES]
    assert others == [expected] * len(others)


_any_event = st.tuples(
    st.integers(0, 3_000),  # time
    st.sampled_from(list(Kind)[:-1]),
    st.sampled_from([0, 1, 2, 3, 4, 5, 4_194_304, 9_999_999]),  # tid
    st.sampled_from([0, 1, 2, 3, 4, 5, 4_194_304, 9_999_999]),  # the other tid
    st.sampled_from([0, 1, 2, 8191, 8192, 65_535]),  # CPU
    st.sampled_from(list(PrevState)),
    st.sampled_from([0, 1, 3]),  # tgid
    st.integers(0, 200),  # prio
)


@given(events=st.lists(_any_event, max_size=60), in_order=st.booleans())
@settings(max_examples=300)
def test_law_1_holds_whatever_a_trace_says(events, in_order):
    """A trace may be damaged or made up: the windows may mean little, but they add up, and the import does not fail."""
    made = np.zeros(len(events), EVENT)
    names = ("time_ns", "kind", "tid", "other", "cpu", "state", "tgid", "prio")
    for name, values in zip(names, np.array(events, np.int64).reshape(-1, len(names)).T, strict=True):
        made[name] = values
    made["time_ns"] += 1_000
    if in_order:
        made = made[np.argsort(made["time_ns"], kind="stable")]
    replay = Replay(1_000, 2_000)
    for next_edge in (3_000, 4_000, 5_000):
        made = made[replay.happen(made) :]
        window = replay.collect(lambda _, edge=next_edge: edge)
        time = window.tasks["bank"]["time_ns"][:, [RUNNING, WAKEUP_WAIT, PREEMPT_WAIT, BLOCKED]].sum(axis=1)
        if in_order:
            assert (time == window.tasks["alive_ns"]).all()
        assert (window.tasks["alive_ns"] <= 1_000).all()
        assert (window.cpus["time_ns"][:, CPU_BUSY:].sum(axis=1) == 1_000).all()


def test_every_one_of_many_cpus_has_slots_for_new_tasks():
    cpus = 300
    events = np.zeros(cpus, EVENT)
    events["time_ns"] = 1_000 + np.arange(cpus)
    events["kind"], events["cpu"] = Kind.SWITCH, np.arange(cpus)
    events["tid"], events["other"] = 1_000 + np.arange(cpus), 5_000 + np.arange(cpus)
    replay = Replay(1_000, 1_000_000)
    replay.know_cpus(cpus)
    assert replay.happen(events) == cpus
    window = replay.collect(lambda start: start + 1_000_000)
    assert window.losses["state_failed"] == 0
    assert len(window.tasks) == 2 * cpus
