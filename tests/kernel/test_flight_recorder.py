"""``schedtel events record --ring`` on the running kernel: triggers, requests, losses, and what SIGKILL leaves."""

import json
import signal
import subprocess
import sys
import time

import pytest
from kernel_programs import program_ids
from waiting import PATIENCE_S, catches, eventually

from schedtel.eventlog.recording import EventRecording

COMMAND = [sys.executable, "-m", "schedtel.cli"]
NS_PER_S = 10**9


@pytest.fixture
def recorder(tmp_path):
    """Start a flight recorder in ``rec``; one that still runs at the end is killed, by its pid."""
    started = []

    def begin(*options, prefix=(), stdin=None):
        words = [*prefix, *COMMAND, "events", "record", "-o", tmp_path / "rec", *options]
        started.append(subprocess.Popen([*map(str, words)], stdin=stdin, stderr=subprocess.PIPE, text=True))
        first = started[-1].stderr.readline()
        assert first.startswith("keeping the last "), first
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


def run(*arguments):
    words = [*COMMAND, *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


def end(process):
    """Its status, and what else it said."""
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=PATIENCE_S)[1]
    return process.returncode, said.splitlines()


def log(folder):
    path = folder / "rec" / "snapshots.ndjson"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_request_by_hand_gets_the_last_seconds_whole_by_themselves(tmp_path, recorder, start, last_cpu):
    """Beside it two threads send each other a byte. They are older than the ring, and have their names all the same."""
    pair = start("pingpong", 10_000_000, cpu=last_cpu)
    eventually(lambda: _children(pair.pid))
    the_two = {pair.pid} | _children(pair.pid)
    process, begun, before = recorder("--ring", "500ms"), time.monotonic(), _switches(pair.pid)
    eventually(lambda: time.monotonic() - begun > 0.6 and _switches(pair.pid) > before + 1_000)  # the ring is full
    asked_ns = time.monotonic_ns()
    done = run("events", "snapshot", tmp_path / "rec")
    answered_ns = time.monotonic_ns()
    assert done.returncode == 0, done.stderr
    folder = done.stdout.strip()
    (line,) = log(tmp_path)
    assert folder == f"{tmp_path}/rec/{line['name']}"
    assert asked_ns <= line["to_ns"] <= answered_ns
    assert line["to_ns"] - line["from_ns"] == pytest.approx(NS_PER_S / 2, abs=1)
    recording = EventRecording(folder)
    events = recording.events()
    times = events["time_ns"].to_numpy()
    assert line["from_ns"] <= times[0] <= times[-1] <= line["to_ns"]
    assert times[-1] - times[0] > 0.2 * NS_PER_S
    assert (recording.metadata["reason"], recording.start_ns) == ("by hand", line["from_ns"])
    assert (line["events"], line["reason"]) == (events.num_rows, "by hand")
    alive = {row["tid"]: row["comm"] for row in recording.tasks().to_pylist() if row["event"] == "alive"}
    assert {alive.get(tid) for tid in the_two} == {"schedtel-load"}
    # Where the chain of a CPU is broken a gap says so, within the ring: its begin is none.
    assert all(gap["from_ns"] >= recording.start_ns for gap in recording.gaps().to_pylist() if gap["cause"] == "unseen")
    assert run("timehist", folder).stdout.count("schedtel-load[") > 10
    status, said = end(process)
    assert status == 0
    assert said[0].startswith(f"wrote {folder}: ")
    assert said[-1].endswith("snapshots: 1")


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return set(map(int, file.read().split()))


def test_a_condition_that_windows_break_writes_what_led_to_it_once(tmp_path, recorder, start, last_cpu):
    """It is broken in every window: there is one snapshot, since the value does not recover, nor a minute pass."""
    start("pingpong", 10_000_000, cpu=last_cpu)
    process = recorder("--ring", "1s", "-w", "100ms", "--trigger", "voluntary_switches > 20")
    eventually(lambda: log(tmp_path))
    (line,) = log(tmp_path)
    number = int(line["reason"].split("voluntary_switches ")[1].split(" > ")[0])
    recording = EventRecording(tmp_path / "rec" / line["name"])
    assert recording.metadata["reason"] == line["reason"]
    left = [row for row in recording.events().to_pylist() if row["event"] == "switch" and row["prev_state"] == "S"]
    assert len(left) >= number * 0.5 > 10
    written = time.monotonic()
    eventually(lambda: time.monotonic() - written > 0.5)  # five windows more
    status, said = end(process)
    assert (status, len(log(tmp_path))) == (0, 1)
    assert said[0].endswith(f"({line['reason']})")


def test_a_command_is_watched_until_it_ends_and_the_last_window_may_be_a_reason(tmp_path, recorder):
    """Its one window ends with it. Before that, a signal asks for a snapshot."""
    words = ("--ring", "1m", "-w", "50s", "--trigger", "tasks_completed >= 1", "--", "sh", "-c", "read line; exit 7")
    process = recorder(*words, stdin=subprocess.PIPE)
    process.send_signal(signal.SIGUSR1)
    eventually(lambda: log(tmp_path))
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 7
    assert [line["reason"].split(" ")[0] for line in log(tmp_path)] == ["by", "window"]
    names = {row["comm"] for row in EventRecording(tmp_path / "rec" / log(tmp_path)[1]["name"]).tasks().to_pylist()}
    assert "sh" in names


def test_a_drop_is_told_and_the_begin_is_not(tmp_path, recorder, start, last_cpu):
    """The kernel's ring has room for 65,536 events of a CPU; the recorder is stopped until it is full."""
    pair = start("pingpong", 10_000_000, cpu=last_cpu)
    process = recorder("--ring", "3s", "--ring-size", "1", "-p", pair.pid)
    process.send_signal(signal.SIGSTOP)
    before = _switches(pair.pid)
    eventually(lambda: _switches(pair.pid) > before + 50_000)  # of one of the two, and each has a wakeup
    process.send_signal(signal.SIGCONT)
    folder = run("events", "snapshot", tmp_path / "rec", "-q").stdout.strip()
    recording = EventRecording(folder)
    gaps = [gap for gap in recording.gaps().to_pylist() if gap["cause"] == "ring_full"]
    assert sum(gap["events"] for gap in gaps) > 10_000
    events = recording.events()
    for gap in gaps:
        known = events["time_ns"].to_numpy()[events["cpu"].to_numpy() == gap["cpu"]]
        assert gap["to_ns"] > recording.start_ns
        assert not ((gap["from_ns"] < known) & (known < gap["to_ns"])).any()
    assert end(process)[0] == 0


def _switches(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return sum(int(line.split()[1]) for line in file if "ctxt_switches" in line)


def test_little_memory_is_told_and_what_a_killed_recorder_wrote_stays(tmp_path, recorder, start, last_cpu):
    start("pingpong", 10_000_000, cpu=last_cpu)
    before = program_ids("on_migrate")
    process = recorder("--ring", "1h", "--ring-memory", "1")
    assert process.stderr.readline().startswith("the memory for the ring holds the last ")
    folder = run("events", "snapshot", tmp_path / "rec", "-q").stdout.strip()
    process.kill()
    process.wait()
    (told,) = log(tmp_path)
    recording = EventRecording(folder)
    assert 0 < recording.events().num_rows == told["events"] <= 1 << 16
    assert recording.damaged == []
    eventually(lambda: program_ids("on_migrate") <= before)
    done = run("events", "snapshot", tmp_path / "rec")
    assert done.returncode == 2
    assert done.stderr.startswith("schedtel: cannot ask for a snapshot: no recorder keeps snapshots in")


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=200k tmpfs "$1" || exit 77
shift
exec "$@"
"""


def test_a_full_disk_is_a_line_and_what_was_written_stays(tmp_path, recorder):
    (tmp_path / "rec").mkdir(mode=0o700)
    prefix = ["unshare", "-m", "sh", "-c", ON_A_SMALL_DISK, "sh", tmp_path / "rec"]
    process = recorder("--ring", "20ms", prefix=prefix)
    eventually(lambda: catches(process.pid, signal.SIGUSR1))
    seen = f"/proc/{process.pid}/root{tmp_path}/rec"
    process.send_signal(signal.SIGUSR1)
    first = process.stderr.readline()
    assert first.startswith("wrote "), first
    whole = [json.loads(line) for line in open(f"{seen}/snapshots.ndjson", encoding="utf-8")]  # noqa: SIM115
    subprocess.run(["cp", "-r", f"{seen}/{whole[0]['name']}", tmp_path / "kept"], check=True)
    said = []
    while not (said and "cannot write" in said[-1]) and len(said) < 100:
        process.send_signal(signal.SIGUSR1)  # not again once it ends: its handler goes first
        said.append(process.stderr.readline())
    assert process.wait(PATIENCE_S) == 2
    assert said[-1].startswith("schedtel: cannot write ")
    assert said[-1].endswith("No space left on device (free some space)\n")
    assert EventRecording(tmp_path / "kept").events().num_rows == whole[0]["events"]


def test_books_are_in_a_snapshot_as_well(tmp_path, recorder, start, last_cpu):
    """Of the events that it has: nothing of books is from before its begin, and none is without its event."""
    start("pingpong", 10_000_000, cpu=last_cpu)
    process = recorder("--ring", "200ms", "--books")
    assert run("events", "snapshot", tmp_path / "rec").returncode == 0
    assert end(process)[0] == 0
    (told,) = log(tmp_path)
    recording = EventRecording(str(tmp_path / "rec" / told["name"]))
    events = {(row["cpu"], row["time_ns"]) for row in recording.events().to_pylist()}
    books = recording.books().to_pylist()
    assert {row["role"] for row in books} >= {"leaves", "comes"}
    assert {(row["cpu"], row["time_ns"]) for row in books} <= events
