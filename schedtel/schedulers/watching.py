"""What the kernel says of sched_ext, again and again, in; each change of it, with its times and its reason, out."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from schedtel.closing import Closing
from schedtel.host.kernel_log import KernelLog
from schedtel.host.sched_ext import DISABLED, DISABLING, ENABLED, SYSFS, State, read_state
from schedtel.schedulers.in_kernel import exit_reasons, not_built_in
from schedtel.schedulers.sub_schedulers import by_cgroup


@dataclass(frozen=True)
class Seen:
    """What the kernel ran from a moment on.

    :param monotonic_ns: when that was seen, by CLOCK_MONOTONIC; the change was at most the pause between looks before.
    :param time_ns: the same by the wall clock.
    :param scheduler: ``eevdf``, or the name of a sched_ext scheduler; None while the kernel has not named it yet.
    :param cgroups: path of a cgroup that has a sched_ext scheduler of its own → its name.
    :param state: of sched_ext.
    :param enable_seq: how many sched_ext schedulers were attached since boot.
    :param eevdf_ns: of a scheduler that was enabled after another: how long none was in between; else None.
    :param unseen: how many came and went since the last look, so that nobody saw them.
    :param reason: why the kernel disabled a scheduler, in its words; None where it did not, or its log cannot be read.
    """

    monotonic_ns: int
    time_ns: int
    scheduler: str | None
    cgroups: dict[str, str]
    state: str
    enable_seq: int
    eevdf_ns: int | None
    unseen: int
    reason: str | None


class Watch(Closing):
    """Looks at what the kernel runs: the first look yields what it is, each later one what has changed. A context.

    Raises :class:`CapabilityError` on a kernel without sched_ext.
    """

    def __init__(self, sysfs: Path = SYSFS) -> None:
        if read_state(sysfs) is None:
            raise not_built_in()
        self._sysfs, self._log = sysfs, KernelLog()
        self._last: State | None = None
        #: Since when no scheduler was enabled, after one that was.
        self._eevdf_since_ns: int | None = None

    def look(self) -> Iterator[Seen]:
        """Yields the change since the last look, if there is one."""
        now, last = read_state(self._sysfs) or State(DISABLED, None, 0), self._last
        moment_ns, time_ns = time.monotonic_ns(), time.time_ns()
        if now == last or (now.state == ENABLED and now.ops is None) or (last and _is_not_counted(now, last)):
            return  # one that is enabled without a name has gone between two files
        self._last = now
        if now.state == ENABLED:
            eevdf_ns = None if self._eevdf_since_ns is None else moment_ns - self._eevdf_since_ns
            self._eevdf_since_ns = None
        else:
            eevdf_ns = None
            if last is not None and last.state == ENABLED:
                self._eevdf_since_ns = moment_ns
        yield Seen(
            monotonic_ns=moment_ns,
            time_ns=time_ns,
            scheduler="eevdf" if now.state == DISABLED else now.name,
            cgroups=by_cgroup(now),
            state=now.state,
            enable_seq=now.enable_seq,
            eevdf_ns=eevdf_ns,
            unseen=_unseen(now, last) if last else 0,
            reason=self._reason() if now.state != DISABLING else None,  # the kernel logs it before it is disabled
        )

    def close(self) -> None:
        """Read the kernel's log no more."""
        self._log.close()

    def _reason(self) -> str | None:
        found = exit_reasons(self._log.lines())
        return "; ".join(f"{ops}: {reason}" for ops, reason in found) or None


def _is_not_counted(now: State, last: State) -> bool:
    """The kernel counts an attach a moment after it is complete. Until then there is no change to tell."""
    is_another = last.state != ENABLED or now.ops != last.ops
    return now.state == ENABLED and is_another and now.enable_seq == last.enable_seq


def _unseen(now: State, last: State) -> int:
    """How many schedulers were attached since the last look, and are gone."""
    attached = now.enable_seq - last.enable_seq
    return max(0, attached - (now.state in (ENABLED, DISABLING)))
