"""The last seconds of events: where the ring begins, who its threads are, and which losses it tells."""

import pytest
from event_words import FACTS, book, life, lost, pieces, switch, wakeup

from schedtel.eventlog import ring as rings
from schedtel.eventlog.decode import Gap
from schedtel.eventlog.recorder import EventRecorder
from schedtel.eventlog.recording import EventRecording
from schedtel.eventlog.ring import EventRing
from schedtel.records.book_layout import BOOK
from schedtel.records.event_layout import LIFE_EVENT

MS, S = 1_000_000, 1_000_000_000
ALIVE, NEWTASK, EXEC, RENAME, EXIT = range(1, 6)
EVERYTHING = 1 << 30


def turns(begin_ms, count=50, tid=7):
    """Two switches in each millisecond: a task comes, and the idle task."""
    return [
        word
        for number in range(count)
        for word in (
            switch((begin_ms + number) * MS, tid, 0),
            switch((begin_ms + number) * MS + MS // 2, 0, tid, state=1),
        )
    ]


def filled(*added, span_ns=S, most_bytes=EVERYTHING, start_ns=0):
    """A ring with pieces, each of them as of a time in milliseconds."""
    ring = EventRing(span_ns, most_bytes, start_ns)
    for taken_ms, part in added:
        ring.add(part, taken_ms * MS, taken_ms * MS)
    return ring


def written(ring, where, end_ms, gaps=()):
    """The snapshot of the ring as a recording."""
    snapshot = ring.snapshot()
    assert snapshot.end_ns == end_ms * MS
    with EventRecorder(where) as recorder:
        recorder.begin(FACTS)
        for part in snapshot:
            recorder.add(part, snapshot.decoder)
        recorder.write(snapshot.decoder, list(gaps))
    return snapshot, EventRecording(where)


def names_of(recording):
    return {row["tid"]: row["comm"] for row in recording.tasks().to_pylist()}


def test_it_has_what_happened_in_its_time_and_nothing_before(tmp_path):
    ring = filled(*((ms + 100, pieces({0: turns(ms, 100)})) for ms in range(0, 3000, 100)))
    snapshot, recording = written(ring, tmp_path / "rec", 3000)
    assert (snapshot.begin_ns, snapshot.end_ns) == (2 * S, 3 * S)
    times = recording.events()["time_ns"].to_pylist()
    assert times == [2 * S + at * MS // 2 for at in range(2000)]


def test_all_cpus_begin_at_the_same_moment(tmp_path):
    """CPU 1 is drained later than CPU 0: its events of a time are in a later piece."""
    ring = filled(
        (100, pieces({0: turns(0, 100), 1: turns(0, 40)})),
        (200, pieces({0: turns(100, 100), 1: turns(40, 140)})),
        (1150, pieces({0: turns(1100, 50), 1: turns(1100, 50)})),
    )
    _, recording = written(ring, tmp_path / "rec", 1150)
    rows = recording.events().to_pylist()
    assert {cpu: min(row["time_ns"] for row in rows if row["cpu"] == cpu) for cpu in (0, 1)} == {
        0: 150 * MS,
        1: 150 * MS,
    }


def test_the_begin_of_the_ring_is_no_gap(tmp_path):
    """The first switch of the ring is from 9, which came before the begin: nothing of it is missing."""
    before, after = [switch(MS, 9, 0)], [switch(1500 * MS, 7, 9), switch(1501 * MS, 0, 7)]
    ring = filled((100, pieces({0: before})), (1600, pieces({0: after})))
    _, recording = written(ring, tmp_path / "rec", 1600)
    assert recording.gaps().num_rows == 0
    assert [row["prev_tid"] for row in recording.events().to_pylist()] == [9, 7]


def test_a_switch_that_was_withheld_within_the_ring_is_a_gap(tmp_path):
    words = [switch(1500 * MS, 7, 9), switch(1501 * MS, 4, 3)]
    _, recording = written(filled((1600, pieces({0: words}))), tmp_path / "rec", 1600)
    assert recording.gaps().to_pylist() == [
        {"cpu": 0, "from_ns": 1500 * MS, "to_ns": 1501 * MS, "events": 1, "cause": "unseen"}
    ]


def test_a_loss_that_reaches_into_the_ring_is_told_whole_since_the_event_before_it(tmp_path):
    ring = filled(
        (100, pieces({0: [switch(50 * MS, 7, 0)]})),
        (1500, pieces({0: [lost(1200 * MS, 12), wakeup(1201 * MS, 7, 0)]})),
    )
    snapshot, recording = written(ring, tmp_path / "rec", 1500)
    assert snapshot.begin_ns == 500 * MS
    assert recording.gaps().to_pylist() == [
        {"cpu": 0, "from_ns": 50 * MS, "to_ns": 1200 * MS, "events": 12, "cause": "ring_full"}
    ]


def test_it_ends_at_a_moment_until_which_nothing_is_missing_on_any_cpu(tmp_path):
    """CPU 0 was copied at 110 ms, CPU 1 at 150 ms."""
    ring = EventRing(S, EVERYTHING, 0)
    late = life(120 * MS, RENAME, 7, b"later")
    ring.add(pieces({0: turns(0, 110), 1: turns(0, 150)}, life(1, ALIVE, 7, b"seven"), late), 160 * MS, 105 * MS)
    _, recording = written(ring, tmp_path / "rec", 105)
    rows = recording.events().to_pylist()
    last = [max(row["time_ns"] for row in rows if row["cpu"] == cpu) for cpu in (0, 1)]
    assert last == [105 * MS, 105 * MS]
    assert names_of(recording) == {7: "seven"}
    ring.add(pieces({0: turns(110, 40)}), 170 * MS, 150 * MS)
    _, recording = written(ring, tmp_path / "again", 150)
    assert recording.events().num_rows == 600
    assert names_of(recording) == {7: "later"}


def test_a_loss_that_is_told_behind_the_end_is_told(tmp_path):
    ring = EventRing(S, EVERYTHING, 0)
    ring.add(pieces({0: [switch(90 * MS, 7, 0), lost(110 * MS, 5), switch(111 * MS, 0, 3)]}), 120 * MS, 100 * MS)
    _, recording = written(ring, tmp_path / "rec", 100)
    assert recording.events().num_rows == 1
    assert recording.gaps().to_pylist() == [
        {"cpu": 0, "from_ns": 90 * MS, "to_ns": 110 * MS, "events": 5, "cause": "ring_full"}
    ]


def test_a_loss_is_since_the_last_event_where_another_piece_tells_of_it_and_a_later_one_is_not_told(tmp_path):
    ring = filled((100, pieces({0: [switch(90 * MS, 7, 0)], 1: turns(0, 50)})))
    behind = [lost(110 * MS, 5), switch(111 * MS, 0, 3), lost(115 * MS, 9)]
    ring.add(pieces({0: behind, 1: [switch(110 * MS, 7, 0), lost(116 * MS, 2)]}), 120 * MS, 100 * MS)
    snapshot, recording = written(ring, tmp_path / "rec", 100)
    assert recording.gaps().to_pylist() == [
        {"cpu": 0, "from_ns": 90 * MS, "to_ns": 110 * MS, "events": 5, "cause": "ring_full"}
    ]
    assert snapshot.ended == {(0, "ring_full"), (1, "ring_full")}


def test_a_loss_before_the_begin_is_not_told(tmp_path):
    ring = filled(
        (100, pieces({0: [switch(10 * MS, 7, 0), lost(50 * MS, 12), switch(60 * MS, 0, 7)]})),
        (1080, pieces({0: [switch(1070 * MS, 7, 0)]})),
    )
    _, recording = written(ring, tmp_path / "rec", 1080)
    assert recording.gaps().num_rows == 0


def test_losses_of_no_cpu_are_told_where_they_end_in_the_ring(tmp_path):
    parts = [pieces({0: turns(at)}) for at in (0, 1500)]
    for part, (begin, end) in zip(parts, ((0, 100 * MS), (1400 * MS, 1600 * MS)), strict=True):
        part.gaps.append(Gap(None, begin, end, 3, "not_run"))
    ring = filled((100, parts[0]), (1600, parts[1]))
    _, recording = written(ring, tmp_path / "rec", 1600)
    assert [row["from_ns"] for row in recording.gaps().to_pylist()] == [1400 * MS]


@pytest.fixture
def events_only(monkeypatch):
    """Memory is that of the events and life events alone."""
    monkeypatch.setattr(rings, "_PIECES_BYTES", 0)
    monkeypatch.setattr(rings, "_ARRAY_BYTES", 0)


@pytest.mark.usefixtures("events_only")
def test_the_memory_has_a_bound_and_the_oldest_go_first(tmp_path):
    """A piece has 200 events of 16 bytes; there is room for five of them."""
    ring = filled(
        *((ms + 100, pieces({0: turns(ms, 100)})) for ms in range(0, 900, 100)), most_bytes=5 * 200 * 16, start_ns=0
    )
    assert ring.is_cut
    snapshot, recording = written(ring, tmp_path / "rec", 900)
    assert snapshot.begin_ns == 400 * MS
    assert recording.events()["time_ns"].to_pylist()[0] == 400 * MS
    assert recording.events().num_rows == 1000


@pytest.mark.usefixtures("events_only")
def test_of_a_piece_that_is_too_large_for_the_memory_the_newest_events_stay(tmp_path):
    """After the collector stood still: 200 events of each CPU, and room for 100 in all; those of CPU 1 are later."""
    early, late = (
        pieces({0: turns(0, 10)}, life(1, ALIVE, 7, b"seven")),
        pieces({0: turns(10, 90), 1: turns(50, 100)}, life(60 * MS, RENAME, 7, b"sieben")),
    )
    ring = filled((10, early), (200, late), most_bytes=100 * 16 + LIFE_EVENT.itemsize)
    snapshot, recording = written(ring, tmp_path / "rec", 200)
    assert (ring.is_cut, snapshot.begin_ns) == (True, 99 * MS + MS // 2 + 1)
    rows = recording.events().to_pylist()
    assert (len(rows), {row["cpu"] for row in rows}) == (100, {1})
    assert (recording.gaps().num_rows, names_of(recording)) == (0, {7: "sieben"})


def test_pieces_without_events_take_memory_as_well():
    """An hour of an idle machine, ten a second; a Python object of each takes a kilobyte and more."""
    ring = filled(*((100 * number, pieces({0: []})) for number in range(36_000)), span_ns=3600 * S, most_bytes=1 << 20)
    assert ring.is_cut
    assert len(ring._held) <= 1024


def test_a_ring_that_time_bounds_is_not_cut():
    assert not filled((100, pieces({0: turns(0)})), (5000, pieces({0: turns(4900)}))).is_cut


# ---- books ----


def told(begin_ms, count=50):
    """The books of the task that comes at each of the switches of :func:`turns`."""
    return [book((begin_ms + number) * MS, 7, role=2) for number in range(count)]


def times_of(table):
    return table["time_ns"].to_pylist()


def test_books_begin_and_end_with_the_events(tmp_path):
    """The last ones were copied behind the end."""
    ring = filled(*((ms + 100, pieces({0: turns(ms, 100)}, books={0: told(ms, 100)})) for ms in range(0, 3000, 100)))
    ring.add(pieces({0: turns(3000, 9)}, books={0: told(3000, 9)}), 3100 * MS, 3004 * MS)
    _, recording = written(ring, tmp_path / "rec", 3004)
    assert times_of(recording.books()) == [2 * S + at * MS for at in range(4, 1005)]
    assert times_of(recording.events())[::2] == times_of(recording.books())


def test_a_loss_of_books_is_told_since_the_books_before_it(tmp_path):
    """One before the begin is not told; one that reaches over it is, and so is one that is told behind the end."""
    before = [book(1 * MS, 3, role=6), book(50 * MS, 7)]
    ring = filled((100, pieces({0: [switch(50 * MS, 7, 0)]}, books={0: before})))
    over = [book(1200 * MS, 12, role=6), book(1201 * MS, 7), book(1600 * MS, 4, role=6)]
    for record, number in ((before[0], 3), (over[0], 12), (over[2], 4)):
        record["entity"], record["tid"] = number, 0
    ring.add(pieces({0: [wakeup(1201 * MS, 7, 0)]}, books={0: over}), 1600 * MS, 1500 * MS)
    _, recording = written(ring, tmp_path / "rec", 1500)
    assert times_of(recording.books()) == [1201 * MS]
    assert sorted(tuple(row.values()) for row in recording.gaps().to_pylist()) == [
        (0, 50 * MS, 1200 * MS, 12, "books_full"),
        (0, 1201 * MS, 1600 * MS, 4, "books_full"),
    ]


@pytest.mark.usefixtures("events_only")
def test_books_take_memory_as_well_and_go_with_their_events(tmp_path):
    """A millisecond has two events and one of the books; there is room for ten such."""
    piece, room = pieces({0: turns(0, 100)}, books={0: told(0, 100)}), 10 * (2 * 16 + BOOK.itemsize)
    _, recording = written(filled((200, piece), most_bytes=room), tmp_path / "rec", 200)
    assert times_of(recording.books()) == [at * MS for at in range(90, 100)]
    assert recording.events().num_rows == 20
    assert recording.gaps().num_rows == 0


# ---- threads ----


def test_who_was_there_at_the_begin_is_told_by_the_last_name(tmp_path):
    ring = filled(
        (1, pieces({}, life(1, ALIVE, 7, b"seven"), life(1, ALIVE, 8, b"eight"), life(1, ALIVE, 9, b"nine"))),
        (100, pieces({}, life(50 * MS, RENAME, 8, b"acht"), life(60 * MS, NEWTASK, 10, b"ten", other=7))),
        (1200, pieces({0: turns(1100)}, life(150 * MS, EXIT, 9), life(1150 * MS, RENAME, 7, b"sieben"))),
    )
    snapshot, recording = written(ring, tmp_path / "rec", 1200)
    assert snapshot.begin_ns == 200 * MS
    rows = recording.tasks().to_pylist()
    alive = {row["tid"]: row["comm"] for row in rows if row["event"] == "alive"}
    assert {tid: comm for tid, comm in alive.items() if tid != 9} == {7: "seven", 8: "acht", 10: "ten"}
    assert {row["time_ns"] for row in rows if row["event"] == "alive"} == {200 * MS}
    assert [(row["tid"], row["comm"], row["time_ns"]) for row in rows if row["event"] == "rename"] == [
        (7, "sieben", 1150 * MS)
    ]


def test_a_new_name_right_before_the_begin_is_the_name_at_the_begin(tmp_path):
    """The piece has both: an event before the begin and one after it."""
    ring = filled(
        (1, pieces({}, life(1, ALIVE, 7, b"old"))),
        (1200, pieces({0: turns(1100)}, life(199 * MS, RENAME, 7, b"new"), life(1150 * MS, RENAME, 7, b"newer"))),
    )
    _, recording = written(ring, tmp_path / "rec", 1200)
    assert [(row["event"], row["comm"]) for row in recording.tasks().to_pylist()] == [
        ("alive", "new"),
        ("rename", "newer"),
    ]


def test_threads_that_are_gone_are_forgotten_a_second_later(tmp_path):
    """Else a machine that forks for a month would fill the memory."""
    born = [life(at, NEWTASK, 1000 + at, b"short") for at in range(1, 200)]
    gone = [life(at + 1, EXIT, 1000 + at, b"short") for at in range(1, 200)]
    ring = filled(
        (1, pieces({}, life(1, ALIVE, 7, b"seven"))),
        (10, pieces({}, *born, *gone)),
        (5000, pieces({0: turns(4900)})),
        (5100, pieces({0: turns(5000)})),
    )
    _, recording = written(ring, tmp_path / "rec", 5100)
    assert names_of(recording) == {7: "seven"}


def test_the_last_switch_of_a_thread_that_has_just_ended_still_has_its_name(tmp_path):
    ring = filled(
        (1, pieces({}, life(1, ALIVE, 7, b"seven"))),
        (100, pieces({}, life(99 * MS, EXIT, 7, b"seven"))),
        (1110, pieces({0: [switch(1101 * MS, 0, 7, state=0x40)]})),
    )
    _, recording = written(ring, tmp_path / "rec", 1110)
    assert names_of(recording) == {7: "seven"}


def test_a_tid_that_is_used_again_has_the_new_name(tmp_path):
    ring = filled(
        (1, pieces({}, life(1, ALIVE, 7, b"first"))),
        (100, pieces({}, life(50 * MS, EXIT, 7, b"first"), life(60 * MS, NEWTASK, 7, b"second", other=1))),
        (9000, pieces({0: turns(8900)})),
    )
    _, recording = written(ring, tmp_path / "rec", 9000)
    assert names_of(recording) == {7: "second"}


def test_a_thread_that_took_over_its_leaders_tid_leaves_its_own(tmp_path):
    ring = filled(
        (1, pieces({}, life(1, ALIVE, 7, b"leader"), life(1, ALIVE, 8, b"thread", tgid=7))),
        (100, pieces({}, life(50 * MS, EXEC, 7, b"other", other=8))),
        (9000, pieces({0: turns(8900)})),
    )
    _, recording = written(ring, tmp_path / "rec", 9000)
    assert names_of(recording) == {7: "other"}


def test_two_snapshots_of_one_ring_are_the_same(tmp_path):
    ring = filled(
        (1, pieces({}, life(1, ALIVE, 7, b"seven"))), *((ms + 100, pieces({0: turns(ms)})) for ms in (0, 900, 1000))
    )
    (_, first), (_, second) = (written(ring, tmp_path / name, 1100) for name in "ab")
    assert first.events().equals(second.events())
    assert first.tasks().equals(second.tasks())
