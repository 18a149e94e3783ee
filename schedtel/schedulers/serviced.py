"""An arm of the kind ``loader:`` in; its scheduler running by the service org.scx.Loader, and what ran before, out."""

import time
from collections.abc import Callable
from pathlib import Path

from schedtel.errors import CollectorError
from schedtel.host.sched_ext import ENABLED, SYSFS, read_state
from schedtel.schedulers import loader_service
from schedtel.schedulers.changes import Change, undo
from schedtel.schedulers.in_kernel import NONE, InKernel, busy, is_shown_as, not_built_in, wait
from schedtel.schedulers.names import Arm
from schedtel.schedulers.threads import boot_ticks

#: For an attach, and for a detach.
PATIENCE_S = 20.0


class Serviced:
    """A scheduler that the service runs from :meth:`attach` to :meth:`detach`.

    What the service ran before comes back with the detach: a scheduler of its configuration, say. Whatever somebody has
    asked it for since is left to them.
    """

    def __init__(self, arm: Arm, sysfs: Path = SYSFS) -> None:
        self._arm, self._sysfs = arm, sysfs
        self._kernel = InKernel(arm.scheduler, sysfs)
        self._change: Change | None = None

    @property
    def pids(self) -> frozenset[int]:
        """No process of this one."""
        return frozenset()

    def attach(self, note: Callable[[Change], object] = lambda _: None) -> None:
        """Have the service run the scheduler, and wait until the kernel shows it.

        :param note: called with the change before it is made.

        Raises :class:`CapabilityError` if another program has attached one (EBUSY), and :class:`CollectorError` if the
        service refuses, or the kernel does not show the scheduler in time; then all is as it was.
        """
        before = self._running()
        since = boot_ticks()
        change = Change("service", (loader_service.NAME,), before, loader_service.text_of(self._arm), since)
        note(change)
        self._change = change
        try:
            loader_service.run(str(change.after))
            self._await_enabled()
        except BaseException:
            self.detach()
            raise

    def problem(self) -> str | None:
        """Why the scheduler no longer schedules, with the kernel's reason, if it does not; None while all is well."""
        found = self._kernel.problem()
        return f"{found} ({self._kernel.reason() or 'see `dmesg`'})" if found else None

    def detach(self) -> None:
        """Have the service run what it ran before, and wait until the kernel no longer has this scheduler.

        Raises :class:`CollectorError` if the service refuses, or that takes too long.
        """
        self._kernel.close()
        if self._change is None:
            return
        if undo([self._change]):
            raise CollectorError(
                f"cannot have {loader_service.NAME} put back what it ran: it does not answer, or refuses "
                "(see `journalctl -u scx_loader`)"
            )
        before, self._change = str(self._change.before), None
        end = time.monotonic() + PATIENCE_S
        self._kernel.await_gone(end)
        ops = loader_service.ops_of(before)
        if ops:  # if it does not come back, that is told by whoever asks the kernel next
            wait(lambda: self._is_back(ops), end)

    def _is_back(self, ops: str) -> bool:
        """Whether the kernel runs what ran before. It shows the name before the scheduler is enabled."""
        now = read_state(self._sysfs) or NONE
        return now.state == ENABLED and is_shown_as(ops, now.ops)

    def _await_enabled(self) -> None:
        if not self._kernel.await_enabled(time.monotonic() + PATIENCE_S):
            why = self._kernel.reason() or "see `journalctl -u scx_loader`"
            raise CollectorError(
                f"cannot attach {self._arm.scheduler}: it was not enabled after {loader_service.NAME} was asked ({why})"
            )

    def _running(self) -> str:
        """What the service runs before: nothing, or the scheduler that the kernel has."""
        now = read_state(self._sysfs)
        if now is None:
            raise not_built_in()
        before = loader_service.read_running() or loader_service.text_of(None)
        if now.state == ENABLED:
            ops = loader_service.ops_of(before)
            if ops is None or not is_shown_as(ops, now.ops):
                raise busy(f"cannot attach {self._arm.scheduler}", now)
            self._kernel.expect(now)
            return before
        self._kernel.await_free(time.monotonic() + PATIENCE_S)
        return loader_service.text_of(None)  # what it says to run is gone: its scheduler was ejected
