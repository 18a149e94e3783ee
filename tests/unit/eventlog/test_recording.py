"""Events written and read again: the same rows, whole or refused in a line, also by DuckDB and polars."""

import contextlib
import random
import shutil

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from event_words import FACTS, life, lost, pieces, recorded, switch, wakeup

import schedtel
from schedtel.eventlog.decode import Gap
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.recorder import EventRecorder
from schedtel.eventlog.recording import EventRecording
from schedtel.eventlog.schema import ARROW, COLUMNS
from schedtel.eventlog.windows import EventWindows
from schedtel.foreign_text import bytes_of

MS = 1_000_000


def busy(begin_ms, count=50, tid=7):
    """Words of a CPU on which a task and the idle task take turns, a millisecond each."""
    words = []
    for number in range(count):
        at = (begin_ms + 2 * number) * MS
        words += [wakeup(at - 1000, tid, 0), switch(at, tid, 0), switch(at + MS, 0, tid, state=1)]
    return words


@pytest.fixture
def recording(tmp_path):
    first = pieces({0: busy(1), 1: busy(1, tid=9)}, life(5, 1, 7, b"seven"), life(5, 1, 9, b"nine", tgid=8))
    second = pieces({0: busy(200), 1: [lost(300 * MS, 3), *busy(301, tid=9)]}, life(250 * MS, 4, 7, b"renamed"))
    return recorded(tmp_path / "rec", first, second)


def test_rows_come_back_in_the_order_of_time_with_the_tasks_that_left(recording):
    events = EventRecording(recording).events()
    assert events.num_rows == 4 * 150
    times = events["time_ns"].to_pylist()
    assert times == sorted(times)
    expected = {("switch", 7): 0, ("switch", 9): 0}
    for row in events.to_pylist():
        if row["event"] == "switch":
            mine = 7 if row["cpu"] == 0 else 9
            assert row["prev_tid"] == (0 if row["tid"] else mine)
            expected["switch", mine] += 1
        else:
            assert row["prev_tid"] is None
    assert expected == {("switch", 7): 200, ("switch", 9): 200}


def test_a_file_tells_the_task_that_left_only_once_a_part(recording):
    stored = [pq.read_table(path) for path in sorted((recording / "events").iterdir())]
    assert [
        2 * 100 - table.filter(pa.compute.equal(table["event"], "switch"))["prev_tid"].null_count for table in stored
    ]
    assert [table["prev_tid"].drop_null().to_pylist() for table in stored] == [[0, 0], [0, 0]]


def test_tasks_and_gaps_come_back(recording):
    source = EventRecording(recording)
    assert [(row["event"], row["tid"], row["tgid"], row["comm"]) for row in source.tasks().to_pylist()] == [
        ("alive", 7, 7, "seven"),
        ("alive", 9, 8, "nine"),
        ("rename", 7, 7, "renamed"),
    ]
    assert source.gaps().to_pylist() == [
        {"cpu": 1, "from_ns": 100 * MS, "to_ns": 300 * MS, "events": 3, "cause": "ring_full"}
    ]
    assert source.metadata["host"] == "web1"
    assert source.damaged == []


def test_events_copied_late_are_sorted_across_parts(tmp_path):
    """CPU 1's events are copied after CPU 0's, so the first part has some that are later than some of the second."""
    first = pieces({0: [switch(10 * MS, 7, 0)], 1: [switch(30 * MS, 8, 0)]})
    second = pieces({0: [switch(20 * MS, 0, 7)], 1: [switch(900 * MS, 0, 8)]})
    batches = list(EventRecording(recorded(tmp_path / "rec", first, second)))
    assert [batch.events["time_ns"].to_pylist() for batch in batches] == [
        [],
        [10 * MS, 20 * MS, 30 * MS],
        [900 * MS],
    ]


def test_lives_keep_names_of_any_bytes_and_what_each_kind_tells(tmp_path):
    ugly = b"\x1b[31m\xff\n\"'"
    told = [life(1, 2, 5, ugly, other=4), life(2, 3, 5, b"sh", other=9), life(3, 3, 5, b"sh", other=5)]
    told += [life(4, 5, 5, b"sh", exit_code=9, kernel_thread=True)]
    rows = EventRecording(recorded(tmp_path / "rec", pieces({0: busy(1)}, *told))).tasks().to_pylist()
    assert bytes_of(rows[0]["comm"]) == ugly
    assert [row["parent_tid"] for row in rows] == [4, None, None, None]
    assert [row["previous_tid"] for row in rows] == [None, 9, None, None]
    assert [row["exit_code"] for row in rows] == [None, None, None, 9]
    assert {row["cpu"] for row in rows} == {6}
    assert [row["kernel_thread"] for row in rows] == [False, False, False, True]
    assert {row["start_boottime_ns"] for row in rows} == {77}


def test_what_stands_behind_the_end_of_a_name_is_not_part_of_it(tmp_path):
    told = life(1, 1, 5, b"short\0of an ear")
    assert EventRecording(recorded(tmp_path / "rec", pieces({}, told))).tasks()["comm"].to_pylist() == ["short"]


def test_an_empty_recording_has_no_rows_and_is_read(tmp_path):
    source = EventRecording(recorded(tmp_path / "rec", pieces({})))
    for table in ("events", "tasks", "gaps"):
        found = getattr(source, table)()
        assert found.num_rows == 0
        assert found.schema.equals(ARROW[table])


def test_gaps_of_no_cpu_are_rows_too(tmp_path):
    told = [Gap(None, 1, 2, 5, "lives_full"), Gap(3, 1, 9, 2, "no_ring")]
    rows = EventRecording(recorded(tmp_path / "rec", pieces({0: busy(1)}), gaps=told)).gaps().to_pylist()
    assert [(row["cpu"], row["events"], row["cause"]) for row in rows] == [(None, 5, "lives_full"), (3, 2, "no_ring")]


def test_other_engines_read_the_same_rows(recording):
    where = str(recording / "events" / "*.parquet")
    (told,) = duckdb.sql(f"select count(*), sum(tid), max(time_ns) from '{where}' where event = 'switch'").fetchall()
    rows = [row for row in EventRecording(recording).events().to_pylist() if row["event"] == "switch"]
    assert told == (len(rows), sum(row["tid"] for row in rows), max(row["time_ns"] for row in rows))
    assert pl.read_parquet(where).height == 600


def test_times_are_stored_by_their_differences_and_pages_have_checksums(recording):
    group = pq.ParquetFile(next((recording / "events").iterdir())).metadata.row_group(0)
    columns = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    assert "DELTA_BINARY_PACKED" in columns["time_ns"].encodings
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_an_event_of_a_ping_pong_takes_few_bytes(tmp_path):
    """Times with jitter, as a clock has them: the rest of an event is nearly free."""
    jitter, now, words = random.Random(1), 0, []
    for _ in range(20_000):
        now += jitter.randrange(1500, 2500)
        words += [wakeup(now, 8, 0), switch(now + 300, 8, 7, state=1), wakeup(now + 700, 7, 0)]
        words += [switch(now + 900, 7, 8, state=1)]
    recorded(tmp_path / "rec", pieces({0: words}))
    assert sum(path.stat().st_size for path in (tmp_path / "rec").rglob("*.parquet")) / len(words) < 2


def test_a_uri_gets_the_same_files(tmp_path):
    recorded(f"file://{tmp_path}/rec", pieces({0: busy(1)}))
    source = schedtel.events(f"file://{tmp_path}/rec")
    assert source.events().num_rows == 150


def test_what_is_not_empty_is_not_written_to(recording):
    with pytest.raises(schedtel.RecordingError, match="it is not empty"):
        EventRecorder(recording)


def test_a_directory_that_got_nothing_is_taken_away(tmp_path):
    with EventRecorder(tmp_path / "rec"):
        pass
    assert not (tmp_path / "rec").exists()


def test_only_the_owner_can_read_what_names_commands(recording):
    assert {path.stat().st_mode & 0o77 for path in recording.rglob("*")} == {0}


# ---- what is no recording, or a damaged one ----


def test_a_recording_of_windows_is_refused_with_what_to_do(tmp_path, windows):
    schedtel.Recorder(tmp_path / "rec").write(windows[0])
    with pytest.raises(schedtel.RecordingError, match="it is a recording of windows: use `schedtel show`"):
        schedtel.events(tmp_path / "rec")


def test_a_recording_of_events_is_no_recording_of_windows(recording):
    with pytest.raises(schedtel.RecordingError, match="it has events: use `schedtel timehist`"):
        schedtel.read(recording)


def test_no_directory_and_an_empty_one_are_refused(tmp_path):
    with pytest.raises(schedtel.RecordingError, match="no such directory"):
        schedtel.events(tmp_path / "none")
    with pytest.raises(schedtel.RecordingError, match="no events in it"):
        schedtel.events(tmp_path)


def test_another_version_is_refused(tmp_path):
    where = recorded(tmp_path / "rec", pieces({0: busy(1)}), facts=FACTS | {"events_version": "2"})
    with pytest.raises(schedtel.RecordingError, match="its events have version 2, this schedtel has 1"):
        schedtel.events(where)


def test_a_part_that_is_damaged_is_left_out_and_told(recording):
    second = sorted((recording / "events").iterdir())[1]
    second.write_bytes(second.read_bytes()[:-100])
    source = EventRecording(recording)
    assert source.events().num_rows == 300
    assert len(source.damaged) == 1
    assert str(second) in source.damaged[0]


def test_tasks_whose_events_are_missing_do_not_count(recording):
    """The writer was killed between the two files."""
    sorted((recording / "events").iterdir())[1].unlink()
    assert [row["event"] for row in EventRecording(recording).tasks().to_pylist()] == ["alive", "alive"]


def _rewritten(recording, change):
    path = min((recording / "events").iterdir())
    table = pq.read_table(path)
    pq.write_table(change(table), path)


def _with(table, name, values):
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(name), pa.array(values, table.schema.field(name).type))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda table: table.drop_columns(["prio"]), "its columns are not those of events"),
        (lambda table: _with(table, "time_ns", list(range(table.num_rows, 0, -1))), "times of a CPU go back"),
        (lambda table: _with(table, "prev_tid", [None] * table.num_rows), "does not tell which thread leaves"),
        (lambda table: _with(table, "tid", [1 << 22] * table.num_rows), "tid is out of range"),
        (lambda table: _with(table, "tid", [-1] * table.num_rows), "tid is out of range"),
        (lambda table: _with(table, "cpu", [8192] * table.num_rows), "cpu is out of range"),
    ],
)
def test_a_file_that_makes_no_sense_is_left_out_with_the_reason(recording, change, words):
    _rewritten(recording, change)
    source = EventRecording(recording)
    assert source.events().num_rows == 300
    assert words in source.damaged[0]


def test_any_byte_changed_is_noticed_or_of_no_matter(recording, tmp_path):
    path, chance = min((recording / "events").iterdir()), random.Random(3)
    whole = path.read_bytes()
    for number in range(60):
        copy = tmp_path / str(number)
        shutil.copytree(recording, copy)
        changed = bytearray(whole)
        changed[chance.randrange(len(whole))] ^= 1 << chance.randrange(8)
        (copy / "events" / path.name).write_bytes(changed)
        with contextlib.suppress(schedtel.RecordingError):
            source = EventRecording(copy)
            assert (source.events().num_rows, len(source.damaged)) in {(600, 0), (300, 1)}


def test_options_for_this_machine_are_refused_for_a_recording(recording):
    for option in ({"duration": "1s"}, {"pid": 1}, {"ring_bytes": 4096}, {"books": True}):
        with pytest.raises(schedtel.UsageError, match="they are for this machine"):
            schedtel.events(recording, **option)


def test_every_column_says_what_it_means():
    for table, columns in COLUMNS.items():
        assert [column.name for column in columns] == ARROW[table].names
        assert all(column.meaning for column in columns)


@pytest.mark.parametrize("text", ["", "x", "-1", "9" * 30, "1,2", "٣"])
def test_numbers_of_the_metadata_that_are_none_are_nothing(tmp_path, text):
    where = recorded(tmp_path / "rec", pieces({0: busy(1)}), facts=FACTS | {"wall_offset_ns": text, "cpus": text})
    source = EventRecording(where)
    assert source.wall_offset_ns == 0
    assert set(source.cpus) <= {0, 1, 2}


def test_windows_of_events_with_a_filter_are_refused(tmp_path):
    source = EventRecording(recorded(tmp_path / "rec", pieces({0: busy(1)}), facts=FACTS | {"filter": "pid=7"}))
    with pytest.raises(schedtel.RecordingError, match=r"events with a filter \(pid=7\).*record all tasks"):
        EventWindows(source, Tasks(source.tasks()))


def test_windows_add_up_to_the_times_on_paper(tmp_path):
    """A task that runs a millisecond and sleeps one, 50 times, is woken 1 µs before it comes."""
    source = EventRecording(recorded(tmp_path / "rec", pieces({0: busy(1)}, life(5, 1, 7, b"seven"))))
    rows = [row for made in EventWindows(source, Tasks(source.tasks()), "30ms") for row in made.tasks.to_pylist()]
    mine = [row for row in rows if row["tid"] == 7]
    assert {row["comm"] for row in mine} == {"seven"}
    assert sum(row["cpu_ns"] for row in mine) == 50 * MS
    assert sum(row["voluntary_switches"] for row in mine) == 50
    assert sum(row["wakeup_wait_ns"] for row in mine) == 50 * 1000
