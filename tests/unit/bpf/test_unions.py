"""A condition of several values: a task meets it by any of them, with both backends, and all totals stay the same."""

from dataclasses import dataclass

import model
import pytest
from bcc_machine import HostBccBackend
from edges import born_and_running, collect, started
from histories import MOST_TASKS, printed_histories
from hypothesis import given
from hypothesis import strategies as st
from machine import HostBackend
from model import FIRST_TID, SLEEPING, Arrive, Fork, Switch
from player import play
from readings import expected_total, rows_of, total_of

from schedtel.kernel.filters import MOST_VALUES, Filter

MACHINES = {"core": (HostBackend, "library"), "bcc": (HostBccBackend, "bcc_library")}
_COMMS = ("task-1", "task-", "task-10", "task-3", "other")


@pytest.fixture(scope="session", params=MACHINES)
def machine(request):
    """What makes a machine, and its library; once for each backend."""
    make, library = MACHINES[request.param]
    return make, request.getfixturevalue(library)


@dataclass(frozen=True)
class Chosen:
    """A filter of tasks by their number; a condition without values is off."""

    tids: tuple[int, ...] = ()
    tgids: tuple[int, ...] = ()
    uids: tuple[int, ...] = ()
    comms: tuple[str, ...] = ()

    def selects(self, task: int, uid: int) -> bool:
        return (
            (not self.tids or task in self.tids)
            and (not self.tgids or task in self.tgids)
            and (not self.uids or uid in self.uids)
            and (not self.comms or model.name_of(task).startswith(self.comms))
        )

    def settings(self) -> dict[str, object]:
        """Fields of ``struct settings``. The tasks are none of this machine, so their tids are filled in here."""
        fields = Filter(uid=self.uids or None, comm=self.comms or None).settings()
        for kind, name, tasks in (("by_tid", "tid", self.tids), ("by_process", "tgid", self.tgids)):
            fields |= {kind: len(tasks), name: filled_up(FIRST_TID + task for task in tasks)}
        return fields


def filled_up(values) -> tuple[int, ...]:
    values = tuple(values)
    return values + (0,) * (MOST_VALUES - len(values))


def some_of(values) -> st.SearchStrategy:
    """No condition, or up to as many values as one may have."""
    return st.lists(st.sampled_from(values), unique=True, max_size=MOST_VALUES).map(tuple)


_tasks = some_of(range(MOST_TASKS))
_uids = st.lists(st.integers(1, 3), min_size=MOST_TASKS, max_size=MOST_TASKS)
_chosen = st.builds(Chosen, _tasks, _tasks, some_of((1, 2, 3, 4)), some_of(_COMMS))


@given(history=printed_histories, uids=_uids, chosen=_chosen)
def test_a_task_is_selected_if_it_has_one_value_of_each_condition(machine, history, uids, chosen):
    """Rows and totals are those of the model. A task is its own process here: forks are not by a task."""
    lives = model.lives(history.events)
    windows = play(*machine, history, uids, **chosen.settings())
    for (start, end), window in zip(history.windows, windows, strict=True):
        rows = {task: model.row(life, start, end) for task, life in lives.items()}
        active = {task: row for task, row in rows.items() if row["alive_ns"] and model.demand_ns(row)}
        assert rows_of(window) == {t: row for t, row in active.items() if chosen.selects(t, uids[t])}
        assert total_of(window) == expected_total(list(rows.values()))


@given(
    history=printed_histories,
    uids=_uids,
    halves=st.one_of(
        *(
            st.tuples(*[st.builds(Chosen, **{kind: values.filter(lambda v: 0 < len(v) <= MOST_VALUES // 2)})] * 2)
            for kind, values in (("tids", _tasks), ("tgids", _tasks), ("uids", some_of((1, 2, 3))))
        ),
        st.tuples(*[st.builds(Chosen, comms=st.sampled_from(_COMMS).map(lambda comm: (comm,)))] * 2),
    ),
)
def test_the_union_of_two_filters_selects_what_either_of_them_selects(machine, history, uids, halves):
    one, other = halves
    both = Chosen(**{kind: tuple(dict.fromkeys(values + vars(other)[kind])) for kind, values in vars(one).items()})
    runs = [play(*machine, history, uids, **chosen.settings()) for chosen in (one, other, both)]
    for first, second, together in zip(*runs, strict=True):
        assert rows_of(together) == rows_of(first) | rows_of(second)
        assert total_of(together) == total_of(first)


def test_the_descendants_of_several_processes(library):
    backend = started(library, by_process=2, tgid=filled_up((FIRST_TID, FIRST_TID + 2)))
    for task in range(5):
        backend.task(task)
    for parent, child in ((-1, 0), (0, 1), (-1, 2), (2, 3), (-1, 4)):
        backend.library.host_fork(1_100, parent, child)
    for task in range(5):
        backend.happen(Arrive(1_100, task))
    assert sorted(rows_of(collect(backend))) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("ids", "levels", "seen"),
    [((2, 1), (0, 0), [0, 1]), ((2, 3), (0, 0), []), ((1, 1), (1, 0), [0, 1]), ((1, 2), (1, 0), [])],
)
def test_each_cgroup_has_its_own_level(library, ids, levels, seen):
    backend = started(library, by_cgroup=2, cgroup_id=filled_up(ids), cgroup_level=filled_up(levels))
    backend.play(*born_and_running(), Fork(1_100, 1), Arrive(1_100, 1))
    backend.play(Switch(1_300, 0, 0, 1, prev_state=SLEEPING))
    assert sorted(rows_of(collect(backend))) == seen
