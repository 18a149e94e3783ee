"""Who preempted whom: both backends' programs against the model, and against the samples of the waits."""

import itertools
from dataclasses import replace

import model
import numpy as np
import pytest
from bcc_machine import HostBccBackend
from histories import History, printed_histories
from hypothesis import given
from hypothesis import strategies as st
from machine import HostBackend
from model import SLEEPING, Arrive, Fork, Switch
from player import play

from schedtel.records import layout
from schedtel.records.raw_window import RawWindow
from schedtel.windows import tables

#: What makes each machine, and the fixture of its library.
MACHINES = {"core": (HostBackend, "library"), "bcc": (HostBccBackend, "bcc_library")}
PATHS = {1: "/"}.get


@pytest.fixture(params=MACHINES)
def make(request):
    """Makes a machine of so many CPUs, in its window from 1000 to 2000 ns; once for each machine."""
    machine, library = MACHINES[request.param]
    return lambda cpus: started(machine(request.getfixturevalue(library), cpus, 1_000))


@pytest.fixture(scope="session")
def machines(library, bcc_library):
    """What makes each machine, and its library."""
    return [(HostBackend, library), (HostBccBackend, bcc_library)]


def pairs_of(window: RawWindow) -> dict[tuple[str, str], tuple[int, int, int]]:
    """(victim, preemptor) → count, wait, longest wait, as the table has them."""
    batch = tables.preemptions_batch(1, window.preemptions, window.preempted_by, PATHS)
    columns = [batch[name].to_pylist() for name in ("victim", "preemptor", "count", "wait_ns", "max_wait_ns")]
    found = {(victim, preemptor): figures for victim, preemptor, *figures in zip(*columns, strict=True)}
    assert len(found) == batch.num_rows, "a pair has two rows"
    return {pair: tuple(figures) for pair, figures in found.items()}


def total_of(window: RawWindow) -> tuple[int, int, int]:
    """Number, sum and longest of all waits in the table."""
    counts, waits, longest = zip(*[(0, 0, 0), *pairs_of(window).values()], strict=True)
    return sum(counts), sum(waits), max(longest)


def samples_of(window: RawWindow) -> tuple[int, int, int]:
    """Number, sum and longest of the samples of preempt wait, of selected tasks and of the others together."""
    samples = window.cpus["samples"][:, :, layout.SAMPLE_KINDS.index("preempt_wait")]
    return tuple(int(n) for n in (samples["histogram"].sum(), samples["sum_ns"].sum(), samples["max_ns"].max()))


@given(history=printed_histories)
def test_who_preempted_whom_equals_the_model(machines, history):
    for machine in machines:
        windows = play(*machine, history)
        for (start, end), window in zip(history.windows, windows, strict=True):
            assert pairs_of(window) == model.preemptions(history.events, start, end)


@given(history=printed_histories, uids=st.lists(st.integers(1, 2), min_size=12, max_size=12))
def test_a_filter_names_the_victims_it_selects_and_keeps_the_totals(machines, history, uids):
    selected = {model.name_of(task) for task, uid in enumerate(uids) if uid == 1}
    for machine in machines:
        everything, filtered = play(*machine, history, uids), play(*machine, history, uids, by_uid=1, uid=1)
        for unfiltered, window in zip(everything, filtered, strict=True):
            assert total_of(window) == total_of(unfiltered) == samples_of(window)
            named = {pair: found for pair, found in pairs_of(window).items() if pair[0] != tables.OTHER_COMM}
            assert named == {pair: found for pair, found in pairs_of(unfiltered).items() if pair[0] in selected}


@given(history=printed_histories, by=st.sampled_from(["cgroup", "off"]))
def test_by_cgroup_the_totals_are_the_same_and_off_tells_nothing(machines, history, by):
    for machine in machines:
        for window in play(*machine, history, preemptions=by):
            assert total_of(window) == (samples_of(window) if by == "cgroup" else (0, 0, 0))
            assert set(pairs_of(window)) <= {("/", "/"), ("/", tables.NOBODY)}


def test_a_pair_is_told_once_for_all_cpus(make):
    """Two tasks preempt each other on CPU 0, and the idle task takes it once; two of the three waits end on CPU 1."""
    backend = make(2)
    for task in (0, 1):
        backend.task(task)
        backend.happen(Fork(1_100, task))
        backend.happen(Arrive(1_100, task))
    for event in (
        Switch(1_100, 0, None, 0),
        Switch(1_200, 0, 0, 1, preempt=True),
        Switch(1_300, 0, 1, 0, preempt=True),
        Switch(1_400, 0, 0, None, prev_state=SLEEPING),
        Switch(1_500, 1, None, 1),
        model.Wake(1_500, 0),
        Switch(1_500, 0, None, 0),
        Switch(1_510, 0, 0, None, preempt=True),
        Switch(1_600, 1, 1, None, prev_state=SLEEPING),
        Switch(1_610, 1, None, 0),
    ):
        backend.happen(event)
    window = backend.collect_at(2_001, 3_000)
    assert pairs_of(window) == {
        ("task-0", "task-1"): (1, 100, 100),
        ("task-1", "task-0"): (1, 200, 200),
        ("task-0", tables.NOBODY): (1, 100, 100),
    }


@pytest.mark.parametrize("by", ["comm", "cgroup"])
def test_who_is_older_than_tracing_and_unknown_yet_is_other(bcc_library, by):
    """Task 1 is older than tracing; the switch that gives it the CPU tells neither its name nor its cgroup."""
    backend = HostBccBackend(bcc_library, 1, 1_000, preemptions=by)
    started(backend)
    backend.task(0)
    for event in (
        Fork(1_100, 0),
        Arrive(1_100, 0),
        Switch(1_100, 0, None, 0),
        Switch(1_200, 0, 0, 1, preempt=True),
        Switch(1_300, 0, 1, 0, preempt=True),
        Switch(1_400, 0, 0, None, prev_state=SLEEPING),
    ):
        backend.happen(event)
    found = pairs_of(backend.collect_at(2_001, 3_000))
    assert found == {({"comm": "task-0", "cgroup": "/"}[by], tables.OTHER_COMM): (1, 100, 100)}


def started(backend):
    backend.open_first_at(1_001, 2_000)
    return backend


#: As many tasks as both machines hold; they make more pairs than a CPU's table has room for.
CROWD = 60


def test_a_full_table_folds_what_it_has_no_room_for_and_loses_nothing(make):
    backend = make(1)
    for task in range(CROWD):
        backend.task(task)
        backend.happen(Fork(1_001, task))
        backend.happen(Arrive(1_001, task))
    order = [step * way % CROWD for way in (1, 7, 11, 13, 17, 19, 23, 29) for step in range(CROWD)]
    backend.happen(Switch(1_002, 0, None, order[0]))
    took = [(prev, task) for prev, task in itertools.pairwise(order) if prev != task]
    for now, (prev, task) in enumerate(took, 1_003):
        backend.happen(Switch(now, 0, prev, task, preempt=True))
    window = backend.collect_at(2_001, 3_000)
    found = pairs_of(window)
    folded, _, _ = found.pop((tables.OTHER_COMM, tables.OTHER_COMM))
    assert total_of(window) == samples_of(window)
    assert sum(count for count, _, _ in found.values()) + folded == samples_of(window)[0]
    assert layout.PREEMPTION_PAIRS / 2 < len(found) <= layout.PREEMPTION_PAIRS
    told = {(model.name_of(prev), model.name_of(task)) for prev, task in took}
    assert set(found) <= told
    # The table is empty again in the next window.
    backend.happen(Switch(2_100, 0, order[-1], order[0], preempt=True))
    backend.happen(Switch(2_150, 0, order[0], order[-1], preempt=True))
    assert (tables.OTHER_COMM, tables.OTHER_COMM) not in pairs_of(backend.collect_at(3_001, 4_000))


@given(history=printed_histories, moves=st.lists(st.tuples(st.integers(0, 79), st.integers(1, 5_000)), min_size=1))
def test_the_table_has_what_the_samples_have_though_time_is_out_of_order(library, history, moves):
    for window in play(HostBackend, library, moved(history, moves)):
        assert total_of(window) == samples_of(window)


def moved(history: History, moves) -> History:
    """The history with some events moved back in time."""
    steps = list(history.steps)
    for index, back in moves:
        if index < len(steps) and isinstance(steps[index], model.Event):
            steps[index] = replace(steps[index], now=max(1, steps[index].now - back))
    return replace(history, steps=steps)


def test_names_that_are_no_text_and_cgroups_that_have_gone():
    entries = np.zeros(2, layout.PREEMPTION)
    entries["count"], entries["wait_ns"] = 1, (10, 20)
    entries["victim"]["words"][:, 0] = (7, 8)
    entries["preemptor"]["words"][:, 1] = layout.GROUP_IDLE << 56
    batch = tables.preemptions_batch(3, entries, "cgroup", {8: "/web"}.get)
    assert batch["victim"].to_pylist() == ["/web", None]
    assert batch["victim_cgroup_id"].to_pylist() == [8, 7]
    assert batch["preemptor"].to_pylist() == [tables.NOBODY] * 2
    assert batch["preemptor_cgroup_id"].to_pylist() == [None, None]
    entries["victim"]["words"][0, 0] = int.from_bytes(b"\xffa", "little")
    assert tables.preemptions_batch(3, entries[:1], "comm", PATHS)["victim"].to_pylist() == ["\\xffa"]


@pytest.mark.parametrize("name", ["other", "(idle)"])
def test_a_command_that_has_the_name_of_a_group_that_is_none_is_told_from_it(name):
    entries = np.zeros(2, layout.PREEMPTION)
    entries["count"], entries["wait_ns"] = 1, (10, 20)
    entries["victim"]["words"][0] = np.frombuffer(name.encode().ljust(16, b"\0"), "<u8")
    entries["victim"]["words"][1] = [0, layout.GROUP_OTHER << 56]
    entries["preemptor"]["words"][:, 1] = layout.GROUP_IDLE << 56
    batch = tables.preemptions_batch(1, entries, "comm", PATHS)
    assert batch.select(["victim", "wait_ns"]).to_pylist() == [
        {"victim": "other", "wait_ns": 20},
        {"victim": f"\\{name}", "wait_ns": 10},
    ]
    assert set(batch["preemptor"].to_pylist()) == {"(idle)"}


def test_what_an_older_kernel_leaves_behind_a_name_makes_no_other_group():
    entries = np.zeros(3, layout.PREEMPTION)
    entries["victim"]["words"] = np.frombuffer(b"ls\0emd\0\0" + 8 * b"\0", "<u8")
    entries["victim"]["words"][1] = np.frombuffer(b"ls\0h\0\0\0\0" + 8 * b"\0", "<u8")
    entries["victim"]["words"][2] = [0, layout.GROUP_OTHER << 56]
    entries["preemptor"]["words"] = [0, layout.GROUP_IDLE << 56]
    entries["count"], entries["wait_ns"] = 1, (3, 4, 5)
    batch = tables.preemptions_batch(1, entries, "comm", PATHS)
    assert batch["victim"].to_pylist() == ["ls", "other"]
    assert batch["preemptor"].to_pylist() == [tables.NOBODY] * 2
    assert batch["wait_ns"].to_pylist() == [7, 5]


def test_what_an_older_kernel_leaves_behind_a_name_is_none_of_a_tasks_name():
    records = np.zeros(2, layout.TASK_RECORD)
    records["tid"], records["comm"] = (1, 2), (b"ls\0emd", b"ls\0h")
    batch = tables.tasks_batch(1, records, np.zeros(1, layout.FOLDED), PATHS)
    assert batch["comm"].to_pylist() == ["ls", "ls"]
    assert batch["comm"].dictionary.to_pylist() == ["ls"]
