"""Run a mixed load, and check its windows by the laws and its tasks by the kernel's own accounting.

A child stops itself when its work is done, and its ``/proc`` files are read while it is stopped. Its end comes after,
since its tear-down is no part of its life in our tables. CPU time plus wait is compared, because the kernel draws the
line between the two elsewhere: after a wakeup it skips the clock update of the switch that follows (RQCF_REQ_SKIP,
wakeup_preempt() in kernel/sched/core.c). So the kernel begins the woken task's CPU time, and ends the preempted task's,
at the wakeup; schedtel does so at the switch. The sum does not depend on it.
"""

import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from schedtel.doctor.observer import judge_losses, observed_switches
from schedtel.durations import format_duration
from schedtel.host.parent import die_with
from schedtel.live import live
from schedtel.windows import tables
from schedtel.windows.invariants import Finding, check
from schedtel.windows.window import Window

#: Law 4 holds within 1 % or 1 ms, plus the time by which the kernel's stamps are earlier than ours at each switch and
#: each wakeup. At a wakeup, the interprocessor interrupt that wakeup_preempt() may send, which is slow on a virtual
#: machine, lies between the two stamps.
_RELATIVE, _ABSOLUTE_NS, _PER_SWITCH_NS, _PER_WAKEUP_NS = 0.01, 1_000_000, 500, 5_000
_SPINNERS, _SLEEPERS = 3, 3
_SUMMED = ("cpu_ns", "wait_ns", "voluntary_switches", "involuntary_switches")


@dataclass(frozen=True)
class KernelAccounting:
    """The kernel's own accounting of one task: CPU time and run-queue wait in ns, switches."""

    cpu_ns: int
    wait_ns: int
    voluntary_switches: int
    involuntary_switches: int

    @classmethod
    def of(cls, pid: int) -> "KernelAccounting":
        """Read ``/proc/<pid>/schedstat`` and ``status``."""
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            cpu_ns, wait_ns, _ = map(int, file.read().split())
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        return cls(cpu_ns, wait_ns, int(fields["voluntary_ctxt_switches"]), int(fields["nonvoluntary_ctxt_switches"]))


def verify(seconds: float = 3.0, window: str = "500ms") -> list[Finding]:
    """Run a mixed load for some seconds; return the findings for each window and each child."""
    with observed_switches() as observation, live(window) as source:
        pids = [_fork(work, seconds) for work in [_spin] * _SPINNERS + [_nap] * _SLEEPERS]
        try:
            threading.Thread(target=_stop_after, args=(pids, source.stop), daemon=True).start()
            windows = list(source)
            accounting = {pid: KernelAccounting.of(pid) for pid in pids}
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
    findings = [f for before, now in zip([None, *windows], windows, strict=False) for f in check(now, before)]
    findings.append(judge_losses(windows, observation))
    return findings + [_compare(pid, kernel, windows) for pid, kernel in accounting.items()]


def _fork(work: Callable[[float], None], seconds: float) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            die_with(parent)
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


def _compare(pid: int, kernel: KernelAccounting, windows: list[Window]) -> Finding:
    sums = {name: sum(_sum_of(window, pid, name) for window in windows) for name in _SUMMED}
    our_ns, kernel_ns = sums["cpu_ns"] + sums["wait_ns"], kernel.cpu_ns + kernel.wait_ns
    switches = sums["voluntary_switches"] + sums["involuntary_switches"]
    kernel_switches = kernel.voluntary_switches + kernel.involuntary_switches
    bound_ns = max(kernel_ns * _RELATIVE, _ABSOLUTE_NS) + _PER_SWITCH_NS * kernel_switches
    bound_ns += _PER_WAKEUP_NS * kernel.voluntary_switches
    close = abs(our_ns - kernel_ns) <= bound_ns and abs(switches - kernel_switches) <= max(5, 0.01 * kernel_switches)
    figure = (
        f"child {pid}: CPU + wait {format_duration(our_ns)}, {switches} switches; "
        f"schedstat {format_duration(kernel_ns)}, status {kernel_switches}"
    )
    return Finding("4 the kernel's own accounting", close, figure)


def _sum_of(window: Window, pid: int, name: str) -> int:
    rows = np.flatnonzero(tables.column(window.tasks, "tid") == pid)
    return int(tables.column(window.tasks, name)[rows].sum())
