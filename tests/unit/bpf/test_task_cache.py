"""Where the core backend's programs keep a task's state, and when an event may take the fast path."""

from itertools import combinations

from edges import EDGE, NEXT_EDGE, born_and_running, collect
from machine import AT_CLOCK, AT_LOOKUP, HostBackend
from model import FIRST_TID, TASK_DEAD, Arrive, Exit, Fork, Switch, Wake
from readings import cpu_times, numbers_of, rows_of

COMPLETED_FOR_NS = 10_000_000_000
TASKS = 12
#: Of a task_struct's __state: its birth is not over.
TASK_NEW = 0x800


def neighbours(backend, count: int) -> list[int]:
    """Tasks that have the same first slot of the task cache, and so the same second one. None is in it yet."""
    first = [backend.library.host_first_slot(task) for task in range(TASKS)]
    return next(list(few) for few in combinations(range(TASKS), count) if len({first[task] for task in few}) == 1)


def born(task: int, now: int):
    """The events of a task that arrives, and waits."""
    return Fork(now, task), Arrive(now, task)


def die(task: int, now: int):
    """The events of a running task that dies, and leaves CPU 0 to nobody."""
    return Exit(now, task, 0), Switch(now + 10, 0, task, None, prev_state=TASK_DEAD)


def live_and_die(task: int, begin: int, end: int):
    return *born_and_running(task, begin), *die(task, end)


def are_cached(backend, *tasks: int) -> list[int]:
    return [backend.library.host_is_cached(task) for task in tasks]


def test_of_tasks_with_the_same_slots_the_first_two_own_them_and_all_are_followed(backend):
    tasks = neighbours(backend, 4)
    for task in tasks:
        backend.play(*born(task, 1_100 + task))
    assert are_cached(backend, *tasks) == [1, 1, 0, 0]
    assert backend.library.host_owned_slots(tasks[0]) == 1 << backend.library.host_first_slot(tasks[0])
    waits = {task: row["wakeup_wait"] for task, row in rows_of(collect(backend)).items()}
    assert waits == {task: EDGE - 1_100 - task for task in tasks}


def test_a_dead_tasks_slot_is_free_after_its_last_switch(backend):
    dead, lodger, late = neighbours(backend, 3)
    backend.play(*born_and_running(dead), *born(lodger, 1_200), *die(dead, 1_300))
    assert are_cached(backend, dead, lodger) == [1, 1]
    backend.play(*born_and_running(late, 1_400))
    assert are_cached(backend, dead, lodger, late) == [0, 1, 1]
    rows = rows_of(collect(backend))
    assert (rows[dead]["running"], rows[dead]["completion_ns"], rows[dead]["alive_ns"]) == (200, 1_300, 200)
    assert (rows[late]["running"], rows[late]["arrival_ns"], rows[late]["bursts"]) == (600, 1_400, 0)


def test_a_second_slot_is_free_after_its_owners_last_switch(backend):
    lodger, dead, late = neighbours(backend, 3)
    backend.play(*born(lodger, 1_050), *live_and_die(dead, 1_100, 1_300), *born_and_running(late, 1_400))
    assert are_cached(backend, lodger, dead, late) == [1, 0, 1]
    rows = rows_of(collect(backend))
    assert (rows[dead]["running"], rows[late]["running"], rows[late]["bursts"]) == (200, 600, 0)


def test_a_slot_is_kept_until_the_last_switch(backend):
    lodger, dead, late = neighbours(backend, 3)
    backend.play(*born(lodger, 1_050), *born_and_running(dead), Exit(1_300, dead, 0), Fork(1_400, late))
    assert are_cached(backend, lodger, dead, late) == [1, 1, 0]


def test_a_task_that_is_torn_down_for_long_has_one_row_though_its_slot_is_anothers(backend):
    """Its last switch comes when another task owns its slot; a teardown is long where a lot of memory is freed."""
    dead, lodger, other = neighbours(backend, 3)
    backend.play(*born_and_running(dead), *born(lodger, 1_200))
    backend.play(Exit(1_300, dead, 0), Switch(1_310, 0, dead, None, preempt=True))
    assert rows_of(collect(backend))[dead]["completion_ns"] == 1_300
    late = 1_300 + COMPLETED_FOR_NS + 1
    collect(backend, NEXT_EDGE + 1, late + 1_000)
    backend.play(*born(other, late))
    assert are_cached(backend, dead, lodger, other) == [0, 1, 1]
    assert sorted(rows_of(collect(backend, late + 1_001, late + 2_000))) == sorted([lodger, other])
    backend.play(Switch(late + 1_100, 0, None, dead), Switch(late + 1_200, 0, dead, None, prev_state=TASK_DEAD))
    window = collect(backend, late + 2_001, late + 3_000)
    assert sorted(rows_of(window)) == sorted([lodger, other])
    assert (cpu_times(window)["teardown_ns"], window.losses["programs_skipped"]) == (100, 0)


def test_no_slot_changes_hands_while_a_flush_may_be_looking(backend):
    """The edge has passed, and the next window is not open yet."""
    lodger, dead, late = neighbours(backend, 3)
    backend.play(*born(lodger, 1_050), *live_and_die(dead, 1_100, 1_300), Fork(EDGE + 1, late))
    assert are_cached(backend, lodger, dead, late) == [1, 1, 0]


def test_a_task_whose_birth_was_withheld_is_followed_though_a_dead_one_was_at_its_place(backend):
    backend.play(*live_and_die(0, 1_100, 1_300))
    collect(backend)
    backend.task(0)
    backend.standing(0, on_rq=1)
    collect(backend, NEXT_EDGE + 1, 4_000)
    backend.play(Switch(3_500, 0, None, 0))
    window = collect(backend, 4_001, 5_000)
    row = rows_of(window)[0]
    assert (row["preempt_wait"], row["running"]) == (3_500 - (NEXT_EDGE + 1), 500)
    assert window.tasks["left_censored"].tolist() == [1]


def test_a_task_at_the_place_of_one_that_just_died_moves_in_at_once(backend):
    """The kernel reuses the memory of a dead task only once no CPU can look at it any more."""
    backend.play(*live_and_die(0, 1_100, 1_300), *born_and_running(0, 1_400))
    assert backend.library.host_is_cached(0)
    first, second = sorted(collect(backend).tasks, key=lambda record: int(record["arrival_ns"]))
    assert (first["completion_ns"], first["alive_ns"], first["fork_ns"]) == (1_300, 200, 1_100)
    assert (second["completion_ns"], second["alive_ns"], second["fork_ns"]) == (0, 600, 1_400)
    assert second["first_cpu_ns"] == 1_400


def test_a_task_at_the_place_of_a_dead_one_takes_over_its_slot_though_its_own_first_is_free(backend):
    first, second = neighbours(backend, 2)
    backend.play(*born_and_running(first), *born(second, 1_200))
    slot = backend.library.host_owned_slots(second)
    backend.play(*die(first, 1_300), Switch(1_320, 0, None, second), *die(second, 1_330))
    backend.play(*born_and_running(second, 1_400))
    assert backend.library.host_owned_slots(second) == slot != backend.library.host_owned_slots(first)
    lives = [record for record in collect(backend).tasks if record["tid"] == FIRST_TID + second]
    assert sorted((int(life["arrival_ns"]), int(life["alive_ns"])) for life in lives) == [(1_200, 130), (1_400, 600)]


# ---- two CPUs at once ----


def test_of_two_births_that_claim_one_slot_at_once_one_has_it_and_both_are_followed(backend):
    dead, lodger, late, quick = neighbours(backend, 4)
    backend.play(*born_and_running(dead), *born(lodger, 1_200), *die(dead, 1_300))
    backend.hold_up(AT_CLOCK, lambda: backend.play(*born(quick, 1_400)))  # the claim asks whether its owner is gone
    backend.play(*born(late, 1_400))
    assert are_cached(backend, dead, lodger, late, quick) == [0, 1, 0, 1]
    rows = rows_of(collect(backend))
    assert (rows[late]["wakeup_wait"], rows[quick]["wakeup_wait"]) == (600, 600)


def test_a_claim_gives_a_slot_back_to_a_task_that_was_born_at_its_dead_owners_place_meanwhile(backend):
    """To the compare-and-swap, the owner is the same as before."""
    dead, lodger, late = neighbours(backend, 3)
    backend.play(*born_and_running(dead), *born(lodger, 1_200), *die(dead, 1_300))
    backend.hold_up(AT_CLOCK, lambda: backend.play(*born(dead, 1_400)))
    backend.play(*born(late, 1_500))
    assert are_cached(backend, dead, lodger, late) == [1, 1, 0]
    waits = sorted(numbers_of(record)["wakeup_wait"] for record in collect(backend).tasks)
    assert waits == [0, 500, 600, 800]


def test_a_birth_while_the_seeding_looks_for_the_tasks_state_is_kept(backend):
    """The seeding finds no state yet. Before it goes on, the task is born and arrives, and is no new task any more."""

    def birth() -> None:
        backend.standing(0, on_rq=1)
        backend.happen(Fork(1_100, 0))
        backend.happen(Arrive(1_100, 0))

    backend.task(0)
    backend.standing(0, state=TASK_NEW)
    backend.hold_up(AT_LOOKUP, birth)
    backend.seed(1_200)
    [record] = collect(backend).tasks
    assert (record["fork_ns"], record["arrival_ns"], record["left_censored"]) == (1_100, 1_100, 0)


def test_an_arrival_whose_birth_was_withheld_leaves_the_claim_to_the_seeding(backend):
    """Both find that the task has no state. What the seeding makes is in the task cache, and is the one that counts."""
    backend.task(0)
    backend.standing(0, on_rq=1)
    backend.hold_up(AT_LOOKUP, lambda: backend.happen(Arrive(1_200, 0)))
    backend.seed(1_200)
    assert are_cached(backend, 0) == [1]
    backend.play(Switch(1_500, 0, None, 0))
    row = rows_of(collect(backend))[0]
    assert (row["preempt_wait"], row["running"]) == (300, 500)


def test_an_arrival_whose_birth_was_withheld_takes_over_the_slot_of_a_dead_task_at_its_place(backend):
    backend.play(*live_and_die(0, 1_100, 1_300))
    backend.task(0)
    backend.play(Arrive(1_400, 0), Switch(1_450, 0, None, 0))
    assert are_cached(backend, 0) == [1]
    first, second = sorted(collect(backend).tasks, key=lambda record: int(record["arrival_ns"]))
    assert (first["completion_ns"], first["alive_ns"]) == (1_300, 200)
    assert (second["completion_ns"], second["arrival_ns"], second["alive_ns"]) == (0, 1_400, 600)


# ---- the fast path ----


def test_who_is_up_to_date_has_nothing_to_roll(backend):
    """Figures alone do not show this: were the comparison never true, all would be right, and slow."""

    def are_open(now: int) -> tuple[int, int]:
        return backend.library.host_task_is_open(now, 0), backend.library.host_cpu_is_open(now, 0)

    backend.play(*born_and_running())
    assert [are_open(now) for now in (1_101, EDGE - 1, EDGE)] == [(1, 1), (1, 1), (0, 0)]
    collect(backend)
    assert are_open(EDGE + 2) == (0, 0)
    backend.play(Switch(EDGE + 2, 0, 0, None), Switch(EDGE + 3, 0, None, 0))
    assert [are_open(now) for now in (EDGE + 4, NEXT_EDGE - 1, NEXT_EDGE)] == [(1, 1), (1, 1), (0, 0)]
    backend.library.host_iterate(1, NEXT_EDGE + 1, 0)
    assert backend.library.host_task_is_open(NEXT_EDGE - 1, 0) == 0, "the flush has reported it: nothing may be added"


def test_what_is_usual_is_taken_for_it_and_nothing_else(backend):
    """Figures alone do not show this either: the slow path is right for every event."""
    neither, leaves, takes, wakes = 0, 1, 2, 4

    def fast_paths_after(event, after: int = 1) -> int:
        backend.play(event)
        return backend.library.host_fast_paths(event.now + after, 0)

    assert fast_paths_after(Fork(1_100, 0)) == neither
    assert fast_paths_after(Arrive(1_100, 0)) == takes
    assert fast_paths_after(Switch(1_101, 0, None, 0)) == leaves
    assert fast_paths_after(Switch(1_200, 0, 0, None, preempt=True)) == takes
    assert fast_paths_after(Switch(1_300, 0, None, 0)) == leaves
    assert fast_paths_after(Switch(1_400, 0, 0, None, prev_state=1)) == wakes
    assert fast_paths_after(Wake(1_500, 0), after=-1) == neither, "time goes back"
    assert fast_paths_after(Switch(1_600, 0, None, 0), after=EDGE - 1_600) == neither, "the window is over"
    collect(backend)
    assert backend.library.host_fast_paths(EDGE + 1, 0) == neither, "its accounting is still that of the last window"
    assert fast_paths_after(Switch(EDGE + 2, 0, 0, None, prev_state=2, iowait=True)) == wakes
    assert fast_paths_after(Wake(EDGE + 3, 0)) == takes
    assert fast_paths_after(Switch(EDGE + 4, 0, None, 0)) == leaves
    assert fast_paths_after(Exit(EDGE + 5, 0, 0)) == neither


def test_a_task_that_waited_before_tracing_is_not_usual(library):
    backend = HostBackend(library, 1, EDGE)
    backend.task(0)
    backend.standing(0, on_rq=1)
    backend.seed(EDGE - 900)
    assert backend.library.host_fast_paths(EDGE - 800, 0) == 0, "its wait has no beginning, so its end is no sample"


def test_a_task_that_was_hidden_begins_anew_when_it_is_found(backend, monkeypatch):
    """The flush does not reach task 1, which waits through an edge and a whole window: that time is in no window."""
    backend.play(*born_and_running(), Fork(1_100, 1), Arrive(1_100, 1), Switch(1_200, 0, 0, 1))
    monkeypatch.setattr(type(backend), "_run_iterator", lambda *_: None)
    collect(backend)
    monkeypatch.undo()
    backend.play(Switch(NEXT_EDGE + 100, 0, 1, 0))
    windows = [collect(backend, NEXT_EDGE + 200, 4_000), collect(backend, 4_001, 5_000), collect(backend, 5_001, 6_000)]
    assert sum(window.losses["state_failed"] for window in windows) > 0
    for record in (record for window in windows[1:] for record in window.tasks):
        assert record["bank"]["time_ns"].sum() == record["alive_ns"]
