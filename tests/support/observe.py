"""Windows that are collected while a test does something, and questions about them afterwards."""

import os
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.host.counters import steal_ns
from schedtel.windows import tables


class Collected:
    """Collected windows, and questions about them."""

    def __init__(self):
        self.windows = []

    def rows(self, **where):
        """All rows of `tasks`, over all windows, in which the columns have these values."""
        found = []
        for window in self.windows:
            keep = np.ones(window.tasks.num_rows, bool)
            for name, value in where.items():
                values = np.array(window.tasks[name].to_pylist(), dtype=object)
                keep &= values == value
            found += window.tasks.take(np.flatnonzero(keep)).to_pylist()
        return found

    def sum(self, column, **where):
        return sum(row[column] for row in self.rows(**where))

    def total(self, column):
        """A column of `tasks` over all rows of all windows, `other` included."""
        return sum(int(tables.column(window.tasks, column).sum()) for window in self.windows)

    def await_windows(self, count):
        """Wait until so many more windows have ended; only while the body of :func:`collecting` runs."""
        wanted = len(self.windows) + count
        eventually(lambda: len(self.windows) >= wanted)

    def losses(self):
        """The loss counters over all windows.

        Some kernels deliver no events in the context of a process that they protect from tracing. schedtel counts the
        gaps that it then sees. They are no defect of schedtel, but only where such tasks have run.
        """
        lost = {name: sum(w.losses[name] for w in self.windows) for name in self.windows[0].losses}
        if any(w.summary["untracked_ns"][0].as_py() for w in self.windows):
            del lost["programs_skipped"]
        return {name: count for name, count in lost.items() if count}


@contextmanager
def collecting(window="200ms", **options):
    """Collect in a thread while the body runs. Yields the :class:`Collected` windows, complete after the body."""
    collected, failed = Collected(), []
    with schedtel.live(window, **options) as source:

        def collect():
            try:
                for each in source:
                    collected.windows.append(each)
            except BaseException as error:  # noqa: BLE001  (raised again below, where pytest sees it)
                failed.append(error)

        thread = threading.Thread(target=collect)
        thread.start()
        try:
            yield collected
        finally:
            source.stop()
            thread.join()
    if failed:
        raise failed[0]


#: How many runs may have losses of schedtel itself.
_MOST_FORGIVEN = 2


def judge(observe, verdict, tries=8, *, stamps=False):
    """Observe, and judge what was observed. A failure is tried again only if the run has counted losses.

    A kernel that hides a process from tracing does not deliver the switches from that process to our tasks. schedtel
    counts such a gap in programs_skipped; a comparison to the microsecond means nothing across it. Where the machine is
    too busy for the collector to run, schedtel counts other losses. Those are forgiven twice and no more: otherwise a
    defect that loses something now and then would pass. Without losses, the first failure stands.

    ``stamps``: the verdict compares the time stamps of schedtel with those of another observer. A hypervisor may take
    the CPU away between the two stamps of an event, which one of them counts and the other does not. Such a failure is
    tried again as well.
    """
    stolen, forgiven = stamps and steal_ns() > 0, 0
    for left in reversed(range(tries)):
        result = observe()
        try:
            return verdict(*result)
        except AssertionError:
            lost = {name for window in result[0].windows for name, count in window.losses.items() if count}
            forgiven += bool(lost - {"programs_skipped"})
            if not left or forgiven > _MOST_FORGIVEN or not (lost or stolen):
                raise
    raise AssertionError("unreachable")


def await_edges(one, other):
    """Wait for a new edge that both collectors have, so that their common span begins or ends at this moment.

    Any new edge of each is not enough: a collector that is held up skips edges that the other one has.
    """
    began_ns = time.monotonic_ns()
    eventually(lambda: max(_common_edges(one, other), default=0) > began_ns)


def _common_edges(one, other):
    edges = [{w.start_ns for w in c.windows} | {w.end_ns for w in c.windows} for c in (one, other)]
    return edges[0] & edges[1]


def common_span(one, other):
    """The windows of each between the first and the last edge that two collectors have in common.

    A collector that is held up has longer windows than the other; over the span, both add up to the same time.
    """
    common = _common_edges(one, other)
    assert len(common) > 1, "no span in common"
    first, last = min(common), max(common)
    return [[w for w in c.windows if first <= w.start_ns and w.end_ns <= last] for c in (one, other)]


def wait_stopped(process):
    """Wait until a child has stopped itself; its accounting does not change from then on."""
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)


def wait_for_state(pid, state, comm=None):
    """Wait until a process is in a state of proc(5), such as S for asleep, under this name if one is given."""

    def reached():
        name, _, rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").partition("(")[2].rpartition(") ")
        return rest[0] == state and comm in (None, name)

    eventually(reached, every_s=0.001)


def assert_buckets_outgrow_16_bits(start, cpu, **options):
    """A long window of a fast ping-pong: more bursts of one length than 16 bits can count, and none missing."""

    def observe():
        with collecting("24h", **options) as collected:
            process = start("pingpong", 500_000, cpu=cpu)
            assert process.wait(timeout=5 * PATIENCE_S) == 0
        return (collected,)

    def verdict(collected):
        rows = collected.rows(comm="schedtel-load")
        assert max(max(row["burst_tat_histogram"]) for row in rows) > 65_536
        for row in rows:
            assert sum(row["burst_tat_histogram"]) == row["bursts"]
            assert abs(row["bursts"] - row["voluntary_switches"]) <= 1
        assert not collected.losses().get("samples_discarded")

    judge(observe, verdict)
