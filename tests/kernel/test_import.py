"""Live numbers against traces that perf and ftrace take of the same run: imported, and compared life by life.

The tracers, their text and the parser share nothing with the BPF side but the definitions. The tests compare whole
lives, so that it does not matter when each observer begins. The workload keeps its CPU busy: some kernels withhold
events in the context of an idle CPU, and all three observers see the same of a CPU that is never idle.
"""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

import pytest
from observe import Collected, collecting, judge

import schedtel

EVENTS = ["sched_switch", "sched_wakeup", "sched_wakeup_new", "sched_process_fork", "sched_process_exit"]
EVENTS = [f"sched:{name}" for name in [*EVENTS, "sched_process_exec"]] + ["task:task_newtask"]
#: Hogs that keep the CPU busy; besides, sleepers, pipes, and children that live for a moment.
SCRIPT = (  # in one line, since perf prints it in a header
    '"$0" spin 1.6 & "$0" spin 1.6 & "$0" napper 0.6 & napper=$!; '
    '"$0" pingpong 300 & "$0" storm 40 & "$0" threads 4 0.2 & sleep 1.2; kill -9 $napper; wait'
)
#: Two observers take their stamps of a switch one after the other. On an overloaded virtual machine, with cold caches,
#: 6 us lay between their stamps, by which whole lives then differ. On a quiet machine all lives agree without this.
STAMPS_NS = 10_000
#: The lives that must agree without it on any machine.
MOST = 0.9
SUMS = ("cpu_ns", "wait_ns", "blocked_ns", "alive_ns")
COUNTS = ("voluntary_switches", "involuntary_switches", "wakeups", "migrations", "bursts")


def perf_command():
    perf = shutil.which("perf")
    if perf is None or subprocess.run([perf, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("needs perf (apt install linux-perf)")
    # In a mount namespace of its own: perf mounts tracefs where it is not, and leaves it.
    return ["unshare", "--mount", perf]


def print_trace(command, text):
    with text.open("wb") as file:
        subprocess.run(command, stdout=file, stderr=subprocess.DEVNULL, check=True)


@contextmanager
def traced_by_perf(directory):
    """Yields the words to put before a command, and the path of the text that the tracer will write."""
    perf, recorded, text = perf_command(), str(directory / "perf.data"), directory / "perf.txt"
    clock = ["-k", "CLOCK_MONOTONIC", "-m", "4096"]
    yield [*perf, "record", "-q", "-a", *clock, "-e", ",".join(EVENTS), "-o", recorded, "--"], text
    print_trace([*perf, "script", "--ns", "--header", "-i", recorded], text)


@contextmanager
def traced_by_perf_sched(directory):
    """perf sched asks for sched_waking, and for no exits."""
    perf, recorded, text = perf_command(), str(directory / "perf.data"), directory / "perf.txt"
    yield [*perf, "sched", "record", "-q", "-k", "CLOCK_MONOTONIC", "-o", recorded, "--"], text
    print_trace([*perf, "sched", "-i", recorded, "script", "--ns"], text)


@contextmanager
def traced_by_ftrace(directory):
    mounted, text = Path(tempfile.mkdtemp(dir=directory)), directory / "ftrace.txt"
    if subprocess.run(["mount", "-t", "tracefs", "none", mounted], capture_output=True, check=False).returncode:
        pytest.skip("needs tracefs (CONFIG_FTRACE, and the right to mount it)")
    try:
        instance = mounted / "instances" / f"schedtel-{os.getpid()}"
        instance.mkdir()
        try:
            _set_up(instance)
            yield [], text
            (instance / "tracing_on").write_text("0")
            shutil.copyfile(instance / "trace", text)
        finally:
            instance.rmdir()
    finally:
        subprocess.run(["umount", mounted], check=True)


def _set_up(instance):
    (instance / "trace_clock").write_text("mono")
    (instance / "buffer_size_kb").write_text("16384")
    for event in EVENTS:
        (instance / "events" / event.replace(":", "/") / "enable").write_text("1")


def lives(collected):
    """(tid, number of the life) → sums over its windows, for the workload's tasks that lived while schedtel looked."""
    rows = [row for window in collected.windows for row in window.tasks.to_pylist() if row["tid"]]
    found = defaultdict(lambda: dict.fromkeys((*SUMS, *COUNTS), 0))
    ends = {(row["tid"], row["arrival_ns"]): row for row in rows if row["completion_ns"] and not row["left_censored"]}
    ours = [key for key, end in sorted(ends.items()) if end["comm"] == "schedtel-load"]
    numbers = {key: sum(earlier[0] == key[0] for earlier in ours[:place]) for place, key in enumerate(ours)}
    for row in rows:
        key = row["tid"], row["arrival_ns"]
        if key in numbers:
            end, life = ends[key], found[row["tid"], numbers[key]]
            for name in (*SUMS, *COUNTS):
                life[name] += row[name]
            life["comm"], life["tat_ns"], life["rt_ns"] = (end[name] for name in ("comm", "tat_ns", "rt_ns"))
    return dict(found)


def differences(ours, theirs, slack_ns, most_more, stamps_ns=STAMPS_NS):
    """The columns of a life that differ by more than 1 % or 50 us; its parts may differ by ``stamps_ns`` a switch more.

    Counts must be equal. Where a traced life includes its teardown, it may have a few more, by preemptions in there.
    """
    switches = ours["voluntary_switches"] + ours["involuntary_switches"]
    divided = dict.fromkeys(("cpu_ns", "wait_ns", "blocked_ns"), stamps_ns * switches)
    found = {}
    for name in (*SUMS, "tat_ns", "rt_ns"):
        bound = max(50_000, 0.01 * ours[name]) + divided.get(name, 0) + slack_ns(ours)
        if abs(ours[name] - theirs[name]) > bound:
            found[name] = (ours[name], theirs[name])
    apart = (name for name in COUNTS if not 0 <= theirs[name] - ours[name] <= most_more)
    return found | {name: (ours[name], theirs[name]) for name in apart}


def nothing(_life):
    return 0


def waking_and_teardown(life):
    """Without exits, a life includes its teardown. sched_waking comes before sched_wakeup."""
    return 300_000 + 5_000 * (life["wakeups"] + 1)


TRACERS = {
    "perf": (traced_by_perf, nothing, 0),
    "perf sched": (traced_by_perf_sched, waking_and_teardown, 3),
    "ftrace": (traced_by_ftrace, nothing, 0),
}


@pytest.mark.parametrize("name", TRACERS)
def test_an_imported_trace_agrees_with_the_live_windows_of_the_same_run(name, workload, last_cpu, tmp_path):
    tracer, *slack = TRACERS[name]
    runs = itertools.count()

    def observe():
        directory = tmp_path / str(next(runs))
        directory.mkdir()
        return observed(tracer, workload, last_cpu, directory)

    def verdict(_windows, reading, ours, theirs):
        assert (reading.not_understood, reading.lost) == (0, 0)
        both = ours.keys() & theirs.keys()
        assert len(both) > 45, "there were about 50 lives"
        assert sum(ours[life]["voluntary_switches"] for life in both) > 600  # the pipes alone make more
        assert sum(ours[life]["involuntary_switches"] for life in both) > 100
        assert {life: wrong for life in both if (wrong := differences(ours[life], theirs[life], *slack))} == {}
        agree = sum(not differences(ours[life], theirs[life], *slack, stamps_ns=0) for life in both)
        assert agree >= MOST * len(both)

    judge(observe, verdict, stamps=True)


def observed(tracer, workload, cpu, directory):
    """One run of the workload: its windows, the reading of the trace, the lives seen live, the lives in the trace."""
    environment = dict(os.environ) | {"PIN": str(cpu)}
    with collecting("200ms") as live, tracer(directory) as (prefix, text):
        command = [*prefix, "taskset", "-c", str(cpu), "sh", "-c", SCRIPT, workload]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    imported = Collected()
    with schedtel.import_trace(text, "200ms") as source:
        imported.windows.extend(source)
    either = Collected()  # where the kernel withheld an event from either, their numbers may differ
    either.windows = live.windows + imported.windows
    return either, source.reading, lives(live), lives(imported)
