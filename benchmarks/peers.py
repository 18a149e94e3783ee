"""The peers: each is looked up, started, proved to watch, and stopped; one that cannot run has the reason.

A peer with BPF programs is proved to watch if the kernel counts runs of each program while this process causes
switches. perf is proved to watch if its file has grown as much as the machine's context switches require, ftrace if its
buffers have filled accordingly. The proof is taken before and after every sample, never during it.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from benchmarks import headers, kernel, recorders
from benchmarks.failures import BenchmarkError, PeerError
from schedtel.kernel.bcc import slots

#: Debian installs administrators' tools in directories that are not on a user's PATH.
_SEARCH = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
_PATIENCE_S = 30.0
#: The default window of `schedtel live`.
USUAL_WINDOW_S = 5
_NAPS = 30
#: A nap is a switch away, a wakeup and a switch back, except if its timer expires before the task has switched away.
_ENOUGH = _NAPS // 2
#: Events that two tasks cause when they take turns.
PIPE_EVENTS = ("switch", "wakeup")
#: After this many disturbed samples in a part, other processes evidently trace all the time: no more retries.
_DISTURBED_ENOUGH = 5
Sample = TypeVar("Sample")
#: Some peers look up tracepoints in a mounted tracefs. Each gets its own mount, in a namespace that ends with the peer.
_OWN_MOUNTS = (
    "mount -t tracefs none /sys/kernel/tracing 2>&-; mount -t debugfs none /sys/kernel/debug 2>&-; "
    'mount --bind /sys/kernel/tracing /sys/kernel/debug/tracing 2>&-; exec "$@"'
)
_IN_OWN_MOUNTS = ("unshare", "--mount", "--propagation", "private", "sh", "-c", _OWN_MOUNTS, "sh")


@dataclass(frozen=True)
class Peer:
    """A tool that watches the scheduler.

    ``watching``: a context in which the peer watches; it yields the pid of the process to measure. ``programs``: event
    → names of the BPF programs that run at it. ``settle_s``: seconds until its start-up is over. ``note``: a remark for
    the results. ``missing``: why it cannot be measured on this machine; empty if it can. ``most_births``: how many
    births in a row it can follow; it would only count further ones as lost.
    """

    name: str
    watching: Callable[[], AbstractContextManager[int]]
    programs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    settle_s: float = 0.5
    note: str = ""
    missing: str = ""
    most_births: int = sys.maxsize

    @property
    def state(self) -> str:
        return f"not measured: {self.missing}" if self.missing else f"measured{self.note and f'; {self.note}'}"


def tool(name: str) -> str | None:
    """Full path of an installed command; None if it is not installed."""
    return shutil.which(name, path=_SEARCH)


def schedtel_command(window: str = "1s") -> tuple[str, ...]:
    """The command line of this checkout's ``schedtel live`` with NDJSON output."""
    return (str(Path(sys.executable).with_name("schedtel")), "live", "--window", window, "--format", "ndjson")


# ---- starting and proving ----


@dataclass
class Observers:
    """This benchmark's BPF programs, and the number of samples taken while other processes' programs were loaded."""

    own: set[int] = field(default_factory=set)
    disturbed_samples: int = 0

    def foreign(self) -> set[int]:
        return kernel.observer_ids() - self.own


observers = Observers()


@contextmanager
def running(
    command: tuple[str, ...], programs: dict[str, tuple[str, ...]], environment: dict[str, str] | None = None
) -> Iterator[int]:
    """Run a command; yields its pid once it has attached these BPF programs (as in :class:`Peer`).

    Leaving the context stops the command and waits until the kernel has freed its programs. Raises :class:`PeerError`
    when the command does not attach, or did not watch until the end.
    """
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=dict(os.environ) | (environment or {})
    )
    identities: set[int] = set()
    try:
        _wait_until_attached(process, programs)
        identities = kernel.program_ids(process.pid)
        observers.own |= identities
        prove(process.pid, programs)
        yield process.pid
        prove(process.pid, programs)
    finally:
        _stop(process)
        kernel.wait_until_gone(identities)


def prove(pid: int, programs: dict[str, tuple[str, ...]]) -> None:
    """Cause switches and wakeups, and check that each of the process's programs for them runs.

    Raises :class:`PeerError` when one is missing or does not run.
    """
    with kernel.counting():
        before = kernel.program_runs(pid)
        for _ in range(_NAPS):
            time.sleep(0.0001)
        after = kernel.program_runs(pid)
    for name in _of_the_pipe(programs):
        if name not in before or name not in after:
            raise PeerError(f"process {pid} does not watch: it has no BPF program {name}, but {sorted(after)}")
        runs = after[name].since(before[name]).runs
        if runs < _ENOUGH:
            raise PeerError(f"process {pid} does not watch: {name} ran {runs} times at {_NAPS} naps")


def _of_the_pipe(programs: dict[str, tuple[str, ...]]) -> set[str]:
    """The names of the programs that a switch or a wakeup runs, as the kernel keeps them."""
    return {kernel.kept(name) for event in PIPE_EVENTS for name in programs.get(event, ())}


def _wait_until_attached(process: subprocess.Popen, programs: dict[str, tuple[str, ...]]) -> None:
    """Wait until the process has attached all that it holds, those programs that :func:`prove` asks for among them."""
    deadline, names = time.monotonic() + _PATIENCE_S, _of_the_pipe(programs)
    while not (names <= kernel.program_runs(process.pid).keys() and kernel.is_attached(process.pid)):
        if process.poll() is not None:
            raise PeerError(f"{_name(process)} ended with {process.returncode}: {_last_words(process)}")
        if time.monotonic() > deadline:
            raise PeerError(f"{_name(process)} attached nothing in {_PATIENCE_S:g} s")
        time.sleep(0.01)


def _name(process: subprocess.Popen) -> str:
    own_mounts = process.args[: len(_IN_OWN_MOUNTS)] == _IN_OWN_MOUNTS
    words = process.args[len(_IN_OWN_MOUNTS) :] if own_mounts else process.args
    return " ".join(Path(word).name for word in words[:2])


def _last_words(process: subprocess.Popen) -> str:
    lines = process.stderr.read().decode(errors="replace").split("\n")
    return " ".join(" ".join(line for line in lines if line.strip())[-400:].split())


def _stop(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stderr.close()


def undisturbed(sample: Callable[[], Sample], attempts: int = 3) -> Sample:
    """The result of ``sample()``, repeated while BPF programs of other processes are loaded before or after it.

    After ``attempts`` the last result counts, and ``observers`` counts it as disturbed.
    """
    attempts = attempts if observers.disturbed_samples < _DISTURBED_ENOUGH else 1
    for attempt in range(attempts):
        before = observers.foreign()
        result = sample()
        if not before and not observers.foreign():
            return result
        if attempt + 1 < attempts:
            time.sleep(1)
    observers.disturbed_samples += 1
    return result


# ---- the catalogue ----

_SWITCH_AND_WAKEUPS = {"switch": ("sched_switch",), "wakeup": ("sched_wakeup",), "fork": ("sched_wakeup_new",)}
_OURS = {
    "switch": ("on_switch",),
    "wakeup": ("on_wakeup",),
    "fork": ("on_newtask", "on_arrival"),
    "exit": ("on_exit",),
}


def _attaching(
    name: str,
    command: tuple[str, ...],
    programs: dict[str, tuple[str, ...]],
    environment: dict[str, str] | None = None,
    **fields: Any,
) -> Peer:
    """A peer whose command attaches these BPF programs; their runs prove that it watches."""
    return Peer(name, partial(running, command, programs, environment), programs, **fields)


def _subject(
    name: str,
    seconds: float,
    *words: str,
    within: tuple[str, ...] = (),
    programs: dict[str, tuple[str, ...]] = _OURS,
    **fields: Any,
) -> Peer:
    command = (*within, *schedtel_command(f"{seconds:g}s"), *words)
    # The first window contains imports and first uses. They are start-up, not a cost of watching.
    return _attaching(name, command, programs, settle_s=seconds + 1.2, **fields)


def schedtel(seconds: float = 1) -> Peer:
    """schedtel itself: ``schedtel live`` with windows of ``seconds``."""
    return _subject("schedtel", seconds)


def schedtel_without_preemptions() -> Peer:
    """schedtel without the table ``preemptions``: the difference from :func:`schedtel` is the cost of the table."""
    return _subject("schedtel, preemptions off", 1, "--preemptions", "off")


#: Name of schedtel without rows for tasks that did less than 10 ms in a window.
FROM_10_MS = "schedtel, 10 ms and more"


def schedtel_without_short_lives(seconds: int = 1) -> Peer:
    """schedtel without a row for each short process: like its peers, it reports a fork storm as sums."""
    return _subject(FROM_10_MS, seconds, "--min-activity", "10ms")


#: Perf events in the order in which they are added: two that are counted rarely, and two that are at every switch.
_COUNTED = ("page-faults", "cpu-migrations", "context-switches", "task-clock")


def schedtel_counting(events: int) -> Peer:
    """schedtel with 1 to 4 counters: the difference from :func:`schedtel` is what they add to a switch."""
    words = [word for name in _COUNTED[:events] for word in ("--counter", name)]
    counting = {**_OURS, "switch": (*_OURS["switch"], "count_switch")}
    name = f"schedtel, {events} counter{'s' if events > 1 else ''}"
    return _subject(name, 1, *words, programs=counting)


def _schedtel_by_bcc(seconds: int) -> Peer:
    """schedtel with its bcc backend, whose compiler process has ended once all programs are attached.

    ``missing`` is not set here: if the backend lacks something, its own error says so when the peer is tried.
    """
    # All births of a load and of its warm-up may happen on one CPU before the collector refills its free slots.
    births = slots.FREE_SLOTS // 3
    fields = {"within": _IN_OWN_MOUNTS, "note": headers.note(), "most_births": births}
    return _subject("schedtel, bcc", seconds, "--backend", "bcc", **fields)


def _libbpf_tool(name: str, argument: str, programs: dict[str, tuple[str, ...]]) -> Peer:
    path = tool(name)
    peer = _attaching(name, (str(path), argument), programs)
    return peer if path else replace(peer, missing="not installed (apt install libbpf-tools)")


def _bpftrace() -> Peer:
    path = tool("runqlat.bt")
    command = (*_IN_OWN_MOUNTS, str(path))
    peer = _attaching("runqlat.bt", command, _SWITCH_AND_WAKEUPS, headers.environment(), note=headers.note())
    if path is None:
        return replace(peer, missing="not installed (apt install bpftrace)")
    return peer if headers.are_there() else replace(peer, missing=headers.note())


def _bcc(seconds: int) -> Peer:
    path = tool("runqlat-bpfcc")
    command = (str(path), str(seconds))
    peer = _attaching(
        "bcc runqlat", command, _SWITCH_AND_WAKEUPS, headers.environment(), settle_s=1, note=headers.note()
    )
    if path is None:
        return replace(peer, missing="not installed (apt install bpfcc-tools)")
    return peer if headers.are_there() else replace(peer, missing=headers.note())


def _recorder(name: str, watching: Callable[[], AbstractContextManager[int]], tool_name: str, package: str) -> Peer:
    peer = Peer(name, watching)
    return peer if tool(tool_name) else replace(peer, missing=f"not installed (apt install {package})")


def _catalogue(seconds: int) -> list[Peer]:
    return [
        _schedtel_by_bcc(seconds),
        _libbpf_tool("runqlat", str(seconds), _SWITCH_AND_WAKEUPS),
        _libbpf_tool("cpudist", str(seconds), {"switch": ("sched_switch_btf",)}),
        _libbpf_tool("runqslower", "10000", _SWITCH_AND_WAKEUPS),
        _bpftrace(),
        _bcc(seconds),
        _recorder("perf sched record", partial(recorders.perf, str(tool("perf"))), "perf", "linux-perf"),
        _recorder("ftrace", recorders.ftrace, "mount", "mount"),
    ]


@cache
def everybody(seconds: int = 1) -> tuple[Peer, ...]:
    """Every peer, after one trial run; ``missing`` says why one cannot watch here.

    :param seconds: how often peers print, and the window of schedtel.
    """
    return tuple(_tried(peer) for peer in _catalogue(seconds))


def _tried(peer: Peer) -> Peer:
    if peer.missing:
        return peer
    try:
        with peer.watching():
            time.sleep(0.2)
    except (BenchmarkError, OSError) as error:
        return replace(peer, missing=f"cannot run here: {error}")
    return peer


def measured(seconds: int = 1) -> list[Peer]:
    """schedtel, then every peer that can be measured here, with windows of ``seconds``."""
    return [schedtel(seconds), *(peer for peer in everybody(seconds) if not peer.missing)]


def version(name: str) -> str:
    """Version of an installed tool from its ``--version``; "missing" or "unknown" otherwise."""
    path = tool(name)
    if not path:
        return "missing"
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return number[0] if number else "unknown"
