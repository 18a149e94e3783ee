"""Lines of perf, ftrace and trace-cmd: every form of an event, and lines that only look like one."""

import time
from pathlib import Path

import numpy as np
import pytest
import traces
from hypothesis import given
from hypothesis import strategies as st
from traces import FTRACE, PERF, STYLES

from schedtel.traces.events import EVENT, Kind, PrevState
from schedtel.traces.order import InOrder
from schedtel.traces.text import ReadProgress, detect, parse

IDLE, A = ("swapper/0", 0), ("task-a", 101)


def read(text: str, form: str = "perf") -> tuple[np.ndarray, ReadProgress]:
    reading = ReadProgress(form)
    return parse(text.encode(), reading), reading


def form_of(style: str) -> str:
    return "perf" if style == PERF else "ftrace"


def seen(event: np.void, *names: str) -> tuple[object, ...]:
    return tuple(event[name].item() for name in names)


@pytest.mark.parametrize("style", STYLES)
def test_a_switch_is_read_in_every_style(style):
    text = traces.switch(style, 12_345_678_901_234, 3, A, ("b c", 7), "D", prio=110, next_prio=-1)
    [event], reading = read(text, form_of(style))
    assert seen(event, "time_ns", "cpu", "kind", "state") == (12_345_678_901_234, 3, Kind.SWITCH, PrevState.BLOCKED)
    assert seen(event, "tid", "comm", "prio", "other", "other_comm", "other_prio") == (
        101,
        b"task-a",
        110,
        7,
        b"b c",
        -1,
    )
    assert (reading.lines, reading.not_understood) == (1, 0)


@pytest.mark.parametrize(
    ("letters", "expected"),
    [
        ("R", PrevState.RUNNING),
        ("R+", PrevState.PREEMPTED),
        ("S", PrevState.BLOCKED),
        ("S+", PrevState.PREEMPTED),
        ("D", PrevState.BLOCKED),
        ("D|K", PrevState.BLOCKED),
        ("D|W", PrevState.BLOCKED),
        ("D|K+", PrevState.PREEMPTED),
        ("I", PrevState.BLOCKED),
        ("T", PrevState.BLOCKED),
        ("t", PrevState.BLOCKED),
        ("P", PrevState.BLOCKED),
        ("X", PrevState.DEAD),
        ("Z", PrevState.DEAD),
        ("x", PrevState.PARKED_OR_DEAD),
    ],
)
def test_every_letter_of_a_state(letters, expected):
    [event], _ = read(traces.switch(PERF, 1, 0, A, IDLE, letters))
    assert event["state"] == expected


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "comm",
    [
        "with space",
        "a:b [120] R",
        "x prev_pid=1",
        "==> b",
        "[000] 1.5: y",
        "a-7",
        "<...>",
        "kworker/0:1-ev",
        "1 2 3",
        "é\x7f",
        "exit: lost 5",
    ],
)
def test_a_name_may_be_anything(style, comm):
    name = comm.encode()[:15]
    before, after = (name.decode(), 55), (name.decode(), 56)
    text = f"{traces.switch(style, 5, 1, before, after)}\n{traces.woken(style, 6, 1, after)}\n"
    events, reading = read(text, form_of(style))
    assert reading.not_understood == 0
    assert [seen(event, "cpu", "time_ns", "tid", "comm") for event in events] == [(1, 5, 55, name), (1, 6, 56, name)]
    assert seen(events[0], "other", "other_comm") == (56, name)


#: Real output: perf 6.1; ftrace with record-tgid, trace-cmd 3.1 with an instance, and a wakeup as Linux 3.10 prints it.
PRINTED = Path(__file__).parent / "printed"


def test_lines_as_perf_prints_them():
    events, reading = read((PRINTED / "perf.txt").read_text())
    assert (reading.lines, reading.not_understood, reading.events["sched_stat_runtime"]) == (9, 0, 1)
    names = ("kind", "tid", "other", "current", "tgid")
    assert [seen(event, *names) for event in events] == [
        (Kind.WAKEUP, 18, 0, 17438, 0),
        (Kind.EXEC, 17440, 17440, 17440, 17440),
        (Kind.NEWTASK, 17440, 17442, 17440, 0),
        (Kind.FORK, 17440, 17442, 17440, 0),
        (Kind.ARRIVAL, 17442, 0, 17440, 0),
        (Kind.EXIT, 17442, 0, 17442, 0),
        (Kind.SWITCH, 24179, 0, 24179, 0),
        (Kind.WAKING, 18, 0, 30054, 30053),
    ]
    assert seen(events[1], "comm", "time_ns") == (b"sh", 11_575_848_203_774)
    assert events[2]["argument"] == 0x4100
    assert events[7]["time_ns"] == 12_491_783_898_000


def test_lines_as_ftrace_and_trace_cmd_print_them():
    events, reading = read((PRINTED / "ftrace.txt").read_text(), "ftrace")
    assert reading.not_understood == 0
    names = ("kind", "cpu", "tid", "other", "current", "tgid")
    assert [seen(event, *names) for event in events] == [
        (Kind.ARRIVAL, 1, 30002, 0, 29990, 29990),
        (Kind.SWITCH, 1, 21, 0, 21, 21),
        (Kind.SWITCH, 0, 0, 30002, 0, 0),
        (Kind.EXEC, 0, 30002, 30003, 30002, 30002),
        (Kind.ARRIVAL, 1, 2913, 0, 2903, 0),
        (Kind.SWITCH, 0, 24003, 2913, 24003, 0),
        (Kind.WAKEUP, 1, 7, 0, 0, 0),
    ]
    assert seen(events[3], "comm") == (b"long-program-na",)
    assert events[6]["time_ns"] == 84_123_456_000


@pytest.mark.parametrize(
    ("form", "mark", "lost"),
    [
        ("ftrace", "CPU:2 [LOST 40 EVENTS]", 40),
        ("ftrace", "CPU:1 [EVENTS DROPPED]", 1),
        ("ftrace", "CPU:1 [12 EVENTS DROPPED]", 12),
        ("perf", "  swapper     0 [000]     0.000002: PERF_RECORD_LOST lost 21", 21),
        ("perf", "LOST 123 events!", 123),
    ],
)
def test_losses_are_events_of_their_own_where_they_stand(form, mark, lost):
    style = PERF if form == "perf" else FTRACE
    lines = [traces.switch(style, 1_000, 0, IDLE, A), mark, traces.switch(style, 3_000, 0, A, IDLE)]
    events, reading = read("\n".join(lines), form)
    assert events["kind"].tolist() == [Kind.SWITCH, Kind.LOST, Kind.SWITCH]
    assert seen(events[1], "time_ns", "argument") == (1_000, lost)
    assert (reading.lost, reading.not_understood) == (lost, 0)


def test_a_loss_before_the_first_event_is_kept():
    events, _ = read("LOST 3 events!\n" + traces.switch(PERF, 1_000, 0, IDLE, A))
    assert events["kind"].tolist() == [Kind.LOST, Kind.SWITCH]


def test_lines_that_are_none_are_counted_and_the_others_are_read():
    good = traces.switch(PERF, 1_000, 0, IDLE, A)
    damaged = good.replace("prev_pid=0", "prev_pid=zero")
    text = f"{good}\nnonsense\n{damaged}\n\n# a comment\n\tffffffff81 __schedule\n{good}\n\x00\xff\n"
    events, reading = read(text)
    assert events["kind"].tolist() == [Kind.SWITCH, Kind.LOST, Kind.SWITCH]
    assert seen(events[1], "time_ns", "cpu", "argument") == (1_000, 0, 1)
    assert (reading.not_understood, reading.lost) == (3, 0)


def test_what_perfs_header_tells():
    header = """\
# hostname : web1
# os release : 6.18.44
# nrcpus online : 4
# clockid: monotonic (1)
# reference time: 2026-11-21 13:41:44.029711 = 1795268504.029711 (TOD) = 11657.723962056 (monotonic)
"""
    _, reading = read(header)
    assert reading.facts == {"host": "web1", "kernel": "6.18.44", "cpus": "4", "clock": "monotonic"}
    assert reading.wall_offset_ns == 1_795_268_504_029_711_000 - 11_657_723_962_056


def test_what_ftraces_header_tells():
    _, reading = read("# entries-in-buffer/entries-written: 96/96   #P:2\n", "ftrace")
    assert reading.facts == {"cpus": "2"}


@pytest.mark.parametrize("style", STYLES)
def test_the_format_is_found_out(style):
    text = "# a header\n" + traces.switch(style, 1, 0, IDLE, A)
    assert detect(text.encode()) == form_of(style)


@pytest.mark.parametrize("text", ["", "# header\n", "no trace at all\n" * 3, "\x00\x01\x02" * 100])
def test_what_is_no_trace_has_no_format(text):
    assert detect(text.encode()) is None


# ---- order ----


def at(*moments_ns: int, kind: Kind = Kind.SWITCH) -> np.ndarray:
    events = np.zeros(len(moments_ns), EVENT)
    events["time_ns"], events["kind"], events["tid"] = moments_ns, kind, np.arange(len(moments_ns))
    return events


def test_lines_out_of_order_are_put_in_order_across_chunks_and_ties_stay():
    ordered = InOrder([at(1_000, 3_000, 3_000), at(2_000, 4_000)])
    events = np.concatenate(list(ordered))
    assert events["time_ns"].tolist() == [1_000, 2_000, 3_000, 3_000, 4_000]
    assert events["tid"].tolist() == [0, 0, 1, 2, 1]
    assert ordered.late == 0


def test_what_comes_more_than_a_second_late_is_counted():
    second = 1_000_000_000
    ordered = InOrder([at(second, 5 * second), at(2 * second), at(8 * second), at(3 * second)])
    events = np.concatenate(list(ordered))
    assert [seen(event, "time_ns", "kind") for event in events] == [
        (second, Kind.SWITCH),
        (2 * second, Kind.SWITCH),
        (5 * second, Kind.SWITCH),
        (5 * second, Kind.LOST),
        (5 * second, Kind.SWITCH),  # that of 3 s, which came after 5 s had been let go
        (8 * second, Kind.SWITCH),
    ]
    assert ordered.late == 1


def test_waking_counts_where_there_is_no_wakeup():
    only = InOrder([at(1, 2, kind=Kind.WAKING)])
    assert [event["kind"] for batch in only for event in batch] == [Kind.WAKEUP, Kind.WAKEUP]
    assert only.wakeups == "sched_waking"
    both = InOrder([np.concatenate([at(1, kind=Kind.WAKING), at(2, kind=Kind.WAKEUP)])])
    assert [event["time_ns"] for batch in both for event in batch] == [2]
    assert both.wakeups == "sched_wakeup"


@pytest.mark.parametrize("form", ["perf", "ftrace"])
@given(cuts=st.lists(st.tuples(st.integers(0, 700), st.integers(0, 40), st.binary(max_size=12)), max_size=6))
def test_damaged_text_is_read_as_far_as_it_can_be(form, cuts):
    """Pieces of real lines are replaced by anything: every line is an event, a loss or a comment, or is counted."""
    text = (PRINTED / f"{form}.txt").read_bytes()
    for start, length, put in cuts:
        text = text[:start] + put + text[start + length :]
    reading = ReadProgress(form)
    events = parse(text, reading)
    understood = np.count_nonzero(events["kind"] != Kind.LOST)
    assert understood + reading.not_understood <= reading.lines
    assert (events["time_ns"] < 2**63).all()


_OTHER_EVENT = " perf  123 [000] 1.000000001: sched:sched_stat_runtime: comm=perf pid=123 runtime=1 [ns]\n"
_A_SWITCH = (
    " perf  123 [000] 1.000000002: sched:sched_switch: prev_comm=perf prev_pid=123 prev_prio=120 prev_state=S ==> "
    "next_comm=x next_pid=9 next_prio=120\n"
)


def test_a_loss_stands_where_it_does_among_events_that_say_nothing_here():
    events, _ = read(3 * _OTHER_EVENT + _A_SWITCH + "LOST 5 events\n" + _OTHER_EVENT + _A_SWITCH)
    assert events["kind"].tolist() == [Kind.SWITCH, Kind.LOST, Kind.SWITCH]


def test_a_long_line_of_blanks_takes_no_time_by_its_square():
    begin = time.process_time()
    read(_A_SWITCH + " " * 100_000 + "\n")
    assert time.process_time() - begin < 5


def test_numbers_that_no_tracer_prints_are_none():
    many = "9" * 5_000
    header = f"# nrcpus online : {many}\n# reference time: now = {many}.0 (TOD) = 1.0 (MONOTONIC)\n"
    events, reading = read(f"{header}{_A_SWITCH}lost {many}\n")
    assert len(events) == 1
    assert reading.wall_offset_ns is None
    assert "cpus" not in reading.facts


@pytest.mark.parametrize("form", ["perf", "ftrace"])
def test_lines_may_end_as_they_do_in_windows(form):
    text = (PRINTED / f"{form}.txt").read_bytes() + b"cpus=3\n"
    (plain, plain_reading), (other, other_reading) = (
        (parse(given, reading), reading)
        for given, reading in ((text, ReadProgress(form)), (text.replace(b"\n", b"\r\n"), ReadProgress(form)))
    )
    assert len(plain) > 5
    assert other.tobytes() == plain.tobytes()
    assert other_reading == plain_reading
