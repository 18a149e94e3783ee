"""A thread in; what /proc says of it now out."""

from __future__ import annotations

from dataclasses import dataclass

from schedtel.schedulers.threads import Thread


@dataclass(frozen=True)
class Reading:
    """A thread at one moment.

    :param cpu: where it runs, waits, or last ran.
    :param cpu_ns: CPU time since its start; ``waited_ns`` is the time for which it waited for a CPU, of waits that have
        ended.
    """

    is_runnable: bool
    cpu: int
    cpu_ns: int
    waited_ns: int


def read(thread: Thread) -> Reading | None:
    """The reading of a thread; None once it has ended, also where another has its number by now."""
    folder = f"/proc/{thread.tgid}/task/{thread.tid}"
    try:
        with open(f"{folder}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        with open(f"{folder}/schedstat", "rb") as file:
            cpu_ns, waited_ns, _ = map(int, file.read().split())
    except (OSError, ValueError):
        return None
    if int(fields[19]) != thread.start or fields[0] in b"ZXx":
        return None
    return Reading(fields[0] == b"R", int(fields[36]), cpu_ns, waited_ns)
