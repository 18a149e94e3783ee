"""What is told from recorded events, judged by perf: it reads our events as perf.data, and must print the same lines.

And beside our programs perf traces the same run itself: then the events must be the same.
"""

import re
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from waiting import PATIENCE_S, catches, eventually

from schedtel.eventlog.recording import EventRecording

COMMAND = [sys.executable, "-m", "schedtel.cli"]
NAMES = ("sched_switch", "sched_wakeup", "sched_wakeup_new", "sched_migrate_task")
#: Forks, execs, a thread, names that a terminal would obey or that are long, naps, yields, and work on both CPUs.
BUSY = """
import ctypes, os, subprocess, threading, time
for name in (b"\\x1b[31mred", b"a name of 15 b.", b"\\xff\\xfe", b"plain"):
    if os.fork() == 0:
        ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
        for _ in range(40):
            time.sleep(0.0003)
            os.sched_yield()
        os._exit(0)
thread = threading.Thread(target=lambda: [time.sleep(0.001) for _ in range(20)])
thread.start()
for _ in range(5):
    subprocess.run(["true"])
thread.join()
while True:
    try:
        os.wait()
    except ChildProcessError:
        break
"""


def needs_perf():
    if shutil.which("perf") is None:
        pytest.skip("needs perf (apt install linux-perf)")


def ours(*arguments):
    done = subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def perf(*arguments):
    done = subprocess.run(["perf", *map(str, arguments)], capture_output=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A recording of a busy command and its descendants, and the same as perf.data."""
    needs_perf()
    folder = tmp_path_factory.mktemp("events")
    ours("events", "record", "-o", folder / "rec", "-q", "--", sys.executable, "-S", "-c", BUSY)
    ours("events", "export", folder / "rec", "-o", folder / "perf.data")
    return folder / "rec", folder / "perf.data"


@pytest.fixture(scope="module")
def of_the_machine(tmp_path_factory):
    """The same of all tasks of the machine."""
    needs_perf()
    folder = tmp_path_factory.mktemp("machine")
    ended = threading.Event()
    busy = threading.Thread(target=_keep_busy, args=(ended,))
    busy.start()
    try:
        ours("events", "record", "-o", folder / "rec", "-q", "-d", "300ms")
    finally:
        ended.set()
        busy.join()
    ours("events", "export", folder / "rec", "-o", folder / "perf.data")
    return folder / "rec", folder / "perf.data"


def _keep_busy(ended):
    while not ended.is_set():
        subprocess.run([sys.executable, "-S", "-c", BUSY], check=True)


@pytest.fixture(params=["recorded", "of_the_machine"])
def pair(request):
    return request.getfixturevalue(request.param)


_LOST = b" lost "


def without_escapes(line):
    """perf writes names as they are, and we what a terminal may show; the width of the column follows the name."""
    return re.sub(rb" +", b" ", line)


def test_timehist_is_line_by_line_what_perf_prints_of_the_same_events(pair):
    recording, data = pair
    theirs = perf("sched", "timehist", "-i", data).splitlines()
    mine = ours("timehist", recording).splitlines()
    assert len(mine) > 100
    theirs = [line for line in theirs if line != b"Samples do not have callchains."]
    # A loss has the time of the event behind it, and perf may print either of the two first.
    assert [line for line in mine if _LOST in line] == [line for line in theirs if _LOST in line]
    mine, theirs = ([line for line in lines if _LOST not in line] for lines in (mine, theirs))
    assert len(theirs) == len(mine)
    for a, b in zip(mine, theirs, strict=True):
        if b"\\x" in a:  # an escaped name
            assert a[:24] == b[:24]
            assert a.split()[-3:] == b.split()[-3:]
        else:
            assert without_escapes(a) == without_escapes(b)


def test_until_a_name_is_escaped_not_even_a_blank_differs(pair):
    recording, data = pair
    theirs = perf("sched", "timehist", "-i", data).splitlines()
    theirs = [line for line in theirs if line != b"Samples do not have callchains."]
    mine = ours("timehist", recording).splitlines()
    mine, theirs = ([line for line in lines if _LOST not in line] for lines in (mine, theirs))
    plain = next((at for at, line in enumerate(mine) if b"\\x" in line), len(mine))
    assert plain >= 3  # the head, and all events before the first of a hostile name
    assert mine[:plain] == theirs[:plain]


def test_latency_is_line_by_line_what_perf_prints_of_the_same_events(pair):
    recording, data = pair
    theirs = [line for line in perf("sched", "latency", "-i", data).splitlines() if b"INFO:" not in line]
    mine = ours("latency", recording).splitlines()
    assert len(mine) == len(theirs) > 6
    for a, b in zip(mine, theirs, strict=True):
        if b"\\x" in a:
            assert a.partition(b"|")[2] == b.partition(b"|")[2]
        else:
            assert a == b


def test_perf_script_reads_every_event_with_its_fields(recorded):
    recording, data = recorded
    told = Counter(re.findall(rb" sched:(\w+): ", perf("script", "-i", data)))
    events = EventRecording(recording).events()["event"].to_pylist()
    counted = Counter(b"sched_" + {"migrate": "migrate_task"}.get(event, event).encode() for event in events)
    del told[b"sched_stat_runtime"]
    assert told == counted


def test_events_are_those_that_perf_has_traced_itself_in_the_same_run(tmp_path, start, last_cpu):
    """perf's clock readings are its own, so the events are compared without their times, and in their order."""
    needs_perf()
    events = [word for name in NAMES for word in ("-e", f"sched:{name}")]
    process = start("pingpong", 400, cpu=last_cpu, gated=True)
    data = tmp_path / "theirs.data"
    peer = subprocess.Popen(
        ["perf", "record", "-q", "-a", "-R", "-c", "1", "-o", data, *events, "--", "cat"], stdin=subprocess.PIPE
    )
    eventually(lambda: data.exists() and data.stat().st_size > 0)
    words = [*COMMAND, "events", "record", "-o", tmp_path / "rec", "-q", "-p", str(process.pid)]
    recorder = subprocess.Popen(words)
    eventually(lambda: catches(recorder.pid, signal.SIGTERM) and _has_begun(peer.pid))
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 0
    recorder.terminate()
    assert recorder.wait(PATIENCE_S) == 0
    peer.stdin.close()
    if peer.wait(PATIENCE_S):
        pytest.skip("perf may not trace here")
    ours("events", "export", tmp_path / "rec", "-o", tmp_path / "ours.data")
    tasks = EventRecording(tmp_path / "rec").tasks().to_pylist()
    born = [row["tid"] for row in tasks if row["parent_tid"] == process.pid]
    pids = {b"%d" % pid for pid in (process.pid, *born)}
    assert len(pids) == 2
    mine, theirs = (_of_the_load(path, pids) for path in (tmp_path / "ours.data", data))
    assert len(mine) > 1_000
    gaps = sum(row["events"] for row in EventRecording(tmp_path / "rec").gaps().to_pylist())
    missing = Counter(theirs) - Counter(mine)
    extra = Counter(mine) - Counter(theirs)
    assert sum(extra.values()) <= 4, extra  # perf begins and ends at moments of its own
    assert sum(missing.values()) <= 2 * gaps + 4, missing


def _has_begun(perf_pid):
    """Whether perf traces: it does from the exec of its command on."""
    with open(f"/proc/{perf_pid}/task/{perf_pid}/children", encoding="ascii") as file:
        children = file.read().split()
    return any(Path(f"/proc/{child}/comm").read_text() == "cat\n" for child in children)


#: What of an event's fields both tracers take from the kernel: not names and priorities, which ours look up.
_FIELDS = re.compile(
    rb"\[(\d+)\] +sched:(\w+): |\b(prev_pid|next_pid|pid|prev_state|target_cpu|orig_cpu|dest_cpu)=(\S+)"
)


def _of_the_load(data, pids):
    """What perf script prints of events of these processes."""
    lines = perf("script", "-i", data, "-F", "cpu,event,trace").splitlines()
    told = [b" ".join(b" ".join(filter(None, found)) for found in _FIELDS.findall(line)) for line in lines]
    return [line for line in told if pids & set(re.findall(rb"pid (\d+)", line)) and b"stat_runtime" not in line]
