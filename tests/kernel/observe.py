"""A collector beside something that happens: windows while the body runs, and questions about them afterwards."""

import os
import threading
from contextlib import contextmanager

import numpy as np

import schedtel
from schedtel import tables


class Collected:
    """Windows that were collected while something happened, and questions about them."""

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

    def losses(self):
        """The loss counters over all windows.

        Some kernels deliver no events in the context of a process that they protect from tracing; what schedtel then
        sees are gaps, which it counts. Only where such tasks ran, gaps are no defect of ours.
        """
        lost = {name: sum(w.losses[name] for w in self.windows) for name in self.windows[0].losses}
        if any(w.summary["untracked_ns"][0].as_py() for w in self.windows):
            del lost["programs_skipped"]
        return {name: count for name, count in lost.items() if count}


@contextmanager
def collecting(window="200ms", **options):
    """Collect in a thread while the body runs; the windows are there afterwards."""
    collected, failed = Collected(), []
    with schedtel.live(window, **options) as source:

        def collect():
            try:
                collected.windows.extend(source)
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


def judge(observe, verdict, tries=8):
    """Observe and judge; a verdict against a run in which the kernel withheld events is no verdict, and is tried again.

    On a kernel that hides a process from tracing, switches from it to our tasks are not delivered. Such a gap is
    counted in programs_skipped; a comparison to the microsecond means nothing across it. Without one, the first
    failure stands.
    """
    for left in reversed(range(tries)):
        result = observe()
        try:
            return verdict(*result)
        except AssertionError:
            gaps = any(window.losses["programs_skipped"] for window in result[0].windows)
            if not gaps or not left:
                raise
    raise AssertionError("unreachable")


def wait_stopped(process):
    """Wait until a child has stopped itself; its books do not change from then on."""
    os.waitid(os.P_PID, process.pid, os.WSTOPPED)


def assert_buckets_outgrow_16_bits(start, cpu, **options):
    """A long window of a fast ping-pong: more bursts of one length than 16 bits can count, and none missing."""
    with collecting("1m", **options) as collected:
        process = start("pingpong", 500_000, cpu=cpu)
        assert process.wait(timeout=90) == 0
    rows = collected.rows(comm="schedtel-load")
    assert max(max(row["burst_tat_histogram"]) for row in rows) > 65_536
    for row in rows:
        assert sum(row["burst_tat_histogram"]) == row["bursts"]
        assert abs(row["bursts"] - row["voluntary_switches"]) <= 1
    assert not collected.losses().get("samples_discarded")
