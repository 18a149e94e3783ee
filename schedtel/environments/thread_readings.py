"""A thread in; what /proc says of it now out."""

from __future__ import annotations

from dataclasses import dataclass

from schedtel.host.procfs import read_file, read_stat
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
        stat = read_stat(folder)
        cpu_ns, waited_ns, _ = map(int, read_file(f"{folder}/schedstat").split())
    except (OSError, ValueError):
        return None
    if stat.start_ticks != thread.start or stat.is_over:
        return None
    return Reading(stat.is_runnable, stat.cpu, cpu_ns, waited_ns)
