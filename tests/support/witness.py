"""A subscriber of a live run, and what its server holds."""

import itertools
import os
import threading
from pathlib import Path

from waiting import PATIENCE_S

import schedtel
from schedtel.windows import invariants as laws


class Witness:
    """A subscriber that reads all the time; in the end, its verdict tells whether anything was missing."""

    def __init__(self, uri):
        self.windows, self._error = [], None
        self._source = schedtel.subscribe(uri)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self):
        try:
            self.windows.extend(self._source)
        except schedtel.SchedtelError as error:
            self._error = error

    def verdict(self):
        """Unsubscribe, and assert that no window is missing and that all tile and keep the laws."""
        self._source.stop()
        self._thread.join(PATIENCE_S)
        assert self._error is None
        assert self._source.windows_missed == 0
        assert_tiling(self.windows)
        self._source.close()


def assert_tiling(windows):
    for before, after in itertools.pairwise(windows):
        assert before.window_id + 1 == after.window_id
        assert before.end_ns == after.start_ns
        assert [finding for finding in laws.check(after, before) if not finding.holds] == []


def held(process):
    """Descriptors, threads and resident kilobytes of a process."""
    lines = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii").splitlines()
    status = dict(line.split(":", 1) for line in lines)
    return len(os.listdir(f"/proc/{process.pid}/fd")), int(status["Threads"]), int(status["VmRSS"].split()[0])


#: How many windows a server remembers: a reader may be held up for two seconds, and the history is full soon.
HISTORY = "20"
