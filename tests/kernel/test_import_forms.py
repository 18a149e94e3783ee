"""What the running kernel and perf print in other forms than the usual one: read whole, or refused with the reason."""

import io
import re
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import ftrace
import pytest

import schedtel
from schedtel.errors import RecordingError
from schedtel.windows.invariants import check

#: Two hogs that take a CPU from each other, so that some switches are preemptions; births and deaths beside them.
WORK = (
    "(timeout 0.3 taskset -c 0 sh -c 'while :; do :; done' &"
    " timeout 0.3 taskset -c 0 sh -c 'while :; do :; done' &"
    " for i in 1 2 3 4 5 6 7 8; do /bin/true; sleep 0.02; done; wait)"
)


def work():
    subprocess.run(["sh", "-c", WORK], check=True)


def imported(text, window="100ms"):
    """The windows of a text, each of which obeys the laws, and how it was read."""
    with schedtel.import_trace(io.BytesIO(text), window) as source:
        windows = list(source)
    for before, following in pairwise([None, *windows]):
        assert [finding for finding in check(following, before) if not finding.holds] == []
    return windows, source.reading


def tables(windows):
    return [(window.tasks.to_pylist(), window.cpus.to_pylist()) for window in windows]


def refusal(text):
    with pytest.raises(RecordingError) as refused:
        schedtel.import_trace(io.BytesIO(text))
    return str(refused.value)


# ---- ftrace ----


@pytest.fixture
def traced():
    with ftrace.instance() as instance:
        with ftrace.tracing(instance):
            work()
        yield instance


def test_states_as_numbers_are_the_states_as_letters(traced):
    plain, fields = traced.text(), traced.text("fields")
    if b"prev_state=0x" not in fields:
        pytest.skip("needs ftrace's option fields (Linux 6.4)")
    assert re.search(rb"prev_state=0x100 ", fields), "a task was preempted"
    (windows, reading), (others, other) = imported(plain), imported(fields)
    assert tables(windows) == tables(others)
    assert (reading.not_understood, other.not_understood, reading.lost) == (0, 0, 0)


@pytest.mark.parametrize(
    ("option", "reason"),
    [("nocontext-info", "no CPU"), ("latency-format", "no CPU"), ("raw", "no line is an event"), ("hex", "no line")],
)
def test_what_ftrace_prints_without_its_context_is_refused(traced, option, reason):
    if option == "nocontext-info":
        traced.option("context-info", on=False)
        assert reason in refusal(traced.text())
    else:
        assert reason in refusal(traced.text(option))


def test_a_clock_that_is_no_time_is_refused():
    with ftrace.instance(clock="counter") as instance:
        with ftrace.tracing(instance):
            work()
        assert "mono" in refusal(instance.text())


def test_call_chains_and_markers_are_no_losses():
    with ftrace.instance() as instance:
        instance.option("stacktrace")
        with ftrace.tracing(instance):
            for text in ("lost 12000", "CPU:0 [LOST 12000 EVENTS]", "PERF_RECORD_LOST lost 12000"):
                instance.write("trace_marker", text)
            subprocess.run(["true"], check=True)
        windows, reading = imported(instance.text())
    assert (reading.not_understood, reading.lost) == (0, 0)
    assert sum(window.losses["programs_skipped"] for window in windows) < 100  # as ftrace itself may withhold some


def test_a_buffer_that_was_overwritten_is_a_loss_in_its_first_windows():
    with ftrace.instance(size_kb=16) as instance:
        with ftrace.tracing(instance):
            for _ in range(4):
                work()
        text = instance.text()
    left, written = map(int, re.search(rb"written: (\d+)/(\d+)", text).groups())
    assert written > left
    windows, reading = imported(text, "10ms")
    started = text.count(b" buffer started ####")
    assert reading.lost == written - left + started
    assert windows[0].losses["programs_skipped"] >= written - left
    silent = [window.losses["programs_skipped"] > 0 for window in windows if 0 in cpu_ns(window)]
    assert all(silent)


def cpu_ns(window):
    """What each CPU is known to have done."""
    return [row["busy_ns"] + row["idle_ns"] - row["untracked_ns"] for row in window.cpus.to_pylist()]


# ---- perf ----


def times(windows):
    """What must not depend on the form; with `-F +pid`, perf tells processes, too."""
    names = ("tid", "comm", "cpu_ns", "wait_ns", "blocked_ns")
    return [[[row[name] for name in names] for row in window.tasks.to_pylist()] for window in windows]


def perf_command():
    perf = shutil.which("perf")
    if perf is None or subprocess.run([perf, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("needs perf (apt install linux-perf)")
    return perf


EVENTS = ",".join(event.replace("/", ":") for event in ftrace.EVENTS)


def recorded(path, *options, within=("unshare", "--mount")):
    command = [*within, perf_command(), "record", "-q", "-a", "-k", "CLOCK_MONOTONIC", *options]
    subprocess.run([*command, "-e", EVENTS, "-o", path, "--", "sh", "-c", WORK], check=True, capture_output=True)


def printed(path, *options):
    command = ["unshare", "--mount", perf_command(), "script", "--ns", *options, "-i", path]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("perf") / "perf.data")
    recorded(path, "-m", "4096")
    return path


@pytest.mark.parametrize("options", [["-F", "-comm"], ["-F", "+pid,-comm"], ["-F", "+period"], ["--header"], ["-v"]])
def test_forms_of_perf_that_are_read_whole(data, options):
    (windows, _), (others, reading) = imported(printed(data)), imported(printed(data, *options))
    assert reading.not_understood == 0
    assert times(others) == times(windows)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-F", "-tid"], "no task id"),
        (["-F", "-time"], "no time"),
        (["-F", "-cpu"], "no CPU"),
        (["-F", "-event"], "no names of events"),
        (["-F", "+tod"], "date"),
        (["--deltatime"], "not in order"),
    ],
)
def test_forms_of_perf_that_are_refused(data, options, reason):
    try:
        text = printed(data, *options)
    except subprocess.CalledProcessError:
        pytest.skip(f"this perf has no {options}")
    assert reason in refusal(text)


def test_perfs_other_records_are_no_damage_and_its_losses_are_losses(tmp_path):
    path = str(tmp_path / "perf.data")
    recorded(path, "-m", "1")
    others = [f"--show-{kind}-events" for kind in ("lost", "task", "mmap", "switch")]
    text = printed(path, *others)
    lost = sum(int(count) for count in re.findall(rb"PERF_RECORD_LOST lost (\d+)$", text, re.MULTILINE))
    windows, reading = imported(text)
    assert text.count(b"PERF_RECORD_COMM") > 10
    assert (reading.not_understood, reading.lost) == (0, lost)
    assert sum(window.losses["programs_skipped"] for window in windows) >= lost


def test_processes_are_null_where_perf_ran_in_another_pid_namespace(tmp_path):
    path = str(tmp_path / "perf.data")
    recorded(path, "-m", "4096", within=("unshare", "--mount", "--pid", "--fork", "--mount-proc"))
    windows, reading = imported(printed(path, "-F", "+pid"))
    assert reading.other_namespace
    told = {(row["tid"], row["tgid"]) for window in windows for row in window.tasks.to_pylist() if row["tgid"]}
    for tid, tgid in told:
        status = Path(f"/proc/{tid}/status")
        assert tgid == (int(re.search(r"Tgid:\s+(\d+)", status.read_text())[1]) if status.exists() else tid)
