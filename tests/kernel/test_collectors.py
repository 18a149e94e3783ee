"""Collectors that are killed, stopped, doubled, limited, out of disk or out of privilege."""

import itertools
import json
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest
from observe import Collected, collecting, judge, wait_stopped
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.windows import invariants as laws

COMMAND = [sys.executable, "-m", "schedtel.cli"]
NO_CAPABILITY = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
TWO_CAPABILITIES = ["setpriv", "--bounding-set=-all,+bpf,+perfmon", "--inh-caps=-all"]


def schedtel_command(*arguments, prefix=(), **options):
    return subprocess.run(
        [*prefix, *COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE_S,
        check=False,
        **options,
    )


def needs_setpriv():
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv to drop privileges (apt install util-linux)")


def assert_readable_and_tiling(directory):
    """schedtel and other readers can read every file, and windows tile. Returns how many windows there are."""
    files = sorted(Path(directory).rglob("*.parquet"))
    for path in files:
        pl.read_parquet(path)
    if not (Path(directory) / "summary").is_dir() or not list((Path(directory) / "summary").glob("part-*.parquet")):
        return 0
    windows = list(schedtel.read(directory))
    for before, after in itertools.pairwise(windows):
        assert before.end_ns == after.start_ns
        if not after.losses["state_failed"]:  # otherwise the window itself tells that it is not exact
            assert [finding for finding in laws.check(after, before) if not finding.holds] == []
    assert [w.window_id for w in windows] == list(range(1, len(windows) + 1))
    return len(windows)


@pytest.mark.slow
def test_a_recorder_killed_at_random_moments_leaves_what_it_had(tmp_path):
    moments = random.Random(20)
    recorders = []
    for i in range(15):
        target = tmp_path / str(i)
        command = [*COMMAND, "record", "-q", "-w", "20ms", "--rotate-size", "1", "-o", str(target)]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        recorders.append(target)
        if i % 6 == 0:  # the command is still starting
            time.sleep(moments.uniform(0.2, 0.6))
        else:
            eventually(lambda target=target: list(target.glob("summary/part-*.parquet")))
            time.sleep(moments.uniform(0, 0.4))
        process.send_signal(signal.SIGKILL)
        process.wait()
    counts = [assert_readable_and_tiling(target) for target in recorders if target.exists()]
    assert sum(count > 0 for count in counts) >= 12, counts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_recorder_told_to_stop_finishes_its_window(tmp_path, number):
    process = subprocess.Popen(
        [*COMMAND, "record", "-v", "-w", "24h", "-o", str(tmp_path / "r")], stderr=subprocess.PIPE, text=True
    )
    assert process.stderr.readline().startswith("schedtel "), "the command has said what it records, and records by now"
    ready_ns = time.monotonic_ns()
    process.send_signal(number)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert f"stopping: {number.name}" in said.splitlines()
    assert said.splitlines()[-1].startswith("recorded 1 window over")
    (window,) = schedtel.read(tmp_path / "r")
    assert window.start_ns < ready_ns < window.end_ns


def test_a_full_disk_stops_with_a_clear_error_and_a_readable_dataset(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    assert schedtel_command("record", "-w", "50ms", "-o", tmp_path / "one", "-n", "1", "--all-tasks").returncode == 0
    pages = sum(-(-path.stat().st_size // mmap.PAGESIZE) for path in (tmp_path / "one").rglob("*.parquet"))
    size = 3 * pages * mmap.PAGESIZE  # a machine with many CPUs has many tasks
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], check=False).returncode:
        pytest.skip("needs to mount a tmpfs (CAP_SYS_ADMIN)")
    try:
        result = schedtel_command("record", "-w", "50ms", "-o", disk / "r", "-d", "30s", "--all-tasks")
        assert result.returncode == 2
        (line,) = result.stderr.strip().splitlines()
        assert "cannot write" in line
        assert "No space left" in line
        assert assert_readable_and_tiling(disk / "r") >= 1
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_recording_replays_to_the_same_numbers(tmp_path, start):
    recorder = schedtel.Recorder(tmp_path / "r", window="100ms")
    with collecting("100ms") as collected:
        start("storm", 300).wait()
        start("pingpong", 3000).wait()
    for window in collected.windows:
        recorder.write(window)
    for live, again in zip(collected.windows, schedtel.read(tmp_path / "r"), strict=True):
        assert live.metrics == again.metrics
        assert live.summary.equals(again.summary)
        assert live.tasks.to_pylist() == again.tasks.to_pylist()
        assert live.cpus.equals(again.cpus)
        assert live.groups("comm").to_pylist() == again.groups("comm").to_pylist()
    rows = sum(window.tasks.num_rows for window in collected.windows)
    tasks = tmp_path / "r" / "tasks"
    assert len(pd.read_parquet(tasks)) == len(pl.read_parquet(tasks / "*.parquet")) == rows
    assert duckdb.sql(f"select count(*) from '{tasks}/*.parquet'").fetchall() == [(rows,)]


def test_record_passes_the_exit_status_of_its_command_on(tmp_path):
    result = schedtel_command("record", "-w", "100ms", "-o", tmp_path / "r", "--", "sh", "-c", "sleep 0.3; exit 7")
    assert result.returncode == 7
    rows = [row for window in schedtel.read(tmp_path / "r") for row in window.tasks.to_pylist() if row["tid"]]
    assert {row["comm"] for row in rows} <= {"python", "python3", "sh", "sleep", Path(sys.executable).name[:15]}
    assert 7 in {row["exit_code"] for row in rows}
    killed = schedtel_command("record", "-q", "-w", "100ms", "-o", tmp_path / "k", "--", "sh", "-c", "kill -9 $$")
    assert killed.returncode == 128 + 9


def test_a_command_does_not_run_where_its_output_cannot_be_opened(tmp_path):
    ran = tmp_path / "ran"
    result = schedtel_command("live", "-o", tmp_path / "no" / "out.ndjson", "--", "touch", ran)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith(f"schedtel: cannot write {tmp_path}")
    assert not ran.exists()


def test_a_reader_that_goes_away_ends_it_in_silence():
    live = [*COMMAND, "live", "-w", "100ms", "--format", "ndjson"]
    with subprocess.Popen(live, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 128 + signal.SIGPIPE
        assert process.stderr.read() == b""


def end_ns(summary):
    return summary["window_start_ns"] + summary["window_ns"]


def test_a_collector_that_was_stopped_marks_the_long_window_and_goes_on(start):
    process = subprocess.Popen(
        [*COMMAND, "live", "-w", "200ms", "--format", "ndjson"], stdout=subprocess.PIPE, text=True
    )
    windows = [json.loads(process.stdout.readline())["summary"] for _ in range(3)]
    process.send_signal(signal.SIGSTOP)
    wait_stopped(process)
    stopped_ns = time.monotonic_ns()
    start("storm", 200).wait()
    time.sleep(1.3)
    continued_ns = time.monotonic_ns()
    process.send_signal(signal.SIGCONT)
    lines = [json.loads(process.stdout.readline()) for _ in range(6)]
    process.terminate()
    lines += [json.loads(line) for line in process.stdout]
    process.wait(timeout=PATIENCE_S)
    windows += [line["summary"] for line in lines]
    assert process.returncode == 0
    # Edges were set before the stop: the window it was stopped in ended with the first one after it.
    first_edge_ns = stopped_ns + 201_000_000
    (long,) = [w for w in windows if w["window_start_ns"] <= first_edge_ns < continued_ns <= end_ns(w)]
    assert long["windows_spanned"] == round(long["window_ns"] / 200_000_000) >= 5
    later = [w["windows_spanned"] for w in windows[:-1] if w["window_id"] > long["window_id"]]
    assert min(later) == 1, "later windows are as short as ever"
    for before, after in itertools.pairwise(windows):
        assert end_ns(before) == after["window_start_ns"]
    for line in lines:
        for row in line["tasks"]:
            assert row["cpu_ns"] + row["wait_ns"] + row["blocked_ns"] == row["alive_ns"]
    assert sum(line["summary"]["tasks_completed"] for line in lines) >= 200, "exits while it was stopped are not lost"


def test_a_recorder_that_was_stopped_loses_no_life_and_says_so(tmp_path, start):
    target = tmp_path / "r"
    command = [*COMMAND, "record", "-v", "-w", "100ms", "-o", str(target)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    eventually(lambda: list(target.glob("summary/part-*.parquet")))
    process.send_signal(signal.SIGSTOP)
    wait_stopped(process)
    start("storm", 200).wait()
    time.sleep(1.2)
    continued_ns = time.monotonic_ns()
    process.send_signal(signal.SIGCONT)
    eventually(lambda: any(window.start_ns > continued_ns for window in schedtel.read(target)))
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert assert_readable_and_tiling(target) >= 3
    windows = list(schedtel.read(target))
    longest = max(windows, key=lambda window: window.summary["windows_spanned"][0].as_py())
    assert longest.summary["windows_spanned"][0].as_py() >= 5
    assert (
        sum(
            row["comm"] == "schedtel-load"
            for w in windows
            for row in w.tasks.to_pylist()
            if row["exit_code"] is not None
        )
        > 200
    )
    assert f"schedtel: held up: window {longest.window_id} is " in said
    assert "stopping: SIGTERM" in said.splitlines()


def test_two_collectors_do_not_disturb_each_other(start):
    def observe():
        with collecting("100ms") as one, collecting("100ms") as two:
            storm = start("storm", 500)
            storm.wait()
        either = Collected()
        either.windows = one.windows + two.windows
        return either, one, two

    def verdict(_either, *both):
        for collected in both:
            ended = [row for row in collected.rows(comm="schedtel-load") if row["completion_ns"] is not None]
            assert len(ended) == 501
            assert collected.losses() == {}

    judge(observe, verdict)


def test_who_stops_with_every_window_gets_the_open_one_and_no_more():
    with schedtel.live("20ms") as source:
        for number, _ in enumerate(source):
            source.stop()
            assert number <= 2, "each stop has delayed the end"


def test_leaves_nothing_behind():
    def programs():
        listing = subprocess.run(["bpftool", "prog", "show"], capture_output=True, text=True, check=False).stdout
        return {line.split(":")[0] for line in listing.splitlines() if "name on_arrival" in line}

    if shutil.which("bpftool") is None:
        pytest.skip("needs bpftool to list what is loaded (apt install bpftool)")
    before = programs()
    process = subprocess.Popen([*COMMAND, "live", "-w", "100ms", "--format", "ndjson"], stdout=subprocess.PIPE)
    process.stdout.readline()
    assert programs() - before, "the collector loads what the test looks for"
    process.terminate()
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    eventually(lambda: programs() <= before)  # the kernel frees programs after a grace period


def test_two_capabilities_are_enough():
    needs_setpriv()
    result = schedtel_command("live", "-w", "200ms", "-n", "2", "--format", "ndjson", prefix=TWO_CAPABILITIES)
    assert result.returncode == 0, result.stderr
    assert len(result.stdout.splitlines()) == 2
    doctor = schedtel_command("doctor", prefix=TWO_CAPABILITIES)
    assert doctor.returncode == 0
    assert "yes  core: task storage, iterators, attach" in doctor.stdout


def test_without_them_it_says_what_is_missing():
    needs_setpriv()
    result = schedtel_command("live", "-n", "1", prefix=NO_CAPABILITY)
    assert result.returncode == 2
    (line,) = result.stderr.strip().splitlines()
    assert "CAP_BPF" in line
    assert "CAP_PERFMON" in line
    doctor = schedtel_command("doctor", prefix=NO_CAPABILITY)
    assert doctor.returncode == 1
    assert "NO   privileges: this user lacks" in doctor.stdout


@pytest.mark.parametrize(
    ("hidden", "words"),
    [("/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"), ("libbpf", "install it")],
)
def test_a_machine_without_btf_or_libbpf_is_told_so(hidden, words):
    if hidden == "libbpf":
        listing = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
        hidden = [line.split("=>")[1].strip() for line in listing.splitlines() if "libbpf.so" in line]
    else:
        hidden = [hidden]
    mounts = "".join(f"mount --bind /dev/null {os.path.realpath(path)} && " for path in hidden)
    script = f"{mounts} exec {' '.join(COMMAND)} live -n 1 --backend core"
    result = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    if "unshare" in result.stderr:
        pytest.skip(f"needs a mount namespace: {result.stderr.strip()}")
    assert result.returncode == 2, result.stderr
    (line,) = result.stderr.strip().splitlines()
    assert words in line


def test_a_traced_command_does_not_inherit_the_capabilities_that_trace():
    needs_setpriv()
    given = [f"--{kind}-caps=-all,+bpf,+perfmon" for kind in ("inh", "ambient")]
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *given]
    if subprocess.run(
        [*user, sys.executable, "-c", "import schedtel.cli"], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs a checkout that other users may enter")
    command = ("live", "-w", "100ms", "--format", "ndjson", "-o", os.devnull, "--", "cat", "/proc/self/status")
    result = schedtel_command(*command, prefix=user)
    assert result.returncode == 0, result.stderr
    held = dict(line.split(":\t") for line in result.stdout.splitlines() if line.startswith("Cap"))
    assert {int(held[name], 16) for name in ("CapPrm", "CapEff", "CapAmb")} == {0}


def test_what_live_writes_is_its_owners_alone(tmp_path):
    """It names the commands of other users."""
    result = schedtel_command("live", "-w", "100ms", "-n", "1", "--format", "ndjson", "-o", str(tmp_path / "windows"))
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "windows").stat().st_mode & 0o777 == 0o600
