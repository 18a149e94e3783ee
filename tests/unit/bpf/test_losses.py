"""Losses while the collector is late: each counts in the window in which it happened, in both where none can tell."""

import pytest
from bcc_machine import HostBccBackend
from edges import EDGE, FIRST_EDGE, NEXT_EDGE, born_and_running, collect
from model import SLEEPING, Arrive, Fork, Switch

#: The collector comes so late that both windows have passed in part.
LATE = EDGE + 900


@pytest.fixture(params=["core", "bcc"])
def late(request, backend, bcc_library):
    """A machine of each backend in its window from FIRST_EDGE to EDGE."""
    if request.param == "core":
        return backend
    machine = HostBccBackend(bcc_library, 1, FIRST_EDGE, min_activity_ns=0)
    machine.open_first_at(FIRST_EDGE + 1, EDGE)
    return machine


def windows_of(machine, name):
    """How often each of two windows lost, if the first one is collected late in the second."""
    return [collect(machine, now, end).losses[name] for now, end in ((LATE, NEXT_EDGE), (NEXT_EDGE + 1, 4_000))]


@pytest.mark.parametrize(
    ("slept", "ran", "expected"),
    [
        (1_300, 1_600, [1, 0]),
        (EDGE + 300, EDGE + 600, [0, 1]),
        (1_300, EDGE + 600, [1, 1]),  # its wakeup was at some time in between
        (1_300, EDGE, [1, 1]),
    ],
)
def test_an_event_that_was_not_delivered_counts_where_it_may_have_happened(late, slept, ran, expected):
    late.play(*born_and_running(), Switch(slept, 0, 0, None, prev_state=SLEEPING), Switch(ran, 0, None, 0))
    assert windows_of(late, "programs_skipped") == expected


@pytest.mark.parametrize(("arrival", "expected"), [(1_500, [1, 0]), (EDGE + 500, [0, 1])])
def test_a_negative_wait_counts_in_its_window(late, arrival, expected):
    late.play(Fork(arrival, 0), Arrive(arrival, 0), Switch(arrival - 10, 0, None, 0))
    found = windows_of(late, "samples_discarded")
    assert [bool(count) for count in found] == [bool(count) for count in expected]


@pytest.mark.parametrize(("arrival", "expected"), [(1_500, [1, 0]), (EDGE + 500, [0, 1])])
def test_a_task_without_memory_counts_in_its_window(backend, arrival, expected):
    backend.library.host_refuse_allocations(4)
    backend.play(Fork(arrival, 0), Arrive(arrival, 0))
    backend.library.host_refuse_allocations(0)
    assert windows_of(backend, "state_failed") == expected


@pytest.mark.parametrize(("birth", "expected"), [(1_500, [1, 0]), (EDGE + 500, [0, 1])])
def test_a_task_without_a_slot_counts_in_its_window(bcc_library, birth, expected):
    machine = HostBccBackend(bcc_library, 1, FIRST_EDGE, most_tasks=1, min_activity_ns=0)
    machine.open_first_at(FIRST_EDGE + 1, EDGE)
    machine.play(*born_and_running(), Fork(birth, 1), Arrive(birth, 1))
    assert windows_of(machine, "state_failed") == expected


def test_a_row_without_room_counts_in_its_window_though_the_parity_comes_back(backend):
    """Three windows later the same counter is used again."""
    backend.play(Fork(1_500, 0), Arrive(1_500, 0), Switch(1_490, 0, None, 0))
    found = [collect(backend, end + 1, end + 1_000).losses["samples_discarded"] for end in range(EDGE, 7_000, 1_000)]
    assert found[0] > 0
    assert not any(found[1:])
