"""Names of perf events: what they mean to perf_event_open(2), what is refused, and how that is said."""

import ctypes
import errno
import os

import pytest

from schedtel.errors import CapabilityError, UsageError
from schedtel.kernel.counters import perf
from schedtel.kernel.counters.events import parse_events
from schedtel.kernel.filters import Filter
from schedtel.kernel.selection import open_backend
from schedtel.kernel.settings import Tracing
from schedtel.records.perf_events import EVENTS, HARDWARE, RAW, SOFTWARE, event_named


def test_the_names_are_those_of_perf_and_the_numbers_those_of_its_header():
    """include/uapi/linux/perf_event.h: enum perf_hw_id and enum perf_sw_ids, written down here a second time."""
    hardware = ["cycles", "instructions", "cache-references", "cache-misses", "branch-instructions", "branch-misses"]
    software = ["cpu-clock", "task-clock", "page-faults", "context-switches", "cpu-migrations", "minor-faults"]
    software += ["major-faults", "alignment-faults", "emulation-faults"]
    assert {event.name: (event.kind, event.config) for event in EVENTS} == {
        **{name: (HARDWARE, number) for number, name in enumerate(hardware)},
        **{name: (SOFTWARE, number) for number, name in enumerate(software)},
    }


def test_events_are_in_one_order_however_they_are_asked_for():
    names = ["r1a2", "task-clock", "page-faults", "cycles"]
    assert [e.name for e in parse_events(names)] == ["cycles", "page-faults", "task-clock", "r1a2"]
    assert parse_events(names) == parse_events(names[::-1])


@pytest.mark.parametrize(("name", "config"), [("r0", 0), ("r1a2", 0x1A2), ("rffffffffffffffff", (1 << 64) - 1)])
def test_a_raw_event_is_its_number(name, config):
    event = event_named(name)
    assert (event.kind, event.config) == (RAW, config)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["page-fault"], "did you mean page-faults?"),
        (["Cycles"], "did you mean cycles?"),
        (["#!"], "it is one of cycles, "),
        (["r"], "there is no such event"),
        (["r12345678901234567"], "there is no such event"),
        (["r1A2"], "there is no such event"),
        (["page-faults", "page-faults"], "cannot count page-faults twice"),
        ([f"r{number}" for number in range(9)], "the most is 8"),
    ],
)
def test_what_is_no_event_is_refused_in_one_line(names, words):
    with pytest.raises(UsageError) as refused:
        parse_events(names)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_bcc_counts_no_events():
    with pytest.raises(UsageError, match="cannot count events with backend bcc"):
        open_backend(Filter(), Tracing(backend="bcc", counters=("page-faults",)))


@pytest.mark.parametrize("tasks", [0, -1, 63, 1 << 40])
def test_a_table_of_an_impossible_size_is_refused(tasks):
    with pytest.raises(UsageError, match="tasks: it must be from"):
        open_backend(Filter(), Tracing(max_tasks=tasks, counters=("page-faults",)))


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [
        ("cycles", errno.ENOENT, "this machine has no hardware counter for it"),
        ("cycles", errno.EOPNOTSUPP, "count a software event"),
        ("r1a2", errno.EINVAL, "no hardware counter"),
        ("page-faults", errno.EACCES, "kernel.perf_event_paranoid is"),
        ("cycles", errno.EPERM, "CAP_PERFMON"),
        ("page-faults", errno.EMFILE, "Too many open files"),
    ],
)
def test_a_refusal_says_what_is_missing_and_what_to_do(name, number, words):
    refused = perf.refusal(event_named(name), OSError(number, os.strerror(number)))
    assert isinstance(refused, CapabilityError)
    assert str(refused).startswith(f"cannot count {name}: ")
    assert words in str(refused)
    assert str(refused).endswith(")")


def test_the_attributes_are_those_of_the_first_size():
    """PERF_ATTR_SIZE_VER0: every kernel since 2.6.32 takes it."""
    assert ctypes.sizeof(perf._Attributes) == 64
