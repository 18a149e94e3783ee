"""What the collector waits for at an edge, and what it gives up."""

import time
from functools import partial
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from edges import EDGE, FIRST_EDGE, NEXT_EDGE, born_and_running, collect, started
from machine import HostBackend
from model import Arrive, Exit, Fork, Switch
from readings import numbers_of

from schedtel.kernel.core.backend import CoreBackend
from schedtel.records import layout


def test_ending_a_window_whose_edge_has_passed_moves_nothing_and_loses_nothing(backend):
    """By the real clock the edge is long past: a stop at that moment must not count as a late edge."""
    backend._is_ahead = partial(CoreBackend._is_ahead, backend)
    backend._check_ahead = partial(CoreBackend._check_ahead, backend)
    backend._end_in = partial(CoreBackend._end_in, backend)
    assert backend.end_now() == backend.edge_ns == EDGE
    assert collect(backend, next_edge=1 << 63).losses["state_failed"] == 0


def test_a_warm_up_whose_end_passed_while_it_was_set_is_ended_again(library):
    """In a slow guest the collector is held up for longer than the end is away, twice; the third end is in time."""
    backend = HostBackend(library, 1, FIRST_EDGE, min_activity_ns=0)
    backend._check_ahead = partial(CoreBackend._check_ahead, backend)
    ends = iter([(FIRST_EDGE, False), (EDGE, False), (NEXT_EDGE, True)])
    settled = []

    def end_in(settle_ns: int) -> tuple[int, bool]:
        settled.append(settle_ns)
        end, in_time = next(ends)
        backend._is_ahead = lambda _: in_time
        backend._check_ahead(end, backend.window)
        backend._is_ahead = lambda _: True
        backend.now = end + 1
        return end, in_time

    backend._end_in = end_in
    edges = iter([EDGE, NEXT_EDGE, 4_000])
    assert backend.open_first(lambda _: next(edges)) == NEXT_EDGE
    assert settled == sorted(set(settled))
    window = backend.collect_at(4_001, 1 << 63)
    assert (window.start_ns, window.losses["state_failed"]) == (NEXT_EDGE, 0)


def test_an_edge_that_came_too_near_before_its_window_was_open_is_given_up(backend):
    """In time at the edge, the collector is held up twice while it opens the next window: no program has seen those."""
    answers, edges = iter([True, False, False, True]), iter([3_000, 4_000, 5_000])
    backend._is_ahead = lambda _: next(answers, True)
    backend.play(*born_and_running())
    backend.now = EDGE + 1
    with mock.patch("schedtel.kernel.backend.online_cpus", return_value={0}):
        backend.collect(lambda _: next(edges))
    assert backend.edge_ns == 5_000
    [record] = backend.collect_at(5_001, 6_000).tasks
    assert numbers_of(record)["running"] == record["alive_ns"] == 5_000 - EDGE


def test_an_edge_is_further_away_where_reading_a_window_takes_long(backend):
    clock, asked = [10_000_000], []

    def flush() -> None:
        clock[0] += 8_000_000
        type(backend)._flush(backend)

    def edge_after(moment_ns: int) -> int:
        asked.append(moment_ns)
        return NEXT_EDGE

    backend._flush, backend.now = flush, EDGE + 1
    reads = SimpleNamespace(monotonic_ns=lambda: clock[0], sleep=time.sleep)
    with (
        mock.patch("schedtel.kernel.backend.online_cpus", return_value={0}),
        mock.patch("schedtel.kernel.backend.time", reads),
    ):
        backend.collect(edge_after)
    assert asked == [18_000_000 + 8_000_000 // 4]


def held_up(backend: HostBackend, tries: int) -> None:
    """The flush finds a task in the middle of a change, ``tries`` times in a row."""
    left, real = iter(range(tries)), backend._run_iterator

    def run(name: str) -> None:
        real(name)
        if name == "flush":
            backend._control["tasks_busy"] += next(left, None) is not None

    backend._run_iterator = run


def test_a_task_whose_virtual_cpu_the_host_has_taken_away_is_waited_for(backend):
    backend.play(*born_and_running())
    held_up(backend, 1_000)
    assert collect(backend).losses["state_failed"] == 0


def test_a_task_that_is_busy_for_ever_is_given_up_and_counted(backend, monkeypatch):
    monkeypatch.setattr("schedtel.kernel.backend._PATIENCE_NS", 1_000_000)
    backend.play(*born_and_running())
    held_up(backend, 1_000_000)
    assert collect(backend).losses["state_failed"] == 1


def test_exits_while_a_task_is_waited_for_find_room(library):
    """Three lives end, each after another round of the flush, and the ring has room for one."""
    backend = started(library, cpus=3, ring_records=1)
    for cpu in range(3):
        backend.play(*born_and_running(cpu, cpu=cpu))
    exits, look = iter(range(3)), backend._run_iterator

    def run(name: str) -> None:
        look(name)
        if (cpu := next(exits, None)) is not None:
            backend._control["tasks_busy"] += 1
            backend.happen(Exit(EDGE + 4, cpu, cpu))

    backend._run_iterator = run
    first = collect(backend, EDGE + 5)
    second = collect(backend, NEXT_EDGE + 1, 4_000)
    assert [len(window.tasks) for window in (first, second)] == [3, 3]
    assert not any(first.losses.values())
    assert not any(second.losses.values())


def _switching(backend: HostBackend, step: int):
    """Adds ``step`` to the sequence number of CPU 0 whenever the collector reads it, 100 times at most."""
    looks = iter(range(100))

    def look(*_):
        next(looks)
        backend._cpu_states["seqcount"]["seq"][0] += step
        return np.zeros(0, layout.PREEMPTION)

    return mock.patch.object(backend, "_preemptions_of", look)


def test_a_cpu_that_switches_all_the_time_is_not_waited_for_once_it_has_rolled(backend):
    backend.play(Fork(1_100, 0), Arrive(1_100, 0), Switch(1_200, 0, None, 0), Switch(2_100, 0, 0, None))
    with _switching(backend, 2):
        bank, _ = backend._cpu_at_edge(0, backend.window, FIRST_EDGE, EDGE)
    assert bank["time_ns"][0, layout.CPU_BUSY] == EDGE - 1_200


def test_a_program_at_work_when_the_flush_ended_is_waited_for_though_the_cpu_has_rolled(backend):
    backend.play(Fork(1_100, 0), Arrive(1_100, 0), Switch(1_200, 0, None, 0), Switch(2_100, 0, 0, None))
    backend._cpu_states["seqcount"]["seq"][0] += 1
    with _switching(backend, 0), pytest.raises(StopIteration):
        backend._cpu_at_edge(0, backend.window, FIRST_EDGE, EDGE)
    with _switching(backend, 2):  # another program at every reading: the first one has ended
        backend._cpu_at_edge(0, backend.window, FIRST_EDGE, EDGE)
