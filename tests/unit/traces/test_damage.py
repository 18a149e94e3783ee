"""Real traces with pieces replaced: never a traceback, and the laws hold for every window that comes out."""

import io
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
import traces
from hypothesis import example, given, settings
from hypothesis import strategies as st
from small_traces import TRACE, at
from traces import FTRACE, PERF, PLUGIN

import schedtel
from schedtel.errors import SchedtelError
from schedtel.windows.invariants import check

PRINTED = Path(__file__).parent / "printed"
A, B, IDLE = ("task-a", 101), ("b [000] 1.5: y", 102), ("swapper/0", 0)


def busy(style: str) -> str:
    """Two tasks that take turns on two CPUs, births, ends, and losses."""
    lines = ["# entries-in-buffer/entries-written: 80/99   #P:2"] if style == FTRACE else ["# hostname : h"]
    for ms in range(0, 120, 20):
        cpu = ms // 20 % 2
        lines += [
            traces.woken(style, at(ms), cpu, A),
            traces.switch(style, at(ms + 1), cpu, IDLE, A, "R"),
            traces.forked(style, at(ms + 2), cpu, A, B),
            traces.woken(style, at(ms + 3), cpu, B, "sched_wakeup_new"),
            traces.switch(style, at(ms + 4), cpu, A, B, "R+"),
            traces.exited(style, at(ms + 9), cpu, B),
            traces.switch(style, at(ms + 10), cpu, B, A, "X"),
            traces.switch(style, at(ms + 15), cpu, A, IDLE, "S"),
        ]
    lines.insert(20, "CPU:1 [LOST 12 EVENTS]" if style == FTRACE else "LOST 3 events!")
    return "\n".join(lines) + "\n"


TEXTS = [
    *(busy(style).encode() for style in (PERF, FTRACE, PLUGIN)),
    *((PRINTED / f"{form}.txt").read_bytes() for form in ("perf", "ftrace")),
    "\n".join(TRACE).encode(),
]
_PUT = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [b"\n", b"\0", b"-1", b"0", b"9" * 30, b"99999999999", b"9223372036854775808", b"0x400", b"R+", b"lost 12000"]
    ),
)
_CUTS = st.lists(st.tuples(st.integers(0, 6_000), st.integers(0, 60), _PUT), max_size=8)
_MOVES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=4)


def damaged(text: bytes, cuts, moves) -> bytes:
    for start, length, put in cuts:
        place = start % (len(text) + 1)
        text = text[:place] + put + text[place + length :]
    lines = text.splitlines(keepends=True)
    for source, target in moves:
        if lines:
            lines.insert(target % (len(lines) + 1), lines.pop(source % len(lines)))
    return b"".join(lines)


def imported(text: bytes, window: str = "5s") -> list[schedtel.Window]:
    """The windows of a text; none if it is refused, in one line."""
    refused, windows = "", []
    try:
        windows = list(schedtel.import_trace(io.BytesIO(text), window))
    except SchedtelError as error:
        refused = str(error)
    assert refused.isprintable()
    return windows


@given(text=st.sampled_from(TEXTS), cuts=_CUTS, moves=_MOVES, window=st.sampled_from(["10ms", "100ms", "1h"]))
@settings(max_examples=40, deadline=None)
@example(text=TEXTS[0], cuts=[], moves=[], window="100ms")
@example(text=TEXTS[1], cuts=[(900, 1, b"9")], moves=[(3, 40)], window="10ms")
def test_laws_hold_for_every_window_of_a_damaged_trace(text, cuts, moves, window):
    windows = imported(damaged(text, cuts, moves), window)
    for before, following in pairwise([None, *windows]):
        assert [finding for finding in check(following, before) if not finding.holds] == []


@given(text=st.binary(max_size=400))
def test_any_bytes_are_windows_or_one_line(text):
    imported(text)


@pytest.mark.parametrize("text", TEXTS[:3])
@pytest.mark.parametrize("length", ["10ms", "30ms", "50ms"])
def test_windows_add_up_to_one_window(text, length):
    """Law 5, with tasks and CPUs of which the trace tells only after it has begun."""
    [whole], parts = imported(text, "1h"), imported(text, length)
    assert len(parts) > 2
    for table, key, names in SUMS:
        assert totals(parts, table, key, names) == totals([whole], table, key, names)


SUMS = (
    ("tasks", "tid", ("cpu_ns", "wait_ns", "blocked_ns", "alive_ns", "wakeups", "migrations", "bursts")),
    ("cpus", "cpu", ("busy_ns", "idle_ns", "teardown_ns", "untracked_ns", "switches")),
)


def totals(windows, table, key, names):
    """Sums of columns over windows; of all tasks together, since a sleeper is in the row `other` of some windows."""
    sums = Counter()
    for window in windows:
        for row in getattr(window, table).to_pylist():
            sums.update({(row[key] if table == "cpus" else "all", name): row[name] for name in names})
    return +sums
