"""Which backend: a user's choice in; a backend that works, and why it is this one, out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from schedtel.errors import CapabilityError, UsageError
from schedtel.kernel.core import programs
from schedtel.kernel.filters import Filter
from schedtel.kernel.privileges import missing_capabilities
from schedtel.kernel.settings import DEFAULT_MAX_TASKS, DEFAULT_PREEMPTIONS, DEFAULT_RING_BYTES

if TYPE_CHECKING:
    from schedtel.kernel.backend import Backend

BACKENDS = ("auto", "core", "bcc")


def open_backend(
    backend: str,
    task_filter: Filter,
    ring_bytes: int = DEFAULT_RING_BYTES,
    max_tasks: int = DEFAULT_MAX_TASKS,
    preemptions: str = DEFAULT_PREEMPTIONS,
    while_verifying: Callable[[], object] = lambda: None,
) -> tuple[Backend, str]:
    """The backend asked for; with ``auto``, core if it works here, else bcc. With it, why it is not core, or nothing.

    ``while_verifying`` is called before core waits for the kernel, once or more often: what may go on meanwhile.

    Raises :class:`CapabilityError` where none works: of ``auto``, with both reasons.
    """
    if backend not in BACKENDS:
        raise UsageError(f"cannot use backend {backend!r}: it is {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}")
    if backend == "bcc":
        return _bcc(task_filter, max_tasks, preemptions), ""
    try:
        return _core(programs.load(task_filter, ring_bytes, preemptions, while_verifying)), ""
    except CapabilityError as error:
        # Without privileges, neither works, and there is one thing to do.
        if backend == "core" or missing_capabilities():
            raise
        return _instead_of_core(str(error), task_filter, max_tasks, preemptions)


def _core(loaded: programs.Programs) -> Backend:
    from schedtel.kernel.core.backend import CoreBackend  # noqa: PLC0415  (it needs numpy, and loading the programs does not)

    return CoreBackend(loaded)


def _bcc(task_filter: Filter, max_tasks: int, preemptions: str) -> Backend:
    from schedtel.kernel.bcc.backend import BccBackend  # noqa: PLC0415  (core need not wait for what only bcc needs)

    return BccBackend(task_filter, max_tasks, preemptions)


def _instead_of_core(reason: str, task_filter: Filter, max_tasks: int, preemptions: str) -> tuple[Backend, str]:
    try:
        return _bcc(task_filter, max_tasks, preemptions), reason
    except CapabilityError as error:
        raise CapabilityError(f"cannot load by either backend: core: {reason}; bcc: {error}") from error
