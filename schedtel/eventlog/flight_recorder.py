"""This machine's events and reasons to keep them in; a snapshot of the last seconds for each reason out.

One thread does it all: it takes what the drain has copied, and writes. While it writes it goes on taking, between two
pieces of a tenth of a second each, so that nothing waits for the disk but the last of the pieces.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from schedtel.durations import format_duration
from schedtel.eventlog.recorder import POLL_NS, EventRecorder, describe
from schedtel.eventlog.ring import EventRing, Snapshot
from schedtel.eventlog.snapshots import Snapshots, Written
from schedtel.eventlog.tracing import Tracing
from schedtel.eventlog.watch import Watch
from schedtel.latch import Latch

_BY_HAND = "by hand"
#: How often it is asked whether the drain has copied all until a moment: half of the time between two of its passes.
_PASS_S = 0.01


class Requests:
    """Requests for a snapshot that a person makes. Those that come before one is written are one."""

    def __init__(self) -> None:
        self._is_made = False

    def make(self) -> None:
        """Ask for a snapshot. Safe in a signal handler."""
        self._is_made = True

    def take(self) -> bool:
        """Whether there was a request since the last call."""
        is_made, self._is_made = self._is_made, False
        return is_made


class FlightRecorder:
    """Keeps events in a ring, and writes what it holds for each request. ``written`` counts the snapshots.

    :param watch: asks for snapshots as well.
    :param tell: is given a line of text for each snapshot, and one when memory is too small for the ring's time.
    """

    def __init__(
        self,
        tracing: Tracing,
        ring: EventRing,
        snapshots: Snapshots,
        requests: Requests,
        watch: Watch | None,
        tell: Callable[[str], None],
    ) -> None:
        self._tracing, self._ring, self._snapshots = tracing, ring, snapshots
        self._requests, self._watch, self._tell = requests, watch, tell
        self._taken_ns, self._copied_ns, self._has_told = 0, 0, False
        self.written = 0

    def run(self, stop: Latch, duration_ns: int | None = None) -> None:
        """Keep events until ``stop`` is set, or for some time. What was asked for is still written at the end.

        Raises :class:`RecordingError` where a snapshot cannot be written; what was written before stays.
        """
        end_ns = None if duration_ns is None else time.monotonic_ns() + duration_ns
        if self._watch:
            self._watch.start()
        is_over = False
        while not is_over:
            rest_ns = POLL_NS if end_ns is None else min(POLL_NS, end_ns - time.monotonic_ns())
            is_over = stop.wait(rest_ns / 1e9) or (end_ns is not None and time.monotonic_ns() >= end_ns)
            if is_over and self._watch:
                self._watch.stop()  # the window that this ends may be a reason
            self._take()
            while reason := self._reason():
                self._write(reason)

    def _reason(self) -> str | None:
        if self._requests.take():
            return _BY_HAND
        return self._watch.reason() if self._watch else None

    def _take(self) -> None:
        copied_ns = self._tracing.copied_ns
        pieces = self._tracing.take()
        pieces.gaps += self._tracing.gaps()
        self._taken_ns, self._copied_ns = time.monotonic_ns(), copied_ns
        self._ring.add(pieces, self._taken_ns, copied_ns)
        if self._ring.is_cut and not self._has_told:
            self._has_told = True
            kept = format_duration(self._ring.snapshot().span_ns)
            self._tell(f"the memory for the ring holds the last {kept} only (allow more with --ring-memory)")

    def _take_all_until(self, moment_ns: int) -> None:
        self._take()
        while self._copied_ns < moment_ns:
            time.sleep(_PASS_S)
            self._take()

    def _write(self, reason: str) -> None:
        self._take_all_until(time.monotonic_ns())
        end_ns, lost = self._copied_ns, self._tracing.lost_at_end()
        # The kernel side forgets losses once a record tells of them. One that it wrote since the end is taken now.
        self._take_all_until(time.monotonic_ns())
        snapshot = self._ring.snapshot(end_ns)
        name, place = self._snapshots.next()
        facts = {"start_ns": str(snapshot.begin_ns), "end_ns": str(snapshot.end_ns), "reason": reason}
        with EventRecorder(place) as recorder:
            recorder.begin(self._tracing.facts() | facts)
            self._fill(recorder, snapshot)
            recorder.decode(snapshot.decoder)
            last = self._tracing.last_gaps(lost, snapshot.decoder, snapshot.end_ns)
            recorder.write(snapshot.decoder, [gap for gap in last if (gap.cpu, gap.cause) not in snapshot.ended])
        self.written += 1
        counts = (recorder.events_written, recorder.events_lost, recorder.bytes_written)
        self._snapshots.tell(Written(name, reason, snapshot.begin_ns, snapshot.end_ns, *counts))
        self._tell(f"wrote {self._snapshots.path(name)}: {describe(*counts, snapshot.span_ns)} ({reason})")

    def _fill(self, recorder: EventRecorder, snapshot: Snapshot) -> None:
        for pieces in snapshot:
            recorder.add(pieces, snapshot.decoder)
            if recorder.is_due:
                recorder.write(snapshot.decoder, [])
            if time.monotonic_ns() - self._taken_ns >= POLL_NS:
                self._take()
