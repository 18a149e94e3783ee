"""The longest waits of the running kernel: a task that starves behind a real-time one, and ftrace as the judge."""

import json
import re
import subprocess
import sys

import ftrace
from observe import collecting, judge
from waiting import PATIENCE_S, eventually

from schedtel.windows import invariants as laws
from schedtel.windows.wait_table import MOST_WAITS

#: How far the clocks of two observers of one event may be apart: each asks for the time when its turn comes.
APART_NS = 100_000


def waits_of(window, tid):
    return [row for row in window.waits.to_pylist() if row["tid"] == tid]


def test_a_starving_task_is_at_the_top_behind_the_task_that_starves_it(start, hog, last_cpu, backend):
    def observe():
        victim, taker = start("spin", 600, cpu=last_cpu), hog()
        with collecting("100ms", backend=backend) as collected:
            collected.await_windows(2)
            taker.stdin.close()
            assert taker.wait(timeout=PATIENCE_S) == 0
            collected.await_windows(2)
        victim.kill()
        return collected, victim.pid, taker.pid

    def verdict(collected, victim, taker):
        starved, known = 0, 0
        for window in collected.windows:
            [row] = [r for r in window.tasks.to_pylist() if r["tid"] == victim] or [None]
            if row is None or row["cpu_ns"] or row["wait_ns"] != window.end_ns - window.start_ns:
                continue
            starved += 1
            first = window.waits.to_pylist()[0]
            told = {name: first[name] for name in ("tid", "cpu", "kind", "goes_on", "wait_ns")}
            assert told == {
                "tid": victim,
                "cpu": last_cpu,
                "kind": "preempt",
                "goes_on": True,
                "wait_ns": row["open_wait_ns"],
            }
            assert (first["comm"], first["start_boottime_ns"]) == (row["comm"], row["start_boottime_ns"])
            # Where the hog had an event between the edge and its visit, nobody is named.
            assert (first["behind_tid"], first["behind_comm"]) in ((taker, row["comm"]), (None, None))
            known += first["behind_tid"] == taker
        assert starved >= 4, "the hog takes the CPU for eight windows"
        assert known >= starved / 2
        ended = [row for window in collected.windows for row in waits_of(window, victim) if not row["goes_on"]]
        longest = max(ended, key=lambda row: row["wait_ns"])
        assert longest["wait_ns"] > 0.5e9
        assert (longest["cpu"], longest["kind"]) == (last_cpu, "preempt")
        for window in collected.windows:
            assert [finding for finding in laws.check(window) if not finding.holds] == []

    judge(observe, verdict)


# ---- ftrace as the judge ----

_SWITCH = re.compile(
    rb"\[(\d+)\] \S+ +(\d+)\.(\d+): sched_switch: prev_comm=.* prev_pid=(\d+) prev_prio=-?\d+ prev_state=(\S+) ==> "
    rb"next_comm=.* next_pid=(\d+) next_prio"
)
_WRITTEN = re.compile(rb"entries-in-buffer/entries-written: (\d+)/(\d+)")
_WAKEUP = re.compile(rb"\[(\d+)\] \S+ +(\d+)\.(\d+): (?:sched_wakeup|sched_wakeup_new): comm=.* pid=(\d+) prio=")


def waits_by_ftrace(text):
    """Every wait that ftrace has seen begin and end, by arithmetic on its lines: (end, length, tid, CPU, prev)."""
    since, found, running = {}, [], {}
    for line in text.splitlines():
        if switch := _SWITCH.search(line):
            cpu, s, us, prev, state, following = switch.groups()
            now, cpu, prev, following = (int(s) * 1_000_000 + int(us)) * 1000, int(cpu), int(prev), int(following)
            running.pop(prev, None)
            since.pop(prev, None)
            if prev and state in (b"R", b"R+"):
                since[prev] = now
            if following in since:
                began = since.pop(following)
                found.append((now, now - began, following, cpu, prev))
            running[following] = cpu
        elif wakeup := _WAKEUP.search(line):
            _, s, us, tid = wakeup.groups()
            if int(tid) not in running:
                since.setdefault(int(tid), (int(s) * 1_000_000 + int(us)) * 1000)
    return found


def test_the_longest_waits_are_those_that_ftrace_sees(start, last_cpu, backend):
    """Three hogs and a ping-pong take turns on one CPU."""

    def observe():
        with ftrace.instance() as instance, collecting("500ms", backend=backend) as collected:
            collected.await_windows(1)
            with ftrace.tracing(instance):
                hogs = [start("spin", 600, cpu=last_cpu) for _ in range(3)]
                naps = start("pingpong", 1_000_000, cpu=last_cpu)
                collected.await_windows(4)
            for process in (*hogs, naps):
                process.kill()
            text = instance.text()
        return collected, waits_by_ftrace(text), text

    def verdict(collected, seen, text):
        in_buffer, written = map(int, _WRITTEN.search(text).groups())
        assert in_buffer == written, "ftrace has overwritten events (a larger buffer)"
        begin, end = min(end for end, *_ in seen), max(end for end, *_ in seen)
        judged = 0
        for window in collected.windows:
            if window.start_ns < begin + 1e9 or window.end_ns > end:
                continue
            mine = sorted((w for w in seen if window.start_ns <= w[0] < window.end_ns), key=lambda w: -w[1])
            told = [row for row in window.waits.to_pylist() if not row["goes_on"]]
            assert window.waits.num_rows == MOST_WAITS
            for row in told:
                ended = row["wait_start_ns"] + row["wait_ns"]
                same = [w for w in seen if w[2] == row["tid"] and abs(w[0] - ended) < APART_NS]
                assert any(abs(w[1] - row["wait_ns"]) < APART_NS for w in same), (row, same)
                assert {(row["cpu"], row["behind_tid"])} <= {(w[3], w[4]) for w in same}
            # None that ftrace sees to be longer is missing.
            shortest = window.waits.to_pylist()[-1]["wait_ns"]
            missing = [w for w in mine if w[1] > shortest + APART_NS]
            assert {(w[2], w[3]) for w in missing} <= {(row["tid"], row["cpu"]) for row in told}
            assert len(missing) <= len(told)
            judged += 1
        assert judged, "no window lies within what ftrace has traced"

    judge(observe, verdict)


# ---- through the command ----


def test_the_command_tells_it_live_recorded_and_shown(start, hog, last_cpu, tmp_path):
    victim, taker = start("spin", 600, cpu=last_cpu), hog()
    command = [sys.executable, "-m", "schedtel.cli", "record", "-q", "-w", "200ms", "-d", "1.4s", "-o", tmp_path / "r"]
    recording = subprocess.Popen(command)
    eventually((tmp_path / "r" / "summary").exists)
    taker.stdin.close()
    assert recording.wait(timeout=PATIENCE_S) == 0
    victim.kill()
    show = [sys.executable, "-m", "schedtel.cli", "show", tmp_path / "r"]
    lines = subprocess.run([*show, "--format", "ndjson"], check=True, capture_output=True, text=True).stdout
    firsts = [window["waits"][0] for window in map(json.loads, lines.splitlines()) if window["waits"]]
    starving = [row for row in firsts if row["tid"] == victim.pid and row["goes_on"] and row["wait_ns"] > 2e8]
    assert starving
    assert taker.pid in {row["behind_tid"] for row in starving} <= {taker.pid, None}
    page = subprocess.run([*show, "--by", "wait"], check=True, capture_output=True, text=True).stdout
    rows = re.findall(rf"^{victim.pid} .*goes on.*$", page, re.MULTILINE)
    assert any(str(taker.pid) in row for row in rows), page
