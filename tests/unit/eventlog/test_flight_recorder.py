"""The losses that a snapshot tells of, whenever the kernel side writes the record that tells of them."""

import time

import pytest
from event_words import FACTS, lost, pieces, switch

from schedtel.eventlog.decode import Gap
from schedtel.eventlog.flight_recorder import FlightRecorder, Requests
from schedtel.eventlog.recording import EventRecording
from schedtel.eventlog.ring import EventRing
from schedtel.eventlog.snapshots import Snapshots
from schedtel.latch import Latch

LOST = 60_000


class FullRing:
    """Tracing of a CPU whose ring was full. The record that tells of it is written ``told`` what is done first."""

    def __init__(self, told):
        self.start_ns = time.monotonic_ns()
        self._told, self._has_told, self._is_read = told, False, False
        self._words = [switch(self.start_ns + 1, 7, 0)]

    @property
    def copied_ns(self):
        return time.monotonic_ns()

    def take(self):
        words, self._words = self._words, []
        return pieces({0: words} if words else {})

    def gaps(self):
        return []

    def _tell(self):
        if not self._has_told:
            self._has_told = True
            self._words = [lost(time.monotonic_ns(), LOST)]

    def lost_at_end(self):
        if self._told == "before they are read":
            self._tell()
        found = {} if self._has_told else {0: LOST}
        if self._told == "after they are read":
            self._tell()
        return found

    def last_gaps(self, found, decoder, now_ns):
        return [Gap(cpu, decoder.last_ns(cpu), now_ns, events, "ring_full") for cpu, events in found.items()]

    def facts(self):
        return FACTS


@pytest.mark.parametrize("told", ["before they are read", "after they are read", "much later"])
def test_losses_are_told_once(told, tmp_path):
    tracing, requests, stop = FullRing(told), Requests(), Latch()
    ring, snapshots = EventRing(10**10, 1 << 30, tracing.start_ns), Snapshots(tmp_path)
    recorder = FlightRecorder(tracing, ring, snapshots, requests, None, lambda _: None)
    requests.make()
    stop.set()
    recorder.run(stop)
    (where,) = (path for path in tmp_path.iterdir() if path.is_dir())
    (gap,) = EventRecording(where).gaps().to_pylist()
    assert (gap["cpu"], gap["from_ns"], gap["events"]) == (0, tracing.start_ns + 1, LOST)
    assert EventRecording(where).events().num_rows == 1
