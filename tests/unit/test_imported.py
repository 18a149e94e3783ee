"""Traces in, windows out: arithmetic on paper, one small trace a question; and what a user sees."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import traces
from click.testing import CliRunner
from traces import FTRACE, PERF, PLUGIN

import schedtel
from schedtel.cli import group, main
from schedtel.errors import CapabilityError, RecordingError, UsageError
from schedtel.traces import library
from schedtel.traces.text import wall_clock

IDLE, IDLE1, A, B, C = ("swapper/0", 0), ("swapper/1", 0), ("task-a", 101), ("task-b", 102), ("task-c", 103)
MS = 1_000_000
START = 1_000 * MS


@pytest.fixture(autouse=True)
def _compiler():
    try:
        library.replay_library()
    except CapabilityError as error:
        pytest.skip(str(error))


def at(ms: float) -> int:
    return START + round(ms * MS)


def windows(*lines: str, window: str = "1s", **options) -> list[schedtel.Window]:
    text = "".join(f"{line}\n" for line in lines).encode()
    return list(schedtel.import_trace(io.BytesIO(text), window, **options))


def only(*lines: str, **options) -> schedtel.Window:
    [window] = windows(*lines, **options)
    return window


def rows(window: schedtel.Window) -> dict[int, dict[str, object]]:
    return {row["tid"]: row for row in window.tasks.to_pylist()}


def summary(window: schedtel.Window) -> dict[str, object]:
    return window.summary.to_pylist()[0]


def switch(ms, cpu, prev, following, state="S", **options):
    return traces.switch(PERF, at(ms), cpu, prev, following, state, **options)


def woken(ms, cpu, task, event="sched_wakeup", **options):
    return traces.woken(PERF, at(ms), cpu, task, event, **options)


def born(ms, cpu, parent, child):
    return [traces.forked(PERF, at(ms), cpu, parent, child), woken(ms, cpu, child, "sched_wakeup_new")]


# ---- numbers ----


def test_running_waiting_and_blocked_of_one_task():
    """A sleeps until 2 ms, waits 3 ms, runs 4 ms, is preempted for 5 ms, runs 6 ms, sleeps."""
    window = only(
        switch(0, 0, IDLE, B, "R"),
        woken(2, 0, A),
        switch(5, 0, B, A, "R+"),
        switch(9, 0, A, B, "R+"),
        switch(14, 0, B, A, "S"),
        switch(20, 0, A, IDLE, "S"),
    )
    row = rows(window)[101]
    times = [row[name] for name in ("cpu_ns", "wakeup_wait_ns", "preempt_wait_ns", "max_wait_ns")]
    assert times == [10 * MS, 3 * MS, 5 * MS, 5 * MS]
    assert row["blocked_ns"] == 2 * MS + 1  # the window ends with the nanosecond of its last event
    assert row["alive_ns"] == 20 * MS + 1
    counts = [row[name] for name in ("wakeups", "voluntary_switches", "involuntary_switches", "bursts", "migrations")]
    assert counts == [1, 1, 1, 1, 0]
    assert row["burst_tat_sum_ns"] == 18 * MS
    assert window.losses == dict.fromkeys(window.losses, 0)
    assert window.cpus["busy_ns"].to_pylist() == [20 * MS]


def test_preempted_in_the_middle_of_going_to_sleep_is_waiting():
    """D+: the state says uninterruptible, and the task never left the run queue."""
    row = rows(only(switch(0, 0, IDLE, A, "R"), switch(1, 0, A, B, "D+"), switch(4, 0, B, A, "S")))[101]
    assert (row["preempt_wait_ns"], row["blocked_ns"], row["involuntary_switches"]) == (3 * MS, 0, 1)


def test_a_life_from_fork_to_exit():
    """Forked and woken at 1 ms, first CPU at 3, exec at 4, exit at 8, last switch at 9: teardown is the CPU's."""
    window = only(
        switch(0, 0, IDLE, B, "R"),
        *born(1, 0, B, A),
        switch(3, 0, B, A, "S"),
        traces.line(PERF, at(4), 0, "sched_process_exec", "filename=/usr/bin/sleepy pid=101 old_pid=101", "x", 101),
        traces.exited(PERF, at(8), 0, ("sleepy", 101)),
        switch(9, 0, ("sleepy", 101), IDLE, "Z"),
    )
    row = rows(window)[101]
    assert (row["tat_ns"], row["rt_ns"], row["cpu_ns"], row["comm"]) == (7 * MS, 2 * MS, 5 * MS, "sleepy")
    assert (row["tgid"], row["left_censored"], row["kernel_thread"]) == (101, False, False)
    assert (row["fork_ns"], row["completion_ns"]) == (at(1), at(8))
    assert summary(window)["teardown_ns"] == MS
    assert (summary(window)["tat_count"], summary(window)["tat_max_ns"]) == (1, 7 * MS)


def test_without_exits_a_life_ends_with_its_last_switch_and_that_is_no_loss():
    """`perf sched record` traces none."""
    window = only(switch(0, 0, IDLE, B, "R"), *born(1, 0, B, A), switch(3, 0, B, A, "S"), switch(9, 0, A, IDLE, "X"))
    assert rows(window)[101]["tat_ns"] == 8 * MS
    assert not any(window.losses.values())


def test_with_exits_a_missing_one_is_a_loss():
    window = only(
        switch(0, 0, IDLE, B, "R"),
        *born(1, 0, B, A),
        traces.exited(PERF, at(2), 0, B),
        switch(3, 0, B, A, "X"),
        switch(9, 0, A, IDLE, "X"),
    )
    assert window.losses["programs_skipped"] == 1


def test_a_migration_is_a_switch_in_elsewhere_and_the_first_cpu_is_none():
    window = only(
        switch(0, 0, IDLE, A, "R"),
        switch(1, 0, A, IDLE, "S"),
        woken(2, 1, A),
        switch(3, 1, IDLE1, A, "R"),
        switch(4, 1, A, IDLE1, "S"),
    )
    assert rows(window)[101]["migrations"] == 1
    assert window.cpus["cpu"].to_pylist() == [0, 1]


def test_threads_are_of_their_process_where_the_trace_says_so():
    newtask = "pid={} comm=task-a clone_flags={} oom_score_adj=0"
    lines = [
        switch(0, 0, IDLE, A, "R"),
        traces.line(PERF, at(1), 0, "task_newtask", newtask.format(102, "3d0f00"), "task-a", "101/101"),
        woken(1, 0, B, "sched_wakeup_new"),
        traces.line(PERF, at(2), 0, "task_newtask", newtask.format(103, "1200000"), "task-a", "101/101"),
        woken(2, 0, C, "sched_wakeup_new"),
        switch(3, 0, A, B, "S"),
        switch(4, 0, B, C, "S"),
        switch(5, 0, C, IDLE, "S"),
    ]
    found = rows(only(*lines))
    assert {tid: row["tgid"] for tid, row in found.items()} == {101: 101, 102: 101, 103: 103}


def test_a_process_that_the_trace_does_not_tell_is_null():
    found = rows(only(switch(0, 0, IDLE, B, "R"), *born(1, 0, B, A), switch(3, 0, B, A, "S"), switch(4, 0, A, IDLE)))
    assert [row["tgid"] for row in found.values()] == [None, None]


def test_a_tid_used_again_is_another_task():
    life = [*born(1, 0, B, A), switch(2, 0, B, A, "R+"), traces.exited(PERF, at(3), 0, A), switch(4, 0, A, B, "X")]
    again = [*born(5, 0, B, A), switch(6, 0, B, A, "R+"), traces.exited(PERF, at(8), 0, A), switch(9, 0, A, B, "X")]
    found = [r for r in only(switch(0, 0, IDLE, B, "R"), *life, *again).tasks.to_pylist() if r["tid"] == 101]
    assert sorted(row["tat_ns"] for row in found) == [2 * MS, 3 * MS]


@pytest.mark.parametrize(("prio", "nice", "policy"), [(120, 0, 0), (100, -20, 0), (139, 19, 0), (49, 0, 1), (-1, 0, 6)])
def test_priority_tells_nice_and_class(prio, nice, policy):
    row = rows(only(switch(0, 0, IDLE, A, "R", next_prio=prio), switch(1, 0, A, IDLE, prio=prio)))[101]
    assert (row["nice"], row["policy"]) == (nice, policy)


# ---- what was before the trace ----


def test_who_leaves_a_cpu_first_ran_on_it_from_the_start():
    window = only(woken(0, 1, C), switch(10, 0, A, IDLE, "S"), switch(10, 1, IDLE1, C))
    row = rows(window)[101]
    assert (row["cpu_ns"], row["left_censored"]) == (10 * MS, True)
    assert [row[name] for name in ("arrival_ns", "tat_ns", "total_cpu_ns", "kernel_thread")] == [None] * 4
    assert window.cpus["busy_ns"].to_pylist()[0] == 10 * MS


def test_a_wakeup_of_a_running_task_does_not_make_it_sleep_before():
    row = rows(only(woken(0, 0, C), woken(5, 1, A), switch(10, 0, A, IDLE, "S")))[101]
    assert (row["cpu_ns"], row["blocked_ns"], row["wait_ns"], row["wakeups"]) == (10 * MS, 1, 0, 0)


def test_who_comes_in_first_without_a_wakeup_was_waiting_and_its_wait_is_no_sample():
    window = only(woken(0, 0, C), switch(5, 0, B, A, "S"), switch(6, 0, A, IDLE, "S"))
    assert rows(window)[101]["preempt_wait_ns"] == 5 * MS
    assert summary(window)["preempt_wait_count"] == 0


def test_nobody_is_taken_to_have_waited_for_long_before_its_first_event():
    """Its wakeup is missing: that is a loss, and no wait of a second."""
    window = only(woken(0, 0, C), switch(900, 0, B, A, "S"), switch(901, 0, A, IDLE, "S"))
    assert rows(window)[101]["wait_ns"] == 0
    assert window.losses["programs_skipped"] == 1


# ---- losses ----


@pytest.mark.parametrize("style", [FTRACE, PERF])
def test_lost_events_make_their_window_inexact_and_no_other(style):
    mark = "LOST 123 events!" if style == PERF else "CPU:0 [LOST 123 EVENTS]"
    found = windows(
        traces.switch(style, at(0), 0, IDLE, A, "R"),
        traces.switch(style, at(100), 0, A, IDLE, "S"),
        traces.woken(style, at(1_000.5), 0, A),
        mark,
        traces.switch(style, at(1_001), 0, IDLE, A, "R"),
        traces.switch(style, at(2_000), 0, A, IDLE, "S"),
        traces.woken(style, at(2_001), 0, A),
    )
    assert [window.losses["programs_skipped"] for window in found] == [0, 123, 0]


def test_without_wakeups_every_wait_after_one_is_missing_and_counted():
    lines = [switch(0, 0, IDLE, A, "R"), switch(1, 0, A, B, "S"), switch(2, 0, B, A, "S"), switch(3, 0, A, IDLE, "S")]
    window = only(*lines)
    assert window.losses["programs_skipped"] == 1  # A's second; what either did before its first is not known
    assert [row["wait_ns"] for row in rows(window).values()] == [0, 0]


# ---- windows ----


def test_windows_are_aligned_and_tile_and_sum_to_one():
    lines = [switch(0, 0, IDLE, A, "R")]
    for i in range(1, 60):
        lines += [woken(50 * i, 0, B), switch(50 * i + 1, 0, A, B, "R+"), switch(50 * i + 20, 0, B, A, "S")]
    short, long = windows(*lines, window="300ms"), windows(*lines, window="1h")
    edges = [window.end_ns for window in short]
    assert all(edge % (300 * MS) == 0 for edge in edges[:-1])
    assert [window.start_ns for window in short] == [START, *edges[:-1]]
    assert len(long) == 1
    for name in ("cpu_ns", "wait_ns", "blocked_ns", "alive_ns", "wakeups", "involuntary_switches"):
        for tid, row in rows(long[0]).items():
            assert row[name] == sum(rows(window).get(tid, {name: 0})[name] for window in short), (tid, name)


def test_a_long_time_without_events_is_one_window():
    lines = [switch(0, 0, IDLE, A, "R"), switch(1, 0, A, IDLE, "S"), woken(3_600_000, 0, A)]
    found = windows(*lines, window="10ms")
    assert [window.summary["windows_spanned"][0].as_py() for window in found] == [1, 359_999, 1]
    assert found[-1].end_ns == at(3_600_000) + 1


def test_a_cpu_of_the_header_without_events_is_idle():
    window = only("# nrcpus online : 3", switch(0, 0, IDLE, A, "R"), switch(5, 0, A, IDLE, "S"))
    assert window.cpus["idle_ns"].to_pylist() == [1, 5 * MS + 1, 5 * MS + 1]


def test_what_no_trace_tells_is_null():
    window = only(switch(0, 0, IDLE, A, "R"), switch(5, 0, A, IDLE, "S"))
    row, whole = rows(window)[101], summary(window)
    nulls = ("start_boottime_ns", "cgroup_id", "cgroup", "uid", "iowait_ns", "exit_code")
    assert [row[name] for name in nulls] == [None] * len(nulls)
    nulls = ("wall_start", "host", "kernel", "scheduler", "steal_ns", "throttled_ns", "iowait_avg", "bpf_ns")
    assert [whole[name] for name in nulls] == [None] * len(nulls)


def test_more_lives_than_free_slots_of_a_cpu():
    lines = [switch(0, 0, IDLE, B, "R")]
    for i in range(5_000):
        child, ms = (f"c{i}", 1_000 + i), 1 + i * 0.1
        lines += [*born(ms, 0, B, child), switch(ms + 0.01, 0, B, child, "R+")]
        lines += [traces.exited(PERF, at(ms + 0.05), 0, child), switch(ms + 0.06, 0, child, B, "X")]
    window = only(*lines)
    assert summary(window)["tasks_completed"] == 5_000
    assert not any(window.losses.values())
    assert {r["cpu_ns"] for r in window.tasks.to_pylist() if r["tid"] >= 1_000} == {40_000}


# ---- the command and the library ----

TRACE = [
    "# hostname : web1",
    switch(0, 0, IDLE, B, "R"),
    *born(1, 0, B, A),
    switch(3, 0, B, A, "S"),
    "not a line of perf",
    traces.exited(PERF, at(8), 0, A),
    switch(9, 0, A, IDLE, "Z"),
    woken(1_500, 0, B),
]


@pytest.fixture
def trace(tmp_path) -> Path:
    path = tmp_path / "trace.txt"
    path.write_text("".join(f"{line}\n" for line in TRACE))
    return path


def run(*arguments: object, **options) -> object:
    return CliRunner().invoke(group, [str(argument) for argument in arguments], **options)


def test_an_import_is_a_recording_like_any_other(trace, tmp_path):
    result = run("import", trace, "-o", tmp_path / "rec", "-w", "1s")
    assert result.exit_code == 0, result.output
    assert "imported 2 windows over 1.50 s" in result.output
    assert "1 lives completed" in result.output
    assert "1 lines were not understood" in result.output
    recording = schedtel.read(tmp_path / "rec")
    assert [window.losses["programs_skipped"] for window in recording] == [0, 0]
    assert {"imported_from": "perf", "imported_file": str(trace), "imported_events": "7", "host": "web1"}.items() <= (
        recording.metadata.items()
    )
    assert recording.metadata["imported_lines_not_understood"] == "1"
    for command in (["show", tmp_path / "rec"], ["show", tmp_path / "rec", "--by", "comm", "--format", "ndjson"]):
        shown = run(*command)
        assert (shown.exit_code, "task-a" in shown.output) == (0, True)
    assert run("report", tmp_path / "rec", "-o", tmp_path / "rec.html").exit_code == 0
    assert run("compare", tmp_path / "rec", tmp_path / "rec").exit_code == 0


def test_a_trace_on_standard_input(trace, tmp_path):
    command = [sys.executable, "-m", "schedtel.cli", "import", "-", "-o", str(tmp_path / "rec")]
    result = subprocess.run(command, input=trace.read_bytes(), capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert b"imported 1 window" in result.stderr


def test_an_import_without_host_or_wall_clock_is_not_served_and_one_with_both_is(trace, tmp_path):
    assert run("import", trace, "-o", tmp_path / "without").exit_code == 0
    assert run("import", trace, "-o", tmp_path / "with", "--wall-start", "2026-01-31T12:00").exit_code == 0
    with pytest.raises(UsageError, match="--wall-start"):
        schedtel.serve(schedtel.read(tmp_path / "without"), "grpc://127.0.0.1:0")
    with schedtel.serve(schedtel.read(tmp_path / "with"), "grpc://127.0.0.1:0") as server:
        assert server.uri.startswith("grpc://")


def test_a_group_of_tasks_whose_process_is_not_known_says_so(trace, tmp_path):
    run("import", trace, "-o", tmp_path / "rec")
    shown = run("show", tmp_path / "rec", "--by", "process", "-n", "1").output
    assert "unknown" in shown
    run("report", tmp_path / "rec", "-o", tmp_path / "rec.html")
    assert "(process not known)" in (tmp_path / "rec.html").read_text()


def test_the_wall_clock_is_the_users_word(trace):
    [window, _] = schedtel.import_trace(trace, "1s", wall_start=wall_clock("2026-01-31T12:00"))
    assert window.to_ndjson().startswith('{"summary":{"window_id":1,')
    assert window.summary["wall_start"][0].as_py().isoformat() == "2026-01-31T12:00:00+00:00"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no line is an event"),
        (b"garbage\n" * 1_000, "no line is an event"),
        (b"PERFILE2" + b"\0" * 100, "perf script --ns"),
        (b"\x17\x08\x44tracing" + b"\0" * 100, "trace-cmd report"),
        (b"  a 1 [000] 1.000000: irq:irq_handler_entry: irq=1 name=x\n", "no event of the scheduler"),
        (b"\xff\xfe\x00" * 100_000, "no line is an event"),
    ],
)
def test_what_is_no_trace_is_one_line(content, complaint, tmp_path, monkeypatch, capsys):
    path = tmp_path / "no-trace"
    path.write_bytes(content)
    monkeypatch.setattr("sys.argv", ["schedtel", "import", str(path), "-o", str(tmp_path / "rec")])
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n"), complaint in error) == (2, 1, True), error


def test_a_file_that_is_refused_is_closed(tmp_path):
    path = tmp_path / "no-trace"
    path.write_bytes(b"garbage\n")
    with pytest.raises(RecordingError) as refused:
        schedtel.import_trace(path)
    assert str(path) not in {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}, refused


@pytest.mark.parametrize(
    ("options", "error"),
    [({"window": "1ns"}, UsageError), ({"form": "dtrace"}, UsageError)],
)
def test_wrong_arguments(options, error, trace):
    with pytest.raises(error):
        schedtel.import_trace(trace, **options)


def test_a_file_that_is_not_there():
    with pytest.raises(RecordingError, match="No such file"):
        schedtel.import_trace("/nonexistent/trace")


def test_without_a_compiler_it_says_what_to_install(trace, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    library.replay_library.cache_clear()
    try:
        with pytest.raises(CapabilityError, match="apt install"):
            list(schedtel.import_trace(trace))
    finally:
        library.replay_library.cache_clear()


@pytest.mark.parametrize("mode", [0o777, 0o700])
def test_a_cache_that_others_can_write_to_is_not_used(mode, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "schedtel" / "compiled"
    cache.mkdir(parents=True)
    cache.chmod(mode)
    library.replay_library.cache_clear()
    try:
        library.replay_library()
    finally:
        library.replay_library.cache_clear()
    assert [path.suffix for path in cache.iterdir()] == ([] if mode == 0o777 else [".so"])


def test_plugin_and_plain_print_give_the_same_windows():
    def numbers(style: str) -> list[dict[str, object]]:
        lines = [
            traces.switch(style, at(0), 0, IDLE, B, "R"),
            traces.woken(style, at(1), 0, A),
            traces.switch(style, at(2), 0, B, A, "D"),
            traces.switch(style, at(5), 0, A, IDLE, "S"),
        ]
        return only(*lines).tasks.to_pylist()

    assert numbers(PLUGIN) == numbers(FTRACE) == numbers(PERF)


def test_who_preempted_whom_by_command_name():
    """B takes the CPU from A for 5 ms, and C for 3 ms."""
    window = only(
        woken(0, 0, B),
        switch(0, 0, IDLE, A, "R"),
        switch(2, 0, A, B, "R+"),
        switch(7, 0, B, A, "S"),
        woken(8, 0, C),
        switch(9, 0, A, C, "R+"),
        switch(12, 0, C, A, "S"),
        switch(20, 0, A, IDLE, "S"),
    )
    told = {(r["victim"], r["preemptor"]): (r["count"], r["wait_ns"]) for r in window.preemptions.to_pylist()}
    assert told == {("task-a", "task-b"): (1, 5 * MS), ("task-a", "task-c"): (1, 3 * MS)}


def test_at_a_uri_a_trace_is_a_dataset_as_what_is_recorded_there(trace, tmp_path):
    place = f"file://{tmp_path}/the%20fleet"
    command = [sys.executable, "-m", "schedtel.cli", "import", str(trace), "-w", "10ms", "-o", place]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert re.fullmatch(r"schedtel: cannot write to .*: .* no host or no wall clock \(.*\)\n", ended.stderr)
    assert not any(tmp_path.glob("*fleet"))
    command += ["--host", "vm", "--wall-start", "2026-01-31T12:00:00"]
    for _ in range(2):  # many may share it
        subprocess.run(command, check=True, timeout=60)
    runs = list((tmp_path / "the fleet" / "summary" / "host=vm" / "day=2026-01-31").iterdir())
    assert len(runs) == 2
    with schedtel.import_trace(trace, "10ms", host="vm", wall_start=wall_clock("2026-01-31T12:00")) as source:
        expected = [window.to_ndjson() for window in source]
    recording = schedtel.read(tmp_path / "the fleet")
    assert [window.to_ndjson() for window in recording] == 2 * expected
    assert recording.metadata["imported_file"] == str(trace)


def test_an_import_without_host_and_clock_is_not_exported(trace, tmp_path):
    """Series are told apart by hosts, and a sum is of a moment."""
    pytest.importorskip("prometheus_client", reason="needs prometheus-client (pip install)")
    command = [sys.executable, "-m", "schedtel.cli"]
    subprocess.run([*command, "import", str(trace), "-o", str(tmp_path / "rec")], check=True, timeout=60)
    command += ["export", "prometheus", str(tmp_path / "rec"), "-l", "127.0.0.1:0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert re.fullmatch(r"schedtel: cannot export .*: it was imported, and knows no host .*\)\n", ended.stderr)


def test_progress_is_known_of_a_file_and_not_of_a_stream(trace):
    with schedtel.import_trace(trace) as source:
        assert source.progress == 0.0
        assert list(source)
        assert source.progress == 1.0
    stream = schedtel.import_trace(io.BytesIO(trace.read_bytes()))
    assert stream.progress is None


def test_a_trace_whose_last_line_has_no_end_and_whose_lines_are_cut_by_chunks(trace, monkeypatch):
    whole = [window.tasks.to_pylist() for window in schedtel.import_trace(trace, "1s")]
    monkeypatch.setattr("schedtel.traces.imported._CHUNK_BYTES", 200)
    cut = schedtel.import_trace(io.BytesIO(trace.read_bytes().rstrip(b"\n")), "1s")
    assert [window.tasks.to_pylist() for window in cut] == whole
    assert cut.reading.not_understood == 1


@pytest.mark.parametrize("place", [1, 5, 9])
def test_a_loss_is_in_a_window_wherever_the_text_is_cut(place, monkeypatch):
    """The text is read by pieces, and all that some of them say is that so much was lost: the last, too."""
    monkeypatch.setattr("schedtel.traces.imported._CHUNK_BYTES", 400)
    events = [switch(10 * n, 0, *((A, IDLE) if n % 2 else (IDLE, A))) for n in range(9)]
    comments = ["#" + 99 * "-"] * 12
    lost = [*comments, "LOST 5 events!", *comments]

    def skipped(*lines):
        with schedtel.import_trace(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), "20ms") as source:
            return sum(window.losses["programs_skipped"] for window in source)

    assert skipped(*events[:place], *lost, *events[place:]) == skipped(*events) + 5
