"""A user's choices of how to trace, apart from the filter, in; fields of ``struct settings`` out."""

from dataclasses import dataclass

from schedtel.errors import UsageError

DEFAULT_RING_BYTES = 4 << 20
#: How many tasks bcc can follow at a time, and of how many perf events are counted in a window.
DEFAULT_MAX_TASKS = 16_384
_LEAST_TASKS, _MOST_TASKS = 64, 1 << 20
#: What the table ``preemptions`` can group tasks by; the numbers are those of ``bpf/records.h``.
PREEMPTIONS = {"cgroup": 1, "comm": 2, "off": 0}
DEFAULT_PREEMPTIONS = "cgroup"


@dataclass(frozen=True)
class Tracing:
    """How to set up the kernel side, apart from the filter. :func:`schedtel.live` describes each field."""

    backend: str = "auto"
    ring_bytes: int = DEFAULT_RING_BYTES
    max_tasks: int = DEFAULT_MAX_TASKS
    preemptions: str = DEFAULT_PREEMPTIONS
    counters: tuple[str, ...] = ()


def preemptions_setting(by: str) -> dict[str, object]:
    """The field of ``struct settings``. Raises :class:`UsageError` for a word that is not in ``PREEMPTIONS``."""
    if by not in PREEMPTIONS:
        raise UsageError(f"cannot tell who preempted whom by {by!r}: it is {', '.join(PREEMPTIONS)}")
    return {"preemptions": PREEMPTIONS[by]}


def preempted_by(by: str) -> str:
    """What the groups of the table ``preemptions`` are; empty where it is off."""
    return "" if by == "off" else by


def require_tasks(number: int) -> None:
    """Raise :class:`UsageError` for a number of tasks that no table can have."""
    if not _LEAST_TASKS <= number <= _MOST_TASKS:
        raise UsageError(f"cannot follow {number} tasks: it must be from {_LEAST_TASKS} to {_MOST_TASKS}")
