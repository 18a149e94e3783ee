"""CPUs that go offline and come online, by both backends: the last task leaves, and the laws hold in every window."""

import pytest
from bcc_machine import HostBccBackend
from edges import EDGE, FIRST_EDGE, NEXT_EDGE, collect
from machine import HostBackend
from model import SLEEPING, Arrive, CpuComes, CpuDies, Fork, Switch, Wake
from readings import assert_law_2, rows_of

from schedtel.records import layout

#: The kernel thread that takes CPU 1 down, and a task on CPU 0.
STOPPER, OTHER = 0, 1
ASLEEP = [Fork(500, STOPPER), Arrive(500, STOPPER), Switch(510, 1, None, STOPPER)]
ASLEEP += [Switch(520, 1, STOPPER, None, prev_state=SLEEPING), Fork(600, OTHER), Arrive(600, OTHER)]
ASLEEP += [Switch(610, 0, None, OTHER)]


def machine_of(kind, libraries, **core):
    if kind == "core":
        return HostBackend(libraries[0], 2, FIRST_EDGE, min_activity_ns=0, **core)
    return HostBccBackend(libraries[1], 2, FIRST_EDGE, min_activity_ns=0)


def begin(machine):
    """Two tasks older than the window from FIRST_EDGE to EDGE: the stopper of CPU 1, asleep, and one on CPU 0."""
    machine.task(STOPPER, comm="migration/1")
    machine.task(OTHER)
    if isinstance(machine, HostBackend):
        machine.standing(STOPPER, cpu=1)
        machine.library.host_stopper(STOPPER)
    for event in ASLEEP:
        machine.happen(event)
    if isinstance(machine, HostBackend):
        machine.seed(650)
    machine.open_first_at(FIRST_EDGE + 1, EDGE)
    return machine


@pytest.fixture(params=["core", "bcc"])
def machine(request, library, bcc_library):
    return begin(machine_of(request.param, (library, bcc_library)))


def cpu_row(window, cpu):
    """Busy, idle and offline time of a CPU; None where it has no row."""
    numbers = window.cpu_numbers.tolist()
    if cpu not in numbers:
        return None
    times = window.cpus["time_ns"][numbers.index(cpu)]
    return tuple(int(times[phase]) for phase in (layout.CPU_BUSY, layout.CPU_IDLE, layout.CPU_OFFLINE))


def next_windows(machine, count=3):
    """Collects so many windows, each a microsecond long and on time."""
    return [collect(machine, end + 1, end + 1_000) for end in range(EDGE, EDGE + 1_000 * count, 1_000)]


DOWN = [Wake(1_300, STOPPER), Switch(1_310, 1, None, STOPPER), CpuDies(1_400, 1)]


def test_the_last_task_of_a_cpu_leaves_when_the_cpu_is_dead(machine):
    machine.play(*DOWN)
    first, second, third = next_windows(machine)
    row = rows_of(first)[STOPPER]
    assert (row["running"], row["wakeup_wait"], row["blocked"]) == (90, 10, 900)
    assert (row["voluntary_switches"], first.losses["programs_skipped"]) == (1, 1)
    assert rows_of(second)[STOPPER]["blocked"] == rows_of(third)[STOPPER]["blocked"] == 1_000
    assert [cpu_row(window, 1) for window in (first, second, third)] == [(90, 310, 600), None, None]
    assert not any(second.losses.values())
    for window in (first, second, third):
        assert_law_2(window)


def test_a_cpu_that_comes_back_is_idle_until_its_first_event(machine):
    machine.play(*DOWN)
    first = collect(machine)
    machine.play(CpuComes(2_600, 1), Wake(2_700, STOPPER), Switch(2_710, 1, None, STOPPER))
    machine.play(Switch(2_730, 1, STOPPER, None, prev_state=SLEEPING))
    second = collect(machine, NEXT_EDGE + 1, 4_000)
    assert cpu_row(first, 1) == (90, 310, 600)
    assert cpu_row(second, 1) == (20, 380, 600)
    assert rows_of(second)[STOPPER]["running"] == 20
    for window in (first, second):
        assert_law_2(window)


def test_a_cpu_that_goes_and_comes_within_a_window(machine):
    machine.play(*DOWN, CpuComes(1_700, 1), Wake(1_800, STOPPER), Switch(1_810, 1, None, STOPPER))
    machine.play(Switch(1_815, 1, STOPPER, None, prev_state=SLEEPING))
    first, second, third = next_windows(machine)
    assert cpu_row(first, 1) == (95, 605, 300)
    assert (rows_of(first)[STOPPER]["running"], first.losses["programs_skipped"]) == (95, 1)
    assert cpu_row(second, 1) == cpu_row(third, 1) == (0, 1_000, 0)
    for window in (first, second, third):
        assert_law_2(window)


def test_a_cpu_that_comes_and_goes_again_within_a_window_has_a_row_though_it_is_offline_at_both_edges(machine):
    machine.play(*DOWN)
    collect(machine)
    machine.play(CpuComes(2_300, 1), Wake(2_400, STOPPER), Switch(2_400, 1, None, STOPPER), CpuDies(2_450, 1))
    window = collect(machine, NEXT_EDGE + 1, 4_000)
    assert cpu_row(window, 1) == (50, 100, 850)
    assert_law_2(window)


def test_going_while_the_collector_is_late_is_in_the_window_in_which_it_happened(machine):
    machine.play(*(type(e)(**{**e.__dict__, "now": e.now + 1_000}) for e in DOWN))
    first, second = collect(machine, EDGE + 900), collect(machine, NEXT_EDGE + 1, 4_000)
    assert [cpu_row(window, 1) for window in (first, second)] == [(0, 1_000, 0), (90, 310, 600)]
    assert [window.losses["programs_skipped"] for window in (first, second)] == [0, 1]
    for window in (first, second):
        assert_law_2(window)


def test_a_cpu_that_was_offline_at_attach_has_no_row_and_is_right_from_its_first_moment(request, library, bcc_library):
    for kind in ("core", "bcc"):
        machine = machine_of(kind, (library, bcc_library))
        machine.gone = machine._absent = frozenset({1})
        machine.play(*ASLEEP[4:])
        machine.open_first_at(FIRST_EDGE + 1, EDGE)
        first = collect(machine)
        machine.play(CpuComes(2_250, 1), Fork(2_300, 2), Arrive(2_300, 2), Switch(2_350, 1, None, 2))
        second, third = (collect(machine, end + 1, end + 1_000) for end in (NEXT_EDGE, 4_000))
        assert [cpu_row(window, 1) for window in (first, second, third)] == [None, (650, 100, 250), (1_000, 0, 0)]
        for window in (first, second, third):
            assert_law_2(window)


def test_a_stopper_whose_switch_was_not_delivered_either_ran_from_its_wakeup_on(library):
    machine = begin(machine_of("core", (library, None)))
    machine.play(Wake(1_300, STOPPER), CpuDies(1_400, 1))
    window = collect(machine)
    assert (rows_of(window)[STOPPER]["running"], cpu_row(window, 1)) == (100, (100, 300, 600))
    assert_law_2(window)


def test_a_stopper_in_its_second_slot_of_the_task_cache_leaves_when_the_cpu_is_dead(library):
    machine = machine_of("core", (library, None))
    slot = library.host_first_slot(STOPPER)
    lodger = next(task for task in range(OTHER + 1, 12) if library.host_first_slot(task) == slot)
    machine.play(Fork(400, lodger), Arrive(400, lodger))
    begin(machine)
    assert library.host_owned_slots(STOPPER) == 1 << (slot ^ 1)
    machine.play(*DOWN)
    assert library.host_fast_paths(1_401, STOPPER) == 4, "the next that can happen to it is a wakeup"
    first, second, third = next_windows(machine)
    assert [rows_of(window)[STOPPER]["running"] for window in (first, second, third)] == [90, 0, 0]
    for window in (first, second, third):
        assert_law_2(window)


def test_a_stopper_outside_of_the_task_cache_leaves_at_the_flush(library):
    machine = machine_of("core", (library, None))
    machine.library.host_refuse_allocations(0)  # the task cache is full
    begin(machine)
    machine.play(*DOWN)
    first, second, third = next_windows(machine)
    assert [rows_of(window)[STOPPER]["running"] for window in (first, second, third)] == [90, 0, 0]
    assert (cpu_row(first, 1), first.losses["programs_skipped"]) == ((90, 310, 600), 1)
    for window in (first, second, third):
        assert_law_2(window)


def test_a_cpu_dies_while_the_flush_has_reported_the_stopper_already(library):
    """The program was held up: it comes after the flush with a time before the edge, and counts at the edge."""
    machine = begin(machine_of("core", (library, None)))
    machine.play(*DOWN[:2])
    first = machine.collect_at(EDGE + 1, NEXT_EDGE, held_up=[CpuDies(EDGE - 10, 1)])
    second = collect(machine, NEXT_EDGE + 1, 4_000)
    assert [rows_of(window)[STOPPER]["running"] for window in (first, second)] == [690, 0]
    for window in (first, second):
        assert_law_2(window)
