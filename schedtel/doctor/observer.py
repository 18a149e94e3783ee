"""Another observer of the scheduler, ftrace: switches as it sees them in; the gaps between them, and whether the
windows count those, out.

The kernel withholds an event from all tracers of its tracepoint alike. So where ftrace sees a task leave a CPU that it
has not seen come in, schedtel has missed a switch as well, and the window must count a loss.
"""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from schedtel.errors import CapabilityError
from schedtel.kernel.bcc.tracepoints import tracefs
from schedtel.windows.invariants import Finding
from schedtel.windows.window import Window

_LAW = "7 losses are in their windows"
_BUFFER_KB = 8192
#: How often the guard tries to remove the instance, and how long it waits in between.
_ATTEMPTS, _PAUSE_S = 100, 0.1
#: ftrace prints microseconds.
_RESOLUTION_NS = 1_000
_SWITCH = re.compile(
    r"\[(\d+)\][^:]* (\d+)\.(\d{6}): sched_switch: prev_comm=.* prev_pid=(\d+) prev_prio=.* next_pid=(\d+) next_prio="
)


@dataclass(frozen=True)
class Gap:
    """A switch on one CPU that was not delivered: at some time in between, in ns of CLOCK_MONOTONIC."""

    after_ns: int
    before_ns: int


@dataclass
class Observation:
    """What ftrace saw; ``unavailable`` says why it could not look, and is empty if it did."""

    gaps: list[Gap] = field(default_factory=list)
    switches: int = 0
    unavailable: str = ""


@contextmanager
def observed_switches() -> Iterator[Observation]:
    """Have ftrace look at all switches during the body; the observation is complete after it."""
    observation = Observation()
    with ExitStack() as stack:
        try:
            instance = tracefs() / "instances" / f"schedtel-doctor-{os.getpid()}"
            stack.enter_context(_ended_by_guard(instance))
            _begin(instance)
        except (CapabilityError, OSError) as error:
            observation.unavailable = str(error)
        yield observation
        if not observation.unavailable:
            _finish(instance, observation)


@contextmanager
def _ended_by_guard(instance: Path) -> Iterator[None]:
    """Have a child process end the instance when the context ends, or this process, by whatever signal."""
    guard_end, our_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        _guard(instance, guard_end)
    os.close(guard_end)
    try:
        yield
    finally:
        os.close(our_end)
        os.waitpid(pid, 0)


def _guard(instance: Path, guard_end: int) -> None:
    """Wait until no process has the pipe's other end any more (the load inherits it)."""
    try:
        os.setsid()  # a signal to the terminal's process group is not for the guard
        os.closerange(0, guard_end)  # a reader of the doctor's output must not wait for the guard
        os.closerange(guard_end + 1, os.sysconf("SC_OPEN_MAX"))
        os.read(guard_end, 1)
        for _ in range(_ATTEMPTS):  # a call that was under way when the doctor was killed may still use it
            _end(instance)
            if not instance.exists():
                break
            time.sleep(_PAUSE_S)
    finally:
        os._exit(0)


def _begin(instance: Path) -> None:
    instance.mkdir()
    settings = {"trace_clock": "mono", "buffer_size_kb": str(_BUFFER_KB), "events/sched/sched_switch/enable": "1"}
    for name, value in settings.items():
        (instance / name).write_text(value)


def _end(instance: Path) -> None:
    with suppress(OSError):
        (instance / "events/sched/sched_switch/enable").write_text("0")
    with suppress(OSError):
        instance.rmdir()


def _finish(instance: Path, observation: Observation) -> None:
    (instance / "tracing_on").write_text("0")
    stats = "".join(path.read_text() for path in instance.glob("per_cpu/cpu*/stats"))
    if re.search(r"overrun: [1-9]", stats):
        observation.unavailable = "ftrace's buffer was too small for the switches of this time"
        return
    with open(instance / "trace", encoding="utf-8", errors="replace") as lines:
        observe(lines, observation)


def observe(lines: Iterator[str], observation: Observation) -> None:
    """Find the gaps in the text of ftrace, but for those around the idle task.

    The idle task has no row to be wrong. And some kernels show ftrace no switch from it, which BPF programs do see.
    """
    latest: dict[str, tuple[int, str]] = {}
    for found in filter(None, map(_SWITCH.search, lines)):
        cpu, seconds, fraction, came, comes = found.groups()
        now = int(seconds) * 1_000_000_000 + int(fraction) * 1_000
        before, running = latest.get(cpu, (now, came))
        if came != running and "0" not in (came, running):
            observation.gaps.append(Gap(before, now))
        latest[cpu] = now, comes
        observation.switches += 1


def judge_losses(windows: Sequence[Window], observation: Observation) -> Finding:
    """Whether each gap that ftrace saw is in a window that counts a loss; gaps outside of all windows do not count."""
    if observation.unavailable:
        return Finding(_LAW, True, f"not checked: {observation.unavailable}")
    unmarked = [gap for gap in observation.gaps if not _is_counted(gap, windows)]
    seen = f"ftrace saw {observation.switches} switches and {len(observation.gaps)} gaps between them"
    figure = f"{seen}, {len(unmarked)} in windows without a loss"
    return Finding(_LAW, not unmarked, figure)


def _is_counted(gap: Gap, windows: Sequence[Window]) -> bool:
    around = [
        window
        for window in windows
        if window.start_ns <= gap.before_ns + _RESOLUTION_NS and gap.after_ns - _RESOLUTION_NS < window.end_ns
    ]
    inside = windows and windows[0].start_ns <= gap.after_ns and gap.before_ns < windows[-1].end_ns
    return not inside or any(window.losses["programs_skipped"] for window in around)
