"""A user's choice of backend in; a backend that works, and why it is not core, out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from schedtel.errors import CapabilityError, UsageError
from schedtel.host.namespaces import require_machine_clocks
from schedtel.kernel.core import programs
from schedtel.kernel.filters import Filter
from schedtel.kernel.privileges import missing_capabilities
from schedtel.kernel.settings import Tracing, require_tasks

if TYPE_CHECKING:
    from schedtel.kernel.backend import Backend

BACKENDS = ("auto", "core", "bcc")


def open_backend(
    task_filter: Filter, tracing: Tracing, while_verifying: Callable[[], object] = lambda: None
) -> tuple[Backend, str]:
    """The backend that the user asks for; with ``auto``, core if it works on this machine, else bcc.

    Returns it and why ``auto`` fell back to bcc, or ``""``. ``while_verifying`` is called before core waits for the
    kernel's verifier, once or more often.

    Raises :class:`UsageError` for a wrong value, and :class:`CapabilityError` if the backend does not work; with
    ``auto``, if neither does, for both reasons.
    """
    if tracing.backend not in BACKENDS:
        raise UsageError(f"cannot use backend {tracing.backend!r}: it is {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}")
    if tracing.counters:
        return _counting(task_filter, tracing, while_verifying), ""
    require_machine_clocks()
    if tracing.backend == "bcc":
        return _bcc(task_filter, tracing), ""
    try:
        return _core(programs.load(task_filter, tracing.ring_bytes, tracing.preemptions, while_verifying)), ""
    except CapabilityError as error:
        # Without privileges neither backend works, and the error of core says what to do.
        if tracing.backend == "core" or missing_capabilities():
            raise
        return _instead_of_core(str(error), task_filter, tracing)


def _counting(task_filter: Filter, tracing: Tracing, while_verifying: Callable[[], object]) -> Backend:
    """Core, counting perf events. bcc knows the start of a task otherwise, and is for kernels that cannot count."""
    from schedtel.kernel.counters.events import parse_events  # noqa: PLC0415  (nothing of it without counters)

    events = parse_events(tracing.counters)
    require_tasks(tracing.max_tasks)
    if tracing.backend == "bcc":
        raise UsageError("cannot count events with backend bcc (use --backend core, or drop --counter)")
    require_machine_clocks()
    try:
        backend = _core(programs.load(task_filter, tracing.ring_bytes, tracing.preemptions, while_verifying))
    except CapabilityError as error:
        raise CapabilityError(f"cannot count events, which needs backend core: {error}") from error
    try:
        backend.count(events, tracing.max_tasks)
    except BaseException:
        backend.close()
        raise
    return backend


def _core(loaded: programs.Programs) -> Backend:
    from schedtel.kernel.core.backend import CoreBackend  # noqa: PLC0415  (numpy is not needed before)

    return CoreBackend(loaded)


def _bcc(task_filter: Filter, tracing: Tracing) -> Backend:
    from schedtel.kernel.bcc.backend import BccBackend  # noqa: PLC0415  (imports modules that core does without)

    return BccBackend(task_filter, tracing.max_tasks, tracing.preemptions)


def _instead_of_core(reason: str, task_filter: Filter, tracing: Tracing) -> tuple[Backend, str]:
    try:
        return _bcc(task_filter, tracing), reason
    except CapabilityError as error:
        raise CapabilityError(f"cannot load by either backend: core: {reason}; bcc: {error}") from error
