"""A loader's command in; its sched_ext scheduler running, and later gone again, out.

One scheduler runs at a time. The kernel refuses a second one with EBUSY, so each change passes through EEVDF, and the
end of a loader's process is the end of its scheduler.
"""

import contextlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from schedtel.errors import CapabilityError, CollectorError, UsageError
from schedtel.host.parent import die_with
from schedtel.host.sched_ext import ENABLED, SYSFS, Sub, read_state
from schedtel.schedulers import threads
from schedtel.schedulers.changes import Change
from schedtel.schedulers.in_kernel import InKernel, busy, not_built_in
from schedtel.schedulers.object_loader import ATTACH, LOADED
from schedtel.suggestions import did_you_mean

#: Where objects are that schedtel attaches with a loader of its own: those of the lab, in its guests.
OBJECTS = Path("/usr/lib/sched_ext")
_SUFFIX = ".bpf.o"
#: After this, a task that waits has its scheduler ejected. The kernel looks at each half of it (scx_watchdog_workfn(),
#: kernel/sched/ext.c), so the stall lasts half of it longer at most. Its own limit is 30 s.
STALL_TIMEOUT_MS = 5000
#: include/uapi/linux/capability.h.
_CAP_SYS_ADMIN, _CAP_BPF = 21, 39
#: A loader that does not end by SIGTERM within this is killed; the kernel then detaches its scheduler.
_GENTLE_S = 2.0
_MOST_TOLD, _MOST_READ = 200, 4096


@dataclass(frozen=True)
class Loader:
    """The command that attaches a scheduler and stays, and the name under which the kernel then shows it.

    The kernel's name may go on behind an underscore, as in ``bpfland_1.1.2``.

    :param waits: that it loads its object first, says so on standard output, and attaches it when it is told to on
        standard input, as :mod:`schedtel.schedulers.object_loader` does. So another scheduler runs until then.
    :param sub: the scheduler that it also attaches, below the first one, for one cgroup.
    """

    command: tuple[str, ...]
    ops: str
    waits: bool = False
    sub: Sub | None = None


def find_loader(name: str, loaders: Mapping[str, Loader], stall_timeout_ms: int = STALL_TIMEOUT_MS) -> Loader:
    """The loader of a scheduler: the caller's own of this name, else schedtel's for ``NAME.bpf.o``, else ``scx_NAME``.

    :param stall_timeout_ms: ``ops.timeout_ms`` of an object that schedtel's own loader attaches.

    Raises :class:`UsageError` if there is none.
    """
    path = OBJECTS / f"{name}{_SUFFIX}"
    own = own_loader(name, path, stall_timeout_ms) if path.is_file() else Loader((f"scx_{name}",), name)
    loader = loaders.get(name) or own
    if shutil.which(loader.command[0]) is None:
        known = [*loaders, *installed()]
        hint = did_you_mean(name, known) if known else "none is installed"
        raise UsageError(f"cannot use scx:{name}: no program {loader.command[0]} is on the path ({hint})")
    return loader


def own_loader(name: str, path: Path, stall_timeout_ms: int) -> Loader:
    """schedtel's own loader of an object."""
    module = ("-P", "-m", "schedtel.schedulers.object_loader")
    return Loader(
        (sys.executable, *module, "--wait", "--timeout-ms", str(stall_timeout_ms), str(path)), name, waits=True
    )


def installed() -> list[str]:
    """Names of the schedulers that can be attached: by an object, or by their program ``scx_NAME`` on the path."""
    places = [Path(place) for place in os.environ.get("PATH", "").split(os.pathsep) if place]
    programs = {path.name.removeprefix("scx_") for place in places for path in place.glob("scx_*")}
    found = {name for name in programs if shutil.which(f"scx_{name}") and name != "loader"}
    return sorted(found | {path.name.removesuffix(_SUFFIX) for path in OBJECTS.glob(f"*{_SUFFIX}")})


def check(sysfs: Path = SYSFS) -> None:
    """Refuse what would not work: a kernel without sched_ext, and a user who may not load BPF programs.

    Raises :class:`CapabilityError`.
    """
    if read_state(sysfs) is None:
        raise not_built_in()
    if not _may_load_bpf():
        raise CapabilityError("cannot attach a sched_ext scheduler: this user may not load BPF programs (run as root)")


def require_none(sysfs: Path = SYSFS) -> None:
    """Raise :class:`CapabilityError` if another program has attached a scheduler, so that EEVDF is not in effect."""
    now = read_state(sysfs)
    if now is not None and now.state == ENABLED:
        raise busy("cannot switch to eevdf", now)


def _may_load_bpf() -> bool:
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    return any(effective >> capability & 1 for capability in (_CAP_SYS_ADMIN, _CAP_BPF))


class Attached:
    """A scheduler of a child process: prepared by the constructor, running from :meth:`attach` to :meth:`detach`.

    A loader that waits is started and has loaded its object when the constructor returns. The child gets SIGKILL when
    the thread that started it ends, and the kernel then goes back to EEVDF.

    :param timeout_s: for loading, and again for all of the attach: the end of a scheduler before it included.

    Raises :class:`CollectorError` if the loader fails, or is not done in time; then the child has ended.
    """

    def __init__(self, loader: Loader, sysfs: Path = SYSFS, timeout_s: float = 20.0) -> None:
        self._loader, self._timeout_s = loader, timeout_s
        self._kernel = InKernel(loader.ops, sysfs, loader.sub)
        self._told = tempfile.TemporaryFile()  # noqa: SIM115  (the loader writes to it until it is detached)
        self._process: subprocess.Popen[bytes] | None = None
        if loader.waits:
            with self._ended_by_an_error():
                self._process = self._start()
                self._await_loaded()

    def attach(self, note: Callable[[Change], object] = lambda _: None) -> None:
        """Attach the scheduler.

        :param note: called with the child as a change, which is undone by ending it.

        Raises :class:`CapabilityError` if another scheduler is attached (EBUSY), and :class:`CollectorError` if the
        loader fails, or is not done in time; then the child has ended.
        """
        end = time.monotonic() + self._timeout_s
        with self._ended_by_an_error():
            self._kernel.await_free(end)
            process = self._process = self._process or self._start()
            note(_change(process.pid))
            if process.stdin:
                with contextlib.suppress(BrokenPipeError):  # it has ended, which is told below
                    os.write(process.stdin.fileno(), ATTACH)
            if not self._kernel.await_enabled(end, lambda: process.poll() is not None):
                raise CollectorError(f"cannot attach {self._loader.ops}: {self._failure('was not enabled')}")

    @property
    def pids(self) -> frozenset[int]:
        """The child, if it was started."""
        return frozenset({self._process.pid} if self._process else ())

    def problem(self) -> str | None:
        """Why the scheduler no longer schedules, if it does not: an ejection, the end of its loader, another's attach.

        None while all is well. The kernel is asked, and the process. What the kernel gives as the reason is said, or
        else the loader's last line.
        """
        found = self._kernel.problem()
        if found is None and self._process and self._process.poll() is not None:
            found = f"the loader of {self._loader.ops} has ended"
        return f"{found} ({self._kernel.reason() or self._last_words()})" if found else None

    def detach(self, timeout_s: float = 20.0) -> None:
        """End the child and wait until the kernel is back to its own scheduler.

        Raises :class:`CollectorError` if that takes too long.
        """
        end = time.monotonic() + timeout_s
        if self._process:
            _end(self._process, min(_GENTLE_S, timeout_s))
        self._told.close()
        self._kernel.close()
        self._kernel.await_gone(end)

    @contextlib.contextmanager
    def _ended_by_an_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.detach()
            raise

    def _start(self) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE if self._loader.waits else subprocess.DEVNULL
        try:
            return subprocess.Popen(
                self._loader.command,
                stdin=pipe,
                stdout=pipe,
                stderr=self._told,
                start_new_session=True,  # Ctrl-C is for this process, which then detaches in order
                preexec_fn=partial(die_with, os.getpid()),  # noqa: PLW1509  (calls one function, loaded before)
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise CollectorError(f"cannot start {self._loader.command[0]}: {error} (check the program)") from error

    def _await_loaded(self) -> None:
        assert self._process
        assert self._process.stdout
        poll = select.poll()
        poll.register(self._process.stdout, select.POLLIN)
        told = os.read(self._process.stdout.fileno(), 1) if poll.poll(self._timeout_s * 1000) else None
        if told != LOADED:
            if told == b"":  # it has closed its output, and ends
                self._process.wait(self._timeout_s)
            raise CollectorError(f"cannot load {self._loader.ops}: {self._failure('was not loaded')}")

    def _failure(self, otherwise: str) -> str:
        if self._kernel.is_over():
            return f"the kernel has disabled it at once ({self._kernel.reason() or self._last_words()})"
        status = self._process.poll() if self._process else None
        cause = f"it {otherwise} in time" if status is None else f"its loader ended with status {status}"
        return f"{cause} ({self._last_words()})"

    def _last_words(self) -> str:
        """The last line that the loader wrote to stderr."""
        if self._told.closed:
            return "see `dmesg`"
        # Not by seek(): the loader writes at the same offset.
        told = os.pread(self._told.fileno(), _MOST_READ, max(0, os.fstat(self._told.fileno()).st_size - _MOST_READ))
        lines = told.decode(errors="backslashreplace").strip().splitlines()
        return lines[-1][:_MOST_TOLD] if lines else "see `dmesg`"


def _change(pid: int) -> Change:
    found = threads.read_thread(pid, pid)
    start = found.start if found else 0
    return Change("loader", (pid, pid, start), "ended", "running", start)


def _end(process: subprocess.Popen[bytes], gentle_s: float) -> None:
    for pipe in (process.stdin, process.stdout):  # one that waits to be told ends by that
        if pipe:
            pipe.close()
    process.terminate()
    try:
        process.wait(gentle_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
