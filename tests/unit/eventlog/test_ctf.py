"""A recording as a trace in the Common Trace Format, read by babeltrace2."""

import re
import shutil
import subprocess
from collections import Counter
from datetime import UTC, datetime

import pytest
from event_samples import NAMES, START, WALL, everything
from event_words import pieces, recorded
from waiting import PATIENCE_S

from schedtel.errors import UsageError
from schedtel.eventlog.ctf import CtfTrace
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.recording import EventRecording

#: As sched_switch prints them (include/trace/events/sched.h): the bits of prev_state.
BITS = {"R": 0, "S": 1, "D": 2, "T": 4, "t": 8, "X": 16, "Z": 32, "P": 64, "I": 128, "R+": 256}
_LINE = re.compile(rb"\[(\d+)\] \(\S+\) (.*?) (\w+): \{ cpu_id = (\d+) \}, \{ ?(.*?) ?\}", re.DOTALL)
_FIELD = re.compile(rb'(\w+) = ("(?:[^"\\]|\\.)*"|-?\d+)', re.DOTALL)
_ESCAPES = {b"n": b"\n", b"e": b"\x1b"}


def exported(where, to):
    recording = EventRecording(where)
    with CtfTrace(str(to)) as trace:
        return recording, trace.write(recording, Tasks(recording.tasks()))


def babeltrace(*arguments):
    """What it prints, and its complaints."""
    command = ["babeltrace2", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr.decode()


def value(text):
    if not text.startswith(b'"'):
        return int(text)
    return re.sub(rb"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text[1:-1], flags=re.DOTALL)


def events(text):
    """Each line as (time in ns, host, name, CPU, fields)."""
    found = [_LINE.fullmatch(line) for line in text.split(b"\n") if line]
    assert all(found)
    return [
        (int(time), host, name.decode(), int(cpu), {key.decode(): value(text) for key, text in _FIELD.findall(fields)})
        for time, host, name, cpu, fields in (match.groups() for match in found)
    ]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The recording, what the export says it has written, and the events and complaints of babeltrace2."""
    if shutil.which("babeltrace2") is None:
        pytest.skip("needs babeltrace2 (apt install babeltrace2)")
    folder = tmp_path_factory.mktemp("ctf")
    recording, number = exported(everything(folder / "rec"), folder / "trace")
    told, complaints = babeltrace("--clock-cycles", "--clock-gmt", folder / "trace")
    return recording, number, events(told), complaints


def of(both, name):
    return [(time, cpu, fields) for time, _, told, cpu, fields in both[2] if told == name]


def rows(both, event):
    return [row for row in both[0].events().to_pylist() if row["event"] == event]


def named(tid):
    return b"swapper" if tid == 0 else NAMES[tid]


def by_time(events):
    return sorted(events, key=lambda event: event[:2])


def test_every_event_is_read_in_the_order_of_time(both):
    recording, number, told, _ = both
    kinds = Counter(name for _, _, name, _, _ in told)
    counted = Counter(recording.events()["event"].to_pylist())
    assert number == sum(counted.values()) > 1_500
    assert kinds["sched_switch"] == counted["switch"]
    assert kinds["sched_wakeup"] == counted["wakeup"]
    assert kinds["sched_wakeup_new"] == counted["wakeup_new"]
    assert kinds["sched_migrate_task"] == counted["migrate"]
    times = [time for time, *_ in told]
    assert times == sorted(times)
    assert {host for _, host, *_ in told} == {b"web1"}


def test_switches_have_both_threads(both):
    before = dict.fromkeys((0, 1), 120)
    expected = []
    for row in rows(both, "switch"):
        fields = {"prev_comm": named(row["prev_tid"]), "prev_tid": row["prev_tid"]}
        fields |= {"prev_prio": before[row["cpu"]], "prev_state": BITS[row["prev_state"]]}
        fields |= {"next_comm": named(row["tid"]), "next_tid": row["tid"], "next_prio": row["prio"]}
        before[row["cpu"]] = row["prio"]
        expected.append((row["time_ns"], row["cpu"], fields))
    assert by_time(of(both, "sched_switch")) == by_time(expected)


@pytest.mark.parametrize("event", ["wakeup", "wakeup_new"])
def test_wakeups_say_whom_and_where(both, event):
    assert by_time(of(both, f"sched_{event}")) == by_time(
        (
            row["time_ns"],
            row["cpu"],
            {
                "comm": named(row["tid"]),
                "tid": row["tid"],
                "prio": row["prio"],
                "target_cpu": row["target_cpu"],
            },
        )
        for row in rows(both, event)
    )


def test_migrations_say_from_where_to_where(both):
    assert by_time(
        (time, cpu, fields["tid"], fields["orig_cpu"], fields["dest_cpu"])
        for time, cpu, fields in of(both, "sched_migrate_task")
    ) == by_time(
        (row["time_ns"], row["cpu"], row["tid"], row["source_cpu"], row["target_cpu"]) for row in rows(both, "migrate")
    )


def test_lives_are_told(both):
    births = [fields for _, _, fields in of(both, "sched_process_fork")]
    child, twin = sorted(births, key=lambda fields: fields["child_tid"])
    assert child == {
        "parent_comm": b"plain",
        "parent_tid": 7,
        "parent_pid": 7,
        "child_comm": b"child",
        "child_tid": 12,
        "child_pid": 12,
    }
    assert (twin["parent_tid"], twin["parent_pid"], twin["child_tid"], twin["child_pid"]) == (8, 7, 13, 7)
    ((_, _, run),) = of(both, "sched_process_exec")
    assert run == {"filename": b"exec", "tid": 12, "old_tid": 13}
    ((time, _, end),) = of(both, "sched_process_exit")
    assert (time, end["tid"], end["comm"]) == (START + 12_000_000, 12, b"exec")


def test_who_was_there_at_the_begin_is_dumped_first(both):
    names = [name for _, _, name, _, _ in both[2]]
    assert names[:7] == ["lttng_statedump_start", *["lttng_statedump_process_state"] * 5, "lttng_statedump_end"]
    states = {fields["tid"]: fields for _, _, fields in of(both, "lttng_statedump_process_state")}
    assert {tid: (fields["name"], fields["pid"]) for tid, fields in states.items()} == {
        tid: (name, 7 if tid == 8 else tid) for tid, name in NAMES.items()
    }


def test_losses_are_told_with_their_number_and_their_place(both):
    """From the CPU's last event before to the end of the gap, on the wall clock."""
    told = re.findall(r"Tracer discarded (\d+) events? between \[(\S+)\] and \[(\S+)\]", both[3])
    rows = both[0].events().to_pylist()
    last = [
        max(row["time_ns"] for row in rows if row["cpu"] == cpu and row["time_ns"] < end)
        for cpu, end in ((1, START + 10_000_000), (0, START + 19_500_000))
    ]
    assert told == [
        ("12", clock(last[0]), clock(START + 10_000_000)),
        ("3", clock(last[1]), clock(START + 19_500_000)),
    ]


def clock(time_ns):
    """A time as babeltrace2 prints it: of the day, in UTC."""
    seconds, rest = divmod(time_ns + WALL, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%H:%M:%S}.{rest:09}"


def test_the_clock_is_that_of_the_wall(both, tmp_path):
    recording, *_ = both
    exported(recording._place.root, tmp_path / "trace")
    text, _ = babeltrace("--clock-gmt", "--clock-date", tmp_path / "trace")
    first = re.match(rb"\[(\S+ \S+)\]", text)[1].decode()
    seconds, rest = divmod(START + WALL, 10**9)
    assert first == f"2023-11-14 22:13:25.{rest:09}"
    assert seconds == 1_700_000_005


def test_a_host_with_a_hostile_name_ends_no_text(tmp_path):
    if shutil.which("babeltrace2") is None:
        pytest.skip("needs babeltrace2 (apt install babeltrace2)")
    hostile = '"; };\nevent { name = "x\\'
    exported(everything(tmp_path / "rec", host=hostile, kernel=hostile), tmp_path / "trace")
    told, _ = babeltrace("--clock-cycles", tmp_path / "trace")
    assert {host for _, host, *_ in events(told)} == {b"__ ___event _ name _ _x_"}


def test_an_empty_recording_is_a_trace(tmp_path):
    if shutil.which("babeltrace2") is None:
        pytest.skip("needs babeltrace2 (apt install babeltrace2)")
    exported(recorded(tmp_path / "rec", pieces({})), tmp_path / "trace")
    told, complaints = babeltrace(tmp_path / "trace")
    assert re.findall(rb"lttng_\w+", told) == [b"lttng_statedump_start", b"lttng_statedump_end"]
    assert complaints == ""


@pytest.mark.parametrize("where", ["-", "s3://bucket/x"])
def test_what_is_no_directory_is_refused(where):
    with pytest.raises(UsageError, match=r"cannot (write|use)"):
        CtfTrace(where)


def test_a_directory_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine").write_text("x")
    with pytest.raises(UsageError, match="it is not empty"):
        CtfTrace(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_only_the_owner_can_read_it(tmp_path):
    exported(recorded(tmp_path / "rec", pieces({})), tmp_path / "trace")
    assert {path.stat().st_mode & 0o77 for path in (tmp_path / "trace").rglob("*")} == {0}
