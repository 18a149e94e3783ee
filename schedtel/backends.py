"""Which loader: a user's choice in; a loader that works, and why it is this one, out."""

from schedtel.core import DEFAULT_RING_BYTES, CoreLoader
from schedtel.errors import CapabilityError, UsageError
from schedtel.filters import Filter
from schedtel.loader import DEFAULT_PREEMPTIONS, Loader, missing_capabilities
from schedtel.slots import DEFAULT_MAX_TASKS

BACKENDS = ("auto", "core", "bcc")


def open_loader(
    backend: str,
    task_filter: Filter,
    ring_bytes: int = DEFAULT_RING_BYTES,
    max_tasks: int = DEFAULT_MAX_TASKS,
    preemptions: str = DEFAULT_PREEMPTIONS,
) -> tuple[Loader, str]:
    """The loader asked for; with ``auto``, core if it works here, else bcc. With it, why it is not core, or nothing.

    Raises :class:`CapabilityError` where none works: of ``auto``, with both reasons.
    """
    if backend not in BACKENDS:
        raise UsageError(f"cannot use backend {backend!r}: it is {', '.join(BACKENDS[:-1])} or {BACKENDS[-1]}")
    if backend == "bcc":
        return _bcc(task_filter, max_tasks, preemptions), ""
    try:
        return CoreLoader(task_filter, ring_bytes, preemptions), ""
    except CapabilityError as error:
        # Without privileges, neither works, and there is one thing to do.
        if backend == "core" or missing_capabilities():
            raise
        return _instead_of_core(str(error), task_filter, max_tasks, preemptions)


def _bcc(task_filter: Filter, max_tasks: int, preemptions: str) -> Loader:
    from schedtel.bcc_loader import BccLoader  # noqa: PLC0415  (core need not wait for what only bcc needs)

    return BccLoader(task_filter, max_tasks, preemptions)


def _instead_of_core(reason: str, task_filter: Filter, max_tasks: int, preemptions: str) -> tuple[Loader, str]:
    try:
        return _bcc(task_filter, max_tasks, preemptions), reason
    except CapabilityError as error:
        raise CapabilityError(f"cannot load by either backend: core: {reason}; bcc: {error}") from error
