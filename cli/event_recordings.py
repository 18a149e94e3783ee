"""The directory or URI of a recording of events in; the recording, and who its threads are, out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from schedtel.cli import lines

if TYPE_CHECKING:
    from schedtel.eventlog.lookup import Tasks
    from schedtel.eventlog.recording import EventRecording


@contextmanager
def opened_recording(where: str) -> Iterator[tuple[EventRecording, Tasks]]:
    """A recording, and who its threads are. What could not be read is said at the end."""
    from schedtel.eventlog.lookup import Tasks  # noqa: PLC0415  (other commands do without pyarrow)
    from schedtel.eventlog.recording import EventRecording  # noqa: PLC0415  (see above)

    recording = EventRecording(where)
    yield recording, Tasks(recording.tasks())
    for flaw in recording.damaged:
        lines.remark(f"schedtel: cannot read {lines.in_one_line(flaw)}: its events are missing")


def has_events(where: str) -> bool:
    """Whether a directory or a URI is a recording of events."""
    from schedtel.recordings.storage import place_of  # noqa: PLC0415  (other commands do without pyarrow)

    place = place_of(where)
    return place.exists() and bool(place.parts("events"))
