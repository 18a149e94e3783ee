"""``schedtel events record`` on the running kernel: signals, privileges, full disks, and what is left after SIGKILL."""

import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from kernel_programs import program_ids
from waiting import PATIENCE_S, catches, eventually

from schedtel.eventlog.recording import EventRecording

COMMAND = [sys.executable, "-m", "schedtel.cli", "events"]
#: Records with parts of a fifth of a second; the arguments are those that `schedtel events record` has no option for.
RECORDER = """
import sys
from contextlib import closing
from schedtel.eventlog.recorder import EventRecorder, record
from schedtel.eventlog.tracing import Tracing
from schedtel.kernel.filters import Filter
from schedtel.latch import Latch
with EventRecorder(sys.argv[1], part_ns=200_000_000) as recorder, closing(Tracing(Filter())) as tracing:
    record(tracing, recorder, Latch())
"""


def test_a_recorder_that_is_killed_leaves_what_it_wrote(tmp_path):
    before = program_ids("on_migrate")
    process = subprocess.Popen([sys.executable, "-c", RECORDER, tmp_path / "rec"])
    parts = tmp_path / "rec" / "events"
    eventually(lambda: parts.is_dir() and len(list(parts.iterdir())) >= 2)
    process.kill()
    process.wait()
    source = EventRecording(tmp_path / "rec")
    events = source.events()
    assert source.damaged == []
    assert events.num_rows > 10
    assert {row["event"] for row in source.tasks().to_pylist()} >= {"alive"}
    assert (np.diff(events["time_ns"].to_numpy()) >= 0).all()
    eventually(lambda: program_ids("on_migrate") <= before)


# ---- the command ----


def run(*arguments, prefix=(), **options):
    command = [*prefix, *COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, **options)


def test_a_command_is_recorded_and_its_status_passed_on(tmp_path):
    done = run("record", "-o", tmp_path / "rec", "--", "sh", "-c", "sleep 0.01; exit 7")
    assert done.returncode == 7
    assert done.stderr.startswith("recorded ")
    source = EventRecording(tmp_path / "rec")
    execs = {row["comm"] for row in source.tasks().to_pylist() if row["event"] == "exec"}
    assert {"sh", "sleep"} <= execs
    assert int(done.stderr.split()[1]) == source.events().num_rows > 4


def test_a_duration_ends_it_and_a_signal_does(tmp_path):
    began = time.monotonic()
    assert run("record", "-o", tmp_path / "one", "-d", "200ms", "-q").stderr == ""
    assert time.monotonic() - began >= 0.2
    assert EventRecording(tmp_path / "one").events().num_rows
    process = subprocess.Popen([*COMMAND, "record", "-o", tmp_path / "two"], stderr=subprocess.PIPE, text=True)
    eventually(lambda: catches(process.pid, signal.SIGTERM))
    process.terminate()
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert said.startswith("recorded ")
    assert EventRecording(tmp_path / "two").events().num_rows


def test_without_the_privileges_it_is_a_line_and_no_directory(tmp_path):
    drop = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    done = run("record", "-o", tmp_path / "rec", "-d", "1s", prefix=drop)
    if "setpriv" in done.stderr:
        pytest.skip("needs setpriv to drop privileges (apt install util-linux)")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "lacks CAP_PERFMON and CAP_BPF" in line
    assert not (tmp_path / "rec").exists()


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=40k tmpfs "$1" || exit 77
"$3" -m schedtel.cli events record -o "$1/rec" -d 30s
status=$?
cp -r "$1/rec" "$2"
exit $status
"""


def test_a_full_disk_is_a_line(tmp_path):
    (tmp_path / "disk").mkdir()
    words = ["unshare", "-m", "sh", "-c", ON_A_SMALL_DISK, "sh", tmp_path / "disk", tmp_path / "kept", sys.executable]
    done = subprocess.run(words, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("needs to mount a tmpfs (CAP_SYS_ADMIN)")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"schedtel: cannot write {tmp_path}/disk/rec/")
    assert line.endswith("No space left on device (free some space)")
