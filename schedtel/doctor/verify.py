"""The laws, live: for a few seconds children of our own keep the scheduler busy, and the kernel's books judge our rows.

A child stops itself when its work is done, and is judged by its ``/proc`` files as they stand then; its end, whose
tear-down is no part of its life for us, comes after. What is compared is CPU time plus wait, because the kernel draws
the line between the two elsewhere: after a wakeup it skips the clock update of the switch that follows
(RQCF_REQ_SKIP, wakeup_preempt() in kernel/sched/core.c), so its books begin the woken task's CPU time, and end the
preempted one's, at the wakeup; ours at the switch. The sum does not depend on it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from schedtel.durations import format_duration
from schedtel.live import live
from schedtel.windows import tables
from schedtel.windows.invariants import Finding, check
from schedtel.windows.window import Window

#: Law 4: within 1 % or 1 ms, plus the kernel's slightly earlier stamps: at a switch, and at a wakeup, where the
#: interprocessor interrupt that wakeup_preempt() may send, dear on a virtual machine, lies between its stamp and ours.
_RELATIVE, _ABSOLUTE_NS, _PER_SWITCH_NS, _PER_WAKEUP_NS = 0.01, 1_000_000, 500, 5_000
_SPINNERS, _SLEEPERS = 3, 3
_SUMMED = ("cpu_ns", "wait_ns", "voluntary_switches", "involuntary_switches")


@dataclass(frozen=True)
class Books:
    """What the kernel says of one task: CPU time and run-queue wait in ns, switches."""

    cpu_ns: int
    wait_ns: int
    voluntary_switches: int
    involuntary_switches: int

    @classmethod
    def of(cls, pid: int) -> "Books":
        """Read ``/proc/<pid>/schedstat`` and ``status``."""
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            cpu_ns, wait_ns, _ = map(int, file.read().split())
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        return cls(cpu_ns, wait_ns, int(fields["voluntary_ctxt_switches"]), int(fields["nonvoluntary_ctxt_switches"]))


def verify(seconds: float = 3.0, window: str = "500ms") -> list[Finding]:
    """Run a mixed load for some seconds and return what was found for each window and each child."""
    with live(window) as source:
        pids = [_fork(work, seconds) for work in [_spin] * _SPINNERS + [_nap] * _SLEEPERS]
        try:
            threading.Thread(target=_stop_after, args=(pids, source.stop), daemon=True).start()
            windows = list(source)
            books = {pid: Books.of(pid) for pid in pids}
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    findings = [f for before, now in zip([None, *windows], windows, strict=False) for f in check(now, before)]
    return findings + [_compare(pid, told, windows) for pid, told in books.items()]


def _fork(work: Callable[[float], None], seconds: float) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work(seconds)
            os.kill(os.getpid(), signal.SIGSTOP)
        finally:
            os._exit(0)
    return pid


def _stop_after(pids: list[int], stop: Callable[[], None]) -> None:
    for pid in pids:
        os.waitid(os.P_PID, pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    stop()


def _spin(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


def _nap(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.001)


def _compare(pid: int, told: Books, windows: list[Window]) -> Finding:
    seen = {name: sum(_sum_of(window, pid, name) for window in windows) for name in _SUMMED}
    ours = seen["cpu_ns"] + seen["wait_ns"]
    kernels = told.cpu_ns + told.wait_ns
    switches = seen["voluntary_switches"] + seen["involuntary_switches"]
    kernel_switches = told.voluntary_switches + told.involuntary_switches
    bound = max(kernels * _RELATIVE, _ABSOLUTE_NS) + _PER_SWITCH_NS * kernel_switches
    bound += _PER_WAKEUP_NS * told.voluntary_switches
    close = abs(ours - kernels) <= bound and abs(switches - kernel_switches) <= max(5, 0.01 * kernel_switches)
    figure = (
        f"child {pid}: CPU + wait {format_duration(ours)}, {switches} switches; "
        f"schedstat {format_duration(kernels)}, status {kernel_switches}"
    )
    return Finding("4 the kernel's own books", close, figure)


def _sum_of(window: Window, pid: int, name: str) -> int:
    rows = np.flatnonzero(tables.column(window.tasks, "tid") == pid)
    return int(tables.column(window.tasks, name)[rows].sum())
