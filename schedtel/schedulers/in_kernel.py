"""The name of a sched_ext scheduler in; whether the kernel has it, and why it no longer does, out.

All of it is read from the kernel: ``state``, ``root/ops`` and ``enable_seq`` of /sys/kernel/sched_ext, and the reason
that the kernel logs when it disables a scheduler (kernel/sched/ext.c).
"""

import re
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from schedtel.errors import CapabilityError, CollectorError
from schedtel.host.kernel_log import KernelLog
from schedtel.host.sched_ext import DISABLED, DISABLING, ENABLED, SYSFS, State, Sub, read_state

#: What a kernel without sched_ext is like.
NONE = State(DISABLED, None, 0)
#: A swap takes tens of milliseconds, and its parts are measured: a coarser look would be what is measured.
_POLL_S = 0.002
#: The kernel logs the reason on its way from ``disabling`` to ``disabled``.
_LOGGED_S = 1.0
_DISABLED = re.compile(r'sched_ext: BPF (?:sub-)?scheduler "(.*)" disabled \((.*)\)')
#: How the reason begins where somebody has ended it, and nothing has failed (scx_exit_reason(), kernel/sched/ext.c).
_ASKED_TO_GO = "unregistered"


def is_shown_as(ops: str, shown: str | None) -> bool:
    """Whether the kernel's name is that of a scheduler. It may go on behind an underscore, as in ``bpfland_1.1.2``."""
    return shown is not None and (shown == ops or shown.startswith(f"{ops}_"))


class InKernel:
    """A scheduler that is about to be attached, and what the kernel then says of it.

    :param ops: its name in the kernel.
    :param sub: the scheduler of one cgroup that has to be below it.
    """

    def __init__(self, ops: str, sysfs: Path = SYSFS, sub: Sub | None = None) -> None:
        self.ops, self._sysfs, self._sub = ops, sysfs, sub
        self._log = KernelLog()
        self._reason: str | None = None
        #: ``enable_seq`` when the kernel was free for it, and that of its attach, once it was seen to be enabled.
        self._before: int | None = None
        self._enable_seq: int | None = None

    def await_free(self, end: float) -> None:
        """Wait for a scheduler that is about to go, which is ``disabling``: the kernel then is free for this one.

        :param end: by ``time.monotonic()``.

        Raises :class:`CapabilityError` if another scheduler is attached.
        """
        wait(lambda: (self._read() or NONE).state in (DISABLED, ENABLED), end)
        now = self._read()
        if now is None:
            raise not_built_in()
        if now.state != DISABLED:
            raise busy(f"cannot attach {self.ops}", now)
        self.expect(now)

    def expect(self, now: State) -> None:
        """Take what the kernel says as what it is before the attach, and what it has logged as of others."""
        self._before, self._enable_seq = now.enable_seq, None
        self._log.lines()

    def await_enabled(self, end: float, has_failed: Callable[[], bool] = lambda: False) -> bool:
        """Wait until the kernel has it, or is known not to get it. Returns whether the kernel has it.

        Raises :class:`CapabilityError` if another one is there: it was quicker, or has another name than it should.
        """
        wait(lambda: self._is_enabled() or self.is_over() or has_failed(), end)
        now = self._read()
        if now and self._is_enabled():
            self._enable_seq = now.enable_seq
            return True
        if now and now.state == ENABLED and not is_shown_as(self.ops, now.ops):
            raise busy(f"cannot attach {self.ops}", now)
        return False

    def is_over(self) -> bool:
        """Whether something was attached since, and it is another one, or has gone already.

        One that fails while it is being attached was not counted, and its loader is told of success: only the log has
        its failure (err_disable of scx_enable(), kernel/sched/ext.c). The count rises after the state is ``enabled``:
        with a newer count, a later ``disabled`` is one that came and went.
        """
        if self._before is None:
            return False
        is_newer = self._is_newer((self._read() or NONE).enable_seq)
        now = self._read() or NONE
        if now.state == DISABLED:
            return is_newer or self._has_failed()
        if self._sub and now.state == ENABLED and self._sub not in now.subs and self._has_failed():
            return True
        return is_newer and now.state == ENABLED and now.ops is not None and not is_shown_as(self.ops, now.ops)

    def await_gone(self, end: float) -> None:
        """Wait until the kernel no longer has it. Raises :class:`CollectorError` if that takes too long."""
        if not wait(lambda: not self._is_there(), end):
            raise CollectorError(f"cannot detach {self.ops}: the kernel still has it (see `dmesg`)")

    def problem(self) -> str | None:
        """Why it no longer schedules, if it does not: an ejection, or another's attach. None while all is well."""
        now = self._read()
        if now is None or now.state != ENABLED:
            return f"{self.ops} was ejected: the kernel is back to EEVDF"
        if not is_shown_as(self.ops, now.ops) or now.enable_seq != self._enable_seq:
            return f"{now.ops} was attached in the place of {self.ops}"
        if self._sub and self._sub not in now.subs:
            return f"{self._sub.ops} was ejected: its cgroup is back to {self.ops}"
        return None

    def reason(self) -> str | None:
        """Why the kernel disabled it, in the kernel's words; None where it has not, or its log cannot be read."""
        wait(lambda: (self._read() or NONE).state != DISABLING, time.monotonic() + _LOGGED_S)
        for ops, reason in exit_reasons(self._log.lines()):
            if is_shown_as(self.ops, ops) or (self._sub and self._sub.ops == ops):
                self._reason = reason
        return self._reason

    def close(self) -> None:
        """Read the log no more."""
        self._log.close()

    def _read(self) -> State | None:
        return read_state(self._sysfs)

    def _is_enabled(self) -> bool:
        now = self._read() or NONE
        is_whole = self._sub is None or self._sub in now.subs
        return now.state == ENABLED and is_whole and is_shown_as(self.ops, now.ops) and self._is_newer(now.enable_seq)

    def _has_failed(self) -> bool:
        """Whether the kernel logged a reason for its end, and that is not that somebody has ended it."""
        return not (self.reason() or _ASKED_TO_GO).startswith(_ASKED_TO_GO)

    def _is_newer(self, enable_seq: int) -> bool:
        return enable_seq > (self._before or 0)

    def _is_there(self) -> bool:
        """Whether it is in the kernel, or may be about to. One of the same name that was there before is another."""
        now = self._read()
        if self._before is None or now is None or now.state == DISABLED:
            return False
        is_another = now.ops is not None and not is_shown_as(self.ops, now.ops)
        return not is_another and self._enable_seq in (None, now.enable_seq)


def exit_reasons(lines: Iterable[str]) -> list[tuple[str, str]]:
    """The schedulers that the kernel has disabled, by lines of its log, and why: the kind, and what it said besides."""
    found: list[tuple[str, str]] = []
    for line in lines:
        match = _DISABLED.fullmatch(line)
        if match:
            found.append((match[1], match[2]))
        elif found and line.startswith(f"sched_ext: {found[-1][0]}: "):
            ops, kind = found[-1]
            found[-1] = ops, f"{kind}: {line.removeprefix(f'sched_ext: {ops}: ')}"
    return found


def busy(what: str, now: State) -> CapabilityError:
    """The error for a scheduler of another program that is in the way."""
    return CapabilityError(
        f"{what}: {now.ops or 'another scheduler'} is attached, and the kernel runs one at a time: EBUSY "
        "(stop it, or the service that runs it)"
    )


def not_built_in() -> CapabilityError:
    """The error for a kernel that has no sched_ext."""
    return CapabilityError(
        "cannot attach a sched_ext scheduler: this kernel is built without CONFIG_SCHED_CLASS_EXT "
        "(use a policy: arm, or a kernel that has it)"
    )


def wait(condition: Callable[[], bool], end: float) -> bool:
    """Wait until a condition holds; returns whether it did before the end, which is by ``time.monotonic()``."""
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_S)
    return True
