"""Raw books, written by hand, as rows and gaps; and through a file."""

import numpy as np
import pytest
from event_words import book, lost, pieces, recorded, switch

from schedtel.errors import RecordingError
from schedtel.eventlog.books import BookDecoder
from schedtel.eventlog.decode import Gap
from schedtel.eventlog.files import losses
from schedtel.eventlog.recording import EventRecording
from schedtel.eventlog.schema import ARROW

ON_RQ, DELAYED, CURRENT, VPROT, BUDDY = 1, 2, 4, 8, 16


def decoded(*books, cpu=0, decoder=None):
    rows, gaps = (decoder or BookDecoder(5)).decode(cpu, np.stack(books))
    return rows.to_pylist(), gaps


def test_each_field_has_its_column():
    told = book(100, 7, parent=0x2000, vruntime=-(1 << 20), deadline=2_000, lag=3_000, slice=2_800_000)
    told["weight"], told["queued"] = 1 << 20, 3
    told["flags"] = ON_RQ | CURRENT | VPROT
    (row,), gaps = decoded(told, cpu=4)
    assert gaps == []
    assert row == {
        "time_ns": 100,
        "cpu": 4,
        "tid": 7,
        "role": "leaves",
        "level": 0,
        "entity": row["entity"],
        "parent": row["parent"],
        "queue": row["queue"],
        "vruntime_ns": -(1 << 20),
        "deadline_ns": 2_000,
        "vlag_ns": None,
        "vprot_ns": 3_000,
        "slice_ns": 2_800_000,
        "weight": 1 << 20,
        "on_rq": True,
        "sched_delayed": False,
        "is_current": True,
        "is_buddy": False,
        "queued": 3,
    }
    assert len({row["entity"], row["parent"], row["queue"]}) == 3


def test_the_lag_of_one_that_left_its_queue_has_a_sign():
    (row,), _ = decoded(book(1, 7, flags=0, lag=-5))
    assert (row["vlag_ns"], row["vprot_ns"], row["on_rq"], row["parent"]) == (-5, None, False, None)


def test_flags_are_told_apart():
    rows, _ = decoded(*(book(1, 7, flags=flag) for flag in (ON_RQ, DELAYED, CURRENT, BUDDY)))
    names = ("on_rq", "sched_delayed", "is_current", "is_buddy")
    assert [[row[name] for name in names] for row in rows] == np.eye(4, dtype=bool).tolist()


def test_roles_have_their_words():
    rows, _ = decoded(*(book(1, 7, role=role) for role in range(1, 6)))
    assert [row["role"] for row in rows] == ["leaves", "comes", "wakes", "migrates", "queued"]


def test_addresses_become_numbers_that_stay_and_are_no_addresses():
    decoder = BookDecoder(0)
    high = 0xFFFF_8880_0000_0000
    first, _ = decoded(book(1, 7, entity=high + 8, parent=high, queue=high + 64), decoder=decoder)
    second, _ = decoded(book(2, 8, entity=high + 16, parent=high, queue=high + 64), decoder=decoder)
    third, _ = decoded(book(3, 7, entity=high + 8, parent=high, queue=high + 72), decoder=decoder, cpu=1)
    assert first[0]["parent"] == second[0]["parent"] == third[0]["parent"]
    assert first[0]["queue"] == second[0]["queue"] != third[0]["queue"]
    assert first[0]["entity"] == third[0]["entity"] != second[0]["entity"]
    assert max(row[0][name] for row in (first, second, third) for name in ("entity", "parent", "queue")) < 10


def test_a_loss_is_a_gap_between_the_books_before_and_after():
    decoder = BookDecoder(5)
    assert decoded(book(10, 0, role=6, entity=4), book(10, 7), decoder=decoder)[1] == [Gap(0, 5, 10, 4, "books_full")]
    rows, gaps = decoded(book(20, 0, role=6, entity=9), book(20, 7), decoder=decoder)
    assert gaps == [Gap(0, 10, 20, 9, "books_full")]
    assert [row["time_ns"] for row in rows] == [20]


def test_books_come_back_from_files_part_by_part(tmp_path):
    first = pieces({0: [switch(10, 7, 0)]}, books={0: [book(10, 7, role=2)], 1: [book(4, 9)]})
    second = pieces({0: [switch(20, 0, 7)]}, books={0: [book(20, 7, flags=0)]})
    where = recorded(tmp_path / "rec", first, second, pieces({0: [switch(30, 7, 0)]}))
    assert len(list((where / "books").iterdir())) == 2
    source = EventRecording(where)
    told = [(row["cpu"], row["time_ns"], row["tid"]) for row in source.books().to_pylist()]
    assert [row for row in told if row[0] == 0] == [(0, 10, 7), (0, 20, 7)]
    assert [row for row in told if row[0] == 1] == [(1, 4, 9)]
    assert source.events().num_rows == 3
    assert {path.stat().st_mode & 0o77 for path in where.rglob("*")} == {0}


def test_a_recording_without_books_has_none(tmp_path):
    where = recorded(tmp_path / "rec", pieces({0: [switch(10, 7, 0)]}))
    assert not (where / "books").exists()
    books = EventRecording(where).books()
    assert books.num_rows == 0
    assert books.schema.equals(ARROW["books"])


def test_books_of_another_table_are_left_out_and_told(tmp_path):
    where = recorded(tmp_path / "rec", pieces({0: [switch(10, 7, 0)]}, books={0: [book(10, 7)]}))
    (events,), (books,) = (list((where / table).iterdir()) for table in ("events", "books"))
    books.write_bytes(events.read_bytes())
    with pytest.raises(RecordingError, match="its columns are not those of books"):
        EventRecording(where).events()


def test_lost_books_are_no_lost_events(tmp_path):
    words = [switch(10, 7, 0), lost(20, 3), switch(20, 0, 7)]
    books = {0: [book(10, 7), book(20, 0, role=6, entity=5), book(20, 7)]}
    source = EventRecording(recorded(tmp_path / "rec", pieces({0: words}, books=books)))
    gaps = source.gaps()
    assert [(row["cause"], row["events"]) for row in gaps.to_pylist()] == [("ring_full", 3), ("books_full", 5)]
    assert gaps.take(losses(gaps))["events"].to_pylist() == [3]


def test_books_come_with_their_events_also_where_these_come_with_a_later_batch(tmp_path):
    """The newest tenth of a second of a part is held back until the next one."""
    ms = 1_000_000
    first = pieces(
        {0: [switch(10 * ms, 7, 0), switch(300 * ms, 0, 7)]}, books={0: [book(10 * ms, 7), book(300 * ms, 7)]}
    )
    batches = list(EventRecording(recorded(tmp_path / "rec", first)))
    for batch in batches:
        assert batch.books["time_ns"].to_pylist() == batch.events["time_ns"].to_pylist()
    assert [batch.events.num_rows for batch in batches] == [1, 1]
