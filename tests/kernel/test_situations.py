"""Laws 1 to 5 and 8 in the situations that other tools get wrong: each is made to happen, and every window is judged.

docs/meaning.md has the table of laws and situations. A situation's processes are hogs, which stop themselves at their
end: then the kernel's accounting of them stands still, and law 4 compares it.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from observe import collecting, judge, wait_stopped
from surroundings import limit, made_cgroup
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.doctor.verify import KernelAccounting
from schedtel.errors import CapabilityError
from schedtel.host.cgroups import cgroup_root, cpu_hierarchy
from schedtel.windows.invariants import check

SECONDS = 0.6


def stopped_and_continued(start, cpu):
    """A hog is stopped by SIGSTOP and let go on, again and again."""
    hog = start("hog", SECONDS, cpu=cpu)
    end = time.monotonic() + SECONDS / 2
    while time.monotonic() < end:
        os.kill(hog.pid, signal.SIGSTOP)
        time.sleep(0.02)
        os.kill(hog.pid, signal.SIGCONT)
        time.sleep(0.02)
    return [hog]


def traced_by_ptrace(start, cpu):
    """Another process attaches to a hog, and lets it go on, again and again."""
    attach, detach = 16, 17  # sys/ptrace.h
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    hog = start("hog", SECONDS, cpu=cpu)
    for _ in range(20):
        if ptrace(attach, hog.pid, None, None):
            pytest.skip(f"needs ptrace: {os.strerror(ctypes.get_errno())}")
        os.waitpid(hog.pid, os.WUNTRACED)
        ptrace(detach, hog.pid, None, None)
        time.sleep(0.01)
    return [hog]


def forked_by_vfork(start, cpu):
    """Python starts programs by vfork: the parent sleeps in the kernel until the child execs."""
    hog = start("hog", SECONDS, cpu=cpu)
    for _ in range(100):
        subprocess.run(["true"], check=True)
    return [hog]


def of_a_realtime_policy(start, cpu):
    """A FIFO task beside a normal one: the kernel throttles the first, which looks like a wait, to spare the second."""
    normal, realtime = start("hog", SECONDS, cpu=cpu), start("hog", 1.5, cpu=cpu)
    os.sched_setscheduler(realtime.pid, os.SCHED_FIFO, os.sched_param(1))
    return [normal, realtime]


def of_the_deadline_policy(start, _cpu):
    """2 ms in every 10: the rest of the time the task is runnable, and throttled."""
    hog = start("hog", SECONDS)
    budget = ["--sched-runtime", "2000000", "--sched-deadline", "10000000", "--sched-period", "10000000"]
    done = subprocess.run(["chrt", "-d", *budget, "-p", "0", str(hog.pid)], capture_output=True, text=True, check=False)
    if done.returncode:
        hog.kill()
        pytest.skip(f"needs SCHED_DEADLINE: {done.stderr.strip()}")
    return [hog]


def in_other_namespaces(start, cpu):
    """Tasks of a pid namespace of their own come and go beside a hog."""
    hog = start("hog", SECONDS, cpu=cpu)
    command = ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", "for i in 1 2 3 4 5; do true | cat; done"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"needs a pid namespace: {done.stderr.strip()}")
    return [hog]


def where_threads_exec_and_tids_are_used_again(start, cpu):
    hog = start("hog", SECONDS, cpu=cpu)
    for mode in (("exec",), ("leader",), ("threads", 20, 0)):
        assert start(*mode).wait(timeout=PATIENCE_S) == 0
    return [hog]


def under_load(start, cpu):
    hogs = [start("hog", SECONDS, cpu=cpu) for _ in range(3)]
    assert start("storm", 300).wait(timeout=PATIENCE_S) == 0
    return hogs


SITUATIONS = [
    under_load,
    stopped_and_continued,
    traced_by_ptrace,
    forked_by_vfork,
    of_a_realtime_policy,
    of_the_deadline_policy,
    in_other_namespaces,
    where_threads_exec_and_tids_are_used_again,
]


def broken(windows):
    """The findings that do not hold, over windows in their order."""
    pairs = zip([None, *windows], windows, strict=False)
    return [finding for before, window in pairs for finding in check(window, before) if not finding.holds]


def agree_with_the_kernel(collected, accounts):
    """Law 4, as tests/kernel/test_accounting.py has it for tasks of the fair class: CPU time and wait together."""
    for pid, kernel in accounts.items():
        ours = collected.sum("cpu_ns", tid=pid) + collected.sum("wait_ns", tid=pid)
        kernel_ns = kernel.cpu_ns + kernel.wait_ns
        switches = kernel.voluntary_switches + kernel.involuntary_switches
        assert abs(ours - kernel_ns) <= max(0.01 * kernel_ns, 1_000_000) + 20_000 * switches, pid


def observed(situation, start, cpu):
    with collecting("100ms") as collected:
        hogs = situation(start, cpu)
        for hog in hogs:
            wait_stopped(hog)
        accounts = {hog.pid: KernelAccounting.of(hog.pid) for hog in hogs}
    return collected, accounts


@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.__name__)
def test_the_laws_hold(situation, start, last_cpu):
    def verdict(collected, accounts):
        assert len(collected.windows) >= 3
        assert broken(collected.windows) == []
        agree_with_the_kernel(collected, accounts)

    judge(lambda: observed(situation, start, last_cpu), verdict, stamps=True)


def in_a_cgroup(cgroup, start, cpu, then=lambda: None):
    """Judge a hog in a cgroup. It is killed at the end, so that the cgroup can be removed."""

    def situation(begin, cpu):
        hog = begin("hog", SECONDS, cpu=cpu)
        (cgroup / "cgroup.procs").write_text(str(hog.pid))
        then()
        return [hog]

    def verdict(collected, accounts):
        assert broken(collected.windows) == []
        agree_with_the_kernel(collected, accounts)
        for pid in accounts:
            os.kill(pid, signal.SIGKILL)

    judge(lambda: observed(situation, start, cpu), verdict, stamps=True)


def test_the_laws_hold_where_a_cgroup_is_throttled(start, last_cpu):
    root = cpu_hierarchy()
    if root is None:
        pytest.skip("needs a cgroup hierarchy with the cpu controller")
    with made_cgroup(Path(root) / f"schedtel-{os.getpid()}-throttled") as cgroup:
        limit(cgroup, 0.2)
        in_a_cgroup(cgroup, start, last_cpu)


def test_the_laws_hold_where_a_cgroup_is_frozen(start, last_cpu):
    try:
        root = cgroup_root()
    except CapabilityError as error:
        pytest.skip(str(error))
    with made_cgroup(root / f"schedtel-{os.getpid()}-frozen") as cgroup:
        freezer = cgroup / "cgroup.freeze"

        def freeze_and_thaw():
            for _ in range(5):
                freezer.write_text("1")
                eventually(lambda: "frozen 1" in (cgroup / "cgroup.events").read_text())
                freezer.write_text("0")
                time.sleep(0.03)

        if not freezer.exists():
            pytest.skip("needs the freezer of cgroup v2 (Linux 5.2)")
        in_a_cgroup(cgroup, start, last_cpu, freeze_and_thaw)


def test_the_laws_hold_where_the_collector_is_late(start, last_cpu, tmp_path):
    """It is stopped for ten windows, while a task comes, runs and goes."""
    where = tmp_path / "recording"
    command = [sys.executable, "-m", "schedtel.cli", "record", "-q", "-w", "50ms", "-o", str(where)]
    collector = subprocess.Popen(command)
    try:
        eventually(lambda: any((where / "summary").glob("*.parquet")) if where.exists() else False)
        os.kill(collector.pid, signal.SIGSTOP)
        assert start("spin", 0.3, cpu=last_cpu).wait(timeout=PATIENCE_S) == 0
        time.sleep(0.2)
        os.kill(collector.pid, signal.SIGCONT)
        time.sleep(0.3)
    finally:
        collector.send_signal(signal.SIGCONT)
        collector.terminate()
        assert collector.wait(timeout=PATIENCE_S) == 0
    windows = list(schedtel.read(where))
    assert max(window.summary["windows_spanned"][0].as_py() for window in windows) >= 5
    assert broken(windows) == []


def test_the_laws_hold_for_two_collectors_at_once(start, last_cpu):
    def observe():
        with collecting("100ms") as one, collecting("70ms") as other:
            hog = start("hog", SECONDS, cpu=last_cpu)
            wait_stopped(hog)
            accounts = {hog.pid: KernelAccounting.of(hog.pid)}
        return one, other, accounts

    def verdict(one, other, accounts):
        for collected in (one, other):
            assert broken(collected.windows) == []
            agree_with_the_kernel(collected, accounts)

    judge(observe, verdict, stamps=True)


def test_every_situation_is_in_the_table_of_the_documents():
    table = (Path(__file__).parents[2] / "docs" / "meaning.md").read_text()
    for situation in SITUATIONS:
        assert f"`test_the_laws_hold[{situation.__name__}]`" in table
