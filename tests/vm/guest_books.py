"""The scheduler's books inside a guest: those of a task at rest are what the kernel prints of it."""

import os

from books_at_rest import child, printed, run_until_it_blocks
from traced_events import tracing

import schedtel

#: Guests withhold an event now and then, and it may be the last one.
TRIES = 4
#: Of kernels as kernel.org has them; Debian's are such.
EEVDF_SINCE = (6, 6)
NICE, WEIGHT = 19, 15


def check_books():
    """The last books of a child that has gone to sleep have the vruntime and the weight of /proc/PID/sched; a kernel
    without EEVDF is refused.
    """
    if why := refusal():
        assert "sched_entity has no deadline" in why, why
        assert tuple(map(int, os.uname().release.split(".")[:2])) < EEVDF_SINCE
        return f"refused: {why}"
    for _ in range(TRIES):
        last, at_rest = books_at_rest()
        if (last["vruntime_ns"], last["weight"]) == at_rest:
            assert at_rest[1] == WEIGHT << 10
            return f"vruntime {at_rest[0]} ns and weight {WEIGHT}, as the kernel prints them"
    raise AssertionError(f"the kernel prints {at_rest}, and the books say {last}")


def refusal():
    """Why there are no books; None where there are."""
    try:
        schedtel.events(books=True, duration="10ms").close()
    except schedtel.CapabilityError as error:
        return str(error)
    return None


def books_at_rest():
    """The last row of a child's books, and what the kernel prints."""
    with child(max(os.sched_getaffinity(0)), NICE) as process:
        with tracing(pid=process.pid, books=True) as traced:
            run_until_it_blocks(process)
            at_rest = printed(process.pid)
        own = [row for row in traced.table("books").to_pylist() if row["tid"] == process.pid and row["level"] == 0]
    return own[-1], at_rest
