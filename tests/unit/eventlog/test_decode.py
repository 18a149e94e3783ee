"""Raw events of a CPU, written by hand, as rows and gaps: arithmetic on paper."""

from event_words import lost, migrate, raw, switch, wakeup

from schedtel.eventlog.decode import CpuState, Gap, decode


def rows(decoded, *, stored=False):
    return decoded.batch(stored=stored).to_pylist()


def test_each_kind_has_its_columns_and_nothing_in_the_others():
    events = raw(
        switch(100, 7, 0, prio=100),
        wakeup(110, 8, 1, prio=-1),
        wakeup(111, 9, 3, new=True),
        migrate(120, 8, 1, 2),
        switch(130, 0, 7, prio=140, state=0x82),
    )
    decoded, gaps = decode(events, 5, CpuState(90))
    assert gaps == []
    nothing = {"prev_tid": None, "prev_state": None, "target_cpu": None, "source_cpu": None}
    assert rows(decoded) == [
        {
            **nothing,
            "time_ns": 100,
            "cpu": 5,
            "event": "switch",
            "tid": 7,
            "prio": 100,
            "prev_tid": 0,
            "prev_state": "R",
        },
        {**nothing, "time_ns": 110, "cpu": 5, "event": "wakeup", "tid": 8, "prio": -1, "target_cpu": 1},
        {**nothing, "time_ns": 111, "cpu": 5, "event": "wakeup_new", "tid": 9, "prio": 120, "target_cpu": 3},
        {
            **nothing,
            "time_ns": 120,
            "cpu": 5,
            "event": "migrate",
            "tid": 8,
            "prio": 120,
            "target_cpu": 2,
            "source_cpu": 1,
        },
        {
            **nothing,
            "time_ns": 130,
            "cpu": 5,
            "event": "switch",
            "tid": 0,
            "prio": 140,
            "prev_tid": 7,
            "prev_state": "I",
        },
    ]


def test_a_file_does_without_the_task_that_came_in_before():
    decoded, _ = decode(raw(switch(1, 7, 3), switch(2, 8, 7), wakeup(3, 1, 0), switch(4, 7, 8)), 0, CpuState(0))
    assert [row["prev_tid"] for row in rows(decoded)] == [3, 7, None, 8]
    assert [row["prev_tid"] for row in rows(decoded, stored=True)] == [3, None, None, None]


def test_the_chain_of_switches_goes_on_from_piece_to_piece():
    state = CpuState(0)
    decode(raw(switch(1, 7, 3)), 0, state)
    decode(raw(wakeup(2, 9, 0)), 0, state)
    decoded, gaps = decode(raw(switch(3, 8, 7)), 0, state)
    assert gaps == []
    assert [row["prev_tid"] for row in rows(decoded, stored=True)] == [None]


def test_a_task_that_leaves_but_did_not_come_in_is_a_gap_of_one():
    state = CpuState(0)
    decoded, gaps = decode(raw(switch(10, 7, 3), wakeup(12, 5, 0), switch(15, 9, 8), switch(20, 7, 9)), 2, state)
    assert gaps == [Gap(2, 10, 15, 1, "unseen")]
    assert [row["prev_tid"] for row in rows(decoded, stored=True)] == [3, None, 8, None]
    assert decode(raw(switch(30, 1, 6)), 2, state)[1] == [Gap(2, 20, 30, 1, "unseen")]


def test_the_first_switch_of_a_cpu_has_none_before_it():
    assert decode(raw(switch(10, 7, 3)), 0, CpuState(5))[1] == []


def test_a_told_loss_is_a_gap_from_the_event_before_to_the_one_after():
    state = CpuState(5)
    decoded, gaps = decode(
        raw(lost(10, 4), switch(10, 7, 3), wakeup(20, 5, 0), lost(35, 9), switch(35, 1, 8)), 0, state
    )
    assert gaps == [Gap(0, 5, 10, 4, "ring_full"), Gap(0, 20, 35, 9, "ring_full")]
    assert [row["time_ns"] for row in rows(decoded)] == [10, 20, 35]
    assert [row["prev_tid"] for row in rows(decoded, stored=True)] == [3, None, 8]


def test_a_loss_explains_a_broken_chain_also_across_pieces():
    state = CpuState(0)
    assert decode(raw(switch(1, 7, 3), lost(5, 2)), 0, state)[1] == [Gap(0, 1, 5, 2, "ring_full")]
    assert decode(raw(switch(5, 9, 8)), 0, state)[1] == []
    assert decode(raw(switch(8, 1, 4)), 0, state)[1] == [Gap(0, 5, 8, 1, "unseen")]
    assert decode(raw(lost(9, 1)), 0, state)[1] == [Gap(0, 8, 9, 1, "ring_full")]
    assert decode(raw(wakeup(9, 1, 0), switch(11, 6, 5)), 0, state)[1] == []


def test_a_loss_of_any_number_is_kept_whole():
    assert decode(raw(lost(1, 2**40)), 0, CpuState(0))[1] == [Gap(0, 0, 1, 2**40, "ring_full")]


def test_between_tasks_that_a_filter_leaves_out_switches_are_rightly_missing():
    """7 is selected: it comes in, and leaves to 50, which is not. Then others run, until 7 comes back from 60."""
    events = raw(switch(1, 7, 3), switch(2, 50, 7, followed=False), switch(9, 7, 60), switch(10, 50, 7, followed=False))
    decoded, gaps = decode(events, 0, CpuState(0))
    assert gaps == []
    assert [row["prev_tid"] for row in rows(decoded, stored=True)] == [3, None, 60, None]


def test_a_selected_task_that_leaves_without_having_come_is_a_gap():
    state = CpuState(0)
    first = raw(switch(1, 50, 7, followed=False, unseen=True))
    assert decode(first, 0, state)[1] == [], "who was there at the begin is not known to have come unseen"
    events = raw(switch(5, 7, 60), switch(6, 50, 7, followed=False), switch(9, 51, 7, followed=False, unseen=True))
    assert decode(events, 0, state)[1] == [Gap(0, 6, 9, 1, "unseen")]


def test_no_events_are_no_rows():
    state = CpuState(9)
    decoded, gaps = decode(raw(), 0, state)
    assert (rows(decoded), gaps, state) == ([], [], CpuState(9))
