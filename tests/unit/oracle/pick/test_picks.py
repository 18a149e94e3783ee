"""Recordings of a few switches, written by hand: which are contested, what is guessed, and which are left out."""

import json
import math

import pytest
from event_words import FACTS, book, lost, migrate, pieces, recorded, switch, wakeup

from schedtel.errors import RecordingError
from schedtel.eventlog.recording import EventRecording
from schedtel.oracle.pick.figures import figures, lines, total
from schedtel.oracle.pick.picks import judge

LEAVES, COMES, WAKES, MIGRATES, QUEUED = range(1, 6)
SLEEPS, PREEMPTED = 1, 0x100


def own(ns, tid, role, vruntime, deadline, *, on_rq=True, weight=1 << 20):
    """The books of a thread that is in no group, on the queue of CPU 0."""
    fields = {"vruntime": vruntime, "deadline": deadline, "weight": weight}
    return book(ns, tid, role=role, entity=0x1000 * tid, queue=0x99, flags=int(on_rq), **fields)


def three_wait(came=3):
    """Idle; 2, 3 and 4 are woken in this order; at 40, one of them comes. By EEVDF it is 3: the mean of 0, 2 and 100 is
    34, and 4 with the earliest deadline is above it.
    """
    words = [switch(5, 0, 9, prio=120, state=SLEEPS), wakeup(10, 2, 0), wakeup(20, 3, 0), wakeup(30, 4, 0)]
    words += [switch(40, came, 0)]
    books = [own(10, 2, WAKES, 0, 90), own(20, 3, WAKES, 2, 80), own(30, 4, WAKES, 100, 70)]
    return words, [*books, own(40, came, COMES, 2, 80)]


def judged(where, words, books, most=100, **facts):
    return judge(EventRecording(recorded(where, pieces({0: words}, books={0: books}), facts=FACTS | facts)), most)


def test_a_switch_at_which_several_wait_is_guessed_before_it_is_looked_at(tmp_path):
    picks = judged(tmp_path / "rec", *three_wait())
    (pick,) = picks.contested
    assert picks.switches == 2
    assert (pick.time_ns, pick.came, pick.waiting, pick.reason) == (40, 3, 3, "")
    assert (pick.emulator, pick.last_woken, pick.lowest_vruntime, pick.longest_waiting) == (3, 4, 2, 2)
    assert (picks.share("emulator"), picks.share("last_woken")) == (1.0, 0.0)


def test_who_comes_does_not_change_the_guess(tmp_path):
    picks = judged(tmp_path / "rec", *three_wait(came=2))
    (pick,) = picks.contested
    assert (pick.emulator, pick.reason) == (3, "other")
    assert picks.share("emulator") == 0.0


def test_where_one_alone_waits_nothing_is_contested(tmp_path):
    words, books = three_wait()
    words.append(switch(50, 2, 3, state=SLEEPS))
    words.append(switch(60, 4, 2, state=SLEEPS))
    books += [own(50, 3, LEAVES, 12, 80, on_rq=False), own(50, 2, COMES, 0, 90)]
    books += [own(60, 2, LEAVES, 10, 90, on_rq=False), own(60, 4, COMES, 100, 70)]
    picks = judged(tmp_path / "rec", words, books)
    assert [(pick.time_ns, pick.waiting) for pick in picks.contested] == [(40, 3), (50, 2)]
    assert picks.share("emulator") == 1.0


def test_a_tie_is_told_as_one(tmp_path):
    """Of 2 and 3 with one deadline, 2 came first and is guessed, but 3 came in."""
    words, _ = three_wait()
    books = [own(10, 2, WAKES, 0, 80), own(20, 3, WAKES, 2, 80), own(30, 4, WAKES, 100, 70), own(40, 3, COMES, 2, 80)]
    (pick,) = judged(tmp_path / "rec", words, books).contested
    assert (pick.emulator, pick.reason) == (2, "tie")


def test_one_whose_wakeup_is_missing_is_told_as_a_lost_event(tmp_path):
    words, books = three_wait(came=7)
    (pick,) = judged(tmp_path / "rec", words, books).contested
    assert (pick.emulator, pick.reason) == (3, "lost event")


def test_real_time_goes_first_and_in_the_order_in_which_it_came(tmp_path):
    words, books = three_wait()
    words[1:1] = [wakeup(6, 21, 0, prio=50), wakeup(7, 22, 0, prio=50)]
    words[-1:] = [
        switch(40, 21, 0, prio=50),
        switch(41, 22, 21, prio=50, state=SLEEPS),
        switch(42, 3, 22, state=SLEEPS),
    ]
    books[-1] = own(42, 3, COMES, 2, 80)
    picks = judged(tmp_path / "rec", words, books)
    assert [pick.emulator for pick in picks.contested] == [21, 22, 3]
    assert picks.share("emulator") == 1.0


def test_one_that_the_balancer_has_brought_is_known_by_the_books_of_the_next_switch(tmp_path):
    """5 waits on CPU 1, moves to CPU 0, and has the earliest deadline there."""
    words, books = three_wait(came=5)
    words.insert(-1, migrate(35, 5, 1, 0))
    books.insert(-1, own(40, 5, QUEUED, 1, 60))
    (pick,) = judged(tmp_path / "rec", words, books).contested
    assert (pick.emulator, pick.waiting) == (5, 4)


def test_a_switch_away_from_a_thread_says_that_it_was_not_chosen(tmp_path):
    """3 is preempted, and would be chosen again; 2 is next."""
    words, books = three_wait()
    words.append(switch(50, 2, 3, state=PREEMPTED))
    books += [own(50, 3, LEAVES, 5, 80), own(50, 2, COMES, 0, 90)]
    assert [pick.emulator for pick in judged(tmp_path / "rec", words, books).contested] == [3, 2]


@pytest.mark.parametrize("missing", ["events", "books"])
def test_what_is_in_a_gap_is_left_out_and_counted(tmp_path, missing):
    words, books = three_wait()
    if missing == "events":
        words.insert(-1, lost(40, 3))
    else:
        books.insert(-1, book(40, 0, role=6, entity=3))
    picks = judged(tmp_path / "rec", words, books)
    assert (picks.contested, picks.spoiled) == ([], 1)
    assert math.isnan(picks.share("emulator"))


def test_no_more_switches_than_asked_for_are_looked_at(tmp_path):
    assert judged(tmp_path / "rec", *three_wait(), most=1).switches == 1


def test_recordings_without_books_or_with_a_filter_are_refused(tmp_path):
    words, books = three_wait()
    with pytest.raises(RecordingError, match="no books in the recording"):
        judged(tmp_path / "one", words, [])
    with pytest.raises(RecordingError, match="the recording has a filter"):
        judged(tmp_path / "two", words, books, filter="pid=7")


# ---- figures ----


def test_figures_are_counts_shares_and_reasons(tmp_path):
    right, wrong = (judged(tmp_path / str(came), *three_wait(came=came)) for came in (3, 2))
    rows = [figures("one", right), figures("two", wrong)]
    assert (rows[0]["contested"], rows[0]["shares"]["emulator"], rows[0]["reasons"]) == (1, 1.0, {})
    assert (rows[1]["waiting_mean"], rows[1]["reasons"]) == (3.0, {"other": 1})
    assert (total(rows)["mean"]["emulator"], total(rows)["worst"]["emulator"]) == (0.5, 0.0)
    told = lines(rows)
    assert [line.split()[0] for line in told[1:5]] == ["one", "two", "mean", "worst"]
    assert told[1].split()[1:6] == ["2", "1", "0", "3.0", "1.000"]
    assert told[-1] == "the emulator was wrong at 1 of 2 contested switches: 1 other"
    assert len({len(line) for line in told[:5]}) == 1


def test_nothing_contested_is_no_number(tmp_path):
    row = figures("one", judged(tmp_path / "rec", *three_wait(), most=1))
    assert row["shares"]["emulator"] is row["waiting_mean"] is total([row])["mean"]["emulator"] is None
    assert lines([row])[1].split()[-1] == "-"


def test_the_command_prints_them_or_json(run, tmp_path):
    judged(tmp_path / "rec", *three_wait())
    status, told, _ = run("oracle", "pick", tmp_path / "rec")
    assert (status, told.splitlines()[1].split()[1:3]) == (0, ["2", "1"])
    status, told, _ = run("oracle", "pick", tmp_path / "rec", "--format", "json")
    assert json.loads(told)["mean"]["emulator"] == 1.0
    status, _, said = run("oracle", "pick", tmp_path / "none")
    assert (status, len(said.splitlines())) == (2, 1)
