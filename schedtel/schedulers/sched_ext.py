"""A loader's command in; its sched_ext scheduler running, and later gone again, out.

Both are read from the kernel: ``state``, ``root/ops`` and ``enable_seq`` of /sys/kernel/sched_ext (kernel/sched/ext.c).
One scheduler runs at a time. The kernel refuses a second one with EBUSY, so each change passes through EEVDF, and the
end of a loader's process is the end of its scheduler.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from schedtel.errors import CapabilityError, CollectorError, UsageError
from schedtel.host.parent import die_with
from schedtel.host.sched_ext import DISABLED, ENABLED, SYSFS, State, read_state
from schedtel.schedulers import threads
from schedtel.schedulers.changes import Change
from schedtel.suggestions import did_you_mean

#: include/uapi/linux/capability.h.
_CAP_SYS_ADMIN, _CAP_BPF = 21, 39
_POLL_S = 0.01
#: A loader that does not end by SIGTERM within this is killed; the kernel then detaches its scheduler.
_GENTLE_S = 2.0
_MOST_TOLD, _MOST_READ = 200, 4096


@dataclass(frozen=True)
class Loader:
    """The command that attaches a scheduler and stays, and the name under which the kernel then shows it.

    The kernel's name may go on behind an underscore, as in ``bpfland_1.1.2``.
    """

    command: tuple[str, ...]
    ops: str

    def is_shown_as(self, ops: str | None) -> bool:
        return ops is not None and (ops == self.ops or ops.startswith(f"{self.ops}_"))


def find_loader(name: str, loaders: Mapping[str, Loader]) -> Loader:
    """The loader of a scheduler: the caller's own of this name, else the program ``scx_NAME`` on the path.

    Raises :class:`UsageError` if there is neither.
    """
    loader = loaders.get(name) or Loader((f"scx_{name}",), name)
    if shutil.which(loader.command[0]) is None:
        known = [*loaders, *installed()]
        hint = did_you_mean(name, known) if known else "none is installed"
        raise UsageError(f"cannot use scx:{name}: no program {loader.command[0]} is on the path ({hint})")
    return loader


def installed() -> list[str]:
    """Names of the schedulers whose loaders, ``scx_NAME``, are on the path."""
    places = [Path(place) for place in os.environ.get("PATH", "").split(os.pathsep) if place]
    found = {path.name.removeprefix("scx_") for place in places for path in place.glob("scx_*")}
    return sorted(name for name in found if shutil.which(f"scx_{name}") and name != "loader")


def check(sysfs: Path = SYSFS) -> None:
    """Refuse what would not work: a kernel without sched_ext, and a user who may not load BPF programs.

    Raises :class:`CapabilityError`.
    """
    if read_state(sysfs) is None:
        raise _not_built_in()
    if not _may_load_bpf():
        raise CapabilityError("cannot attach a sched_ext scheduler: this user may not load BPF programs (run as root)")


def require_none(sysfs: Path = SYSFS) -> None:
    """Raise :class:`CapabilityError` if another program has attached a scheduler, so that EEVDF is not in effect."""
    now = read_state(sysfs)
    if now is not None and now.state == ENABLED:
        raise busy("cannot switch to eevdf", now)


def busy(what: str, now: State) -> CapabilityError:
    """The error for a scheduler of another program that is in the way."""
    return CapabilityError(
        f"{what}: {now.ops or 'another scheduler'} is attached, and the kernel runs one at a time: EBUSY "
        "(stop it, or the service that runs it)"
    )


def _may_load_bpf() -> bool:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    return any(effective >> capability & 1 for capability in (_CAP_SYS_ADMIN, _CAP_BPF))


class Attached:
    """A scheduler that runs in a child process, from the constructor's return to :meth:`detach`.

    The child gets SIGKILL when the thread that made this object ends, and the kernel then goes back to EEVDF.

    :param timeout_s: for all of the attach: the end of a scheduler before it included.

    Raises :class:`CapabilityError` if another scheduler is attached (EBUSY), and :class:`CollectorError` if the loader
    fails, or is not done in time; then the child has ended.
    """

    def __init__(self, loader: Loader, sysfs: Path = SYSFS, timeout_s: float = 20.0) -> None:
        self._loader, self._sysfs = loader, sysfs
        end = time.monotonic() + timeout_s
        before = self._free_state(end)
        self._told = tempfile.TemporaryFile()  # noqa: SIM115  (the loader writes to it until it is detached)
        self._process = self._start()
        try:
            self._await_enabled(before.enable_seq, end)
        except BaseException:
            self.detach()
            raise

    @property
    def pid(self) -> int:
        return self._process.pid

    def change(self) -> Change:
        """The child as a change of a journal, which is undone by ending it."""
        found = threads.read_thread(self.pid, self.pid)
        start = found.start if found else 0
        return Change("loader", (self.pid, self.pid, start), "ended", "running", start)

    def problem(self) -> str | None:
        """Why the scheduler no longer schedules, if it does not: an ejection, the end of its loader, another's attach.

        None while all is well. The kernel is asked, and the process.
        """
        now = read_state(self._sysfs)
        if now is None or now.state != ENABLED:
            return f"{self._loader.ops} was ejected: the kernel is back to EEVDF ({self._last_words()})"
        if not self._loader.is_shown_as(now.ops) or now.enable_seq != self._enable_seq:
            return f"{now.ops} was attached in the place of {self._loader.ops}"
        if self._process.poll() is not None:
            return f"the loader of {self._loader.ops} has ended ({self._last_words()})"
        return None

    def detach(self, timeout_s: float = 20.0) -> None:
        """End the child and wait until the kernel is back to its own scheduler.

        Raises :class:`CollectorError` if that takes too long.
        """
        end = time.monotonic() + timeout_s
        self._process.terminate()
        try:
            self._process.wait(min(_GENTLE_S, timeout_s))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._told.close()
        if not _wait(lambda: not self._is_ours(), end):
            raise CollectorError(
                f"cannot detach {self._loader.ops}: the kernel still has it after {timeout_s:g} s (see `dmesg`)"
            )

    def _is_ours(self) -> bool:
        now = read_state(self._sysfs)
        return now is not None and now.state != DISABLED and (now.ops is None or self._loader.is_shown_as(now.ops))

    def _free_state(self, end: float) -> State:
        """The state once no scheduler is attached: one that is about to go, which is ``disabling``, is waited for."""
        _wait(lambda: (read_state(self._sysfs) or State(DISABLED, None, 0)).state in (DISABLED, ENABLED), end)
        now = read_state(self._sysfs)
        if now is None:
            raise _not_built_in()
        if now.state != DISABLED:
            raise busy(f"cannot attach {self._loader.ops}", now)
        return now

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self._loader.command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._told,
                start_new_session=True,  # Ctrl-C is for this process, which then detaches in order
                preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509  (calls one function, loaded before)
            )
        except (OSError, subprocess.SubprocessError) as error:
            self._told.close()
            raise CollectorError(f"cannot start {self._loader.command[0]}: {error} (check the program)") from error

    def _await_enabled(self, before: int, end: float) -> None:
        done = _wait(lambda: self._is_enabled(before) or self._process.poll() is not None, end)
        now = read_state(self._sysfs)
        if self._is_enabled(before) and now:
            self._enable_seq = now.enable_seq
            return
        if now and now.state == ENABLED and not self._loader.is_shown_as(now.ops):
            raise busy(f"cannot attach {self._loader.ops}", now)
        cause = f"its loader ended with status {self._process.returncode}" if done else "it was not enabled in time"
        raise CollectorError(f"cannot attach {self._loader.ops}: {cause} ({self._last_words()})")

    def _is_enabled(self, before: int) -> bool:
        now = read_state(self._sysfs)
        return (
            now is not None and now.state == ENABLED and self._loader.is_shown_as(now.ops) and now.enable_seq > before
        )

    def _last_words(self) -> str:
        """The last line that the loader wrote to stderr."""
        if self._told.closed:
            return "see `dmesg`"
        # Not by seek(): the loader writes at the same offset.
        told = os.pread(self._told.fileno(), _MOST_READ, max(0, os.fstat(self._told.fileno()).st_size - _MOST_READ))
        lines = told.decode(errors="backslashreplace").strip().splitlines()
        return lines[-1][:_MOST_TOLD] if lines else "see `dmesg`"


def _not_built_in() -> CapabilityError:
    return CapabilityError(
        "cannot attach a sched_ext scheduler: this kernel is built without CONFIG_SCHED_CLASS_EXT "
        "(use a policy: arm, or a kernel that has it)"
    )


def _wait(condition: Callable[[], bool], end: float) -> bool:
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True
