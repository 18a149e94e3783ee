"""A user's names of perf events in; the events, or an error that says what may have been meant, out."""

import difflib
from collections.abc import Sequence

from schedtel.errors import UsageError
from schedtel.records.layout import COUNTERS
from schedtel.records.perf_events import EVENTS, PerfEvent, event_named

_NAMES = [event.name for event in EVENTS]


def parse_events(names: Sequence[str]) -> tuple[PerfEvent, ...]:
    """The events of these names, in the order of ``EVENTS``, raw ones last.

    Raises :class:`UsageError` for a name that no event has, for one that is given twice, and for too many.
    """
    if len(set(names)) < len(names):
        raise UsageError(f"cannot count {_twice(names)} twice: each event has one counter (drop one)")
    if len(names) > COUNTERS:
        raise UsageError(f"cannot count {len(names)} events at a time: the most is {COUNTERS} (drop some)")
    return tuple(sorted(map(_event, names), key=_place))


def _twice(names: Sequence[str]) -> str:
    return next(name for place, name in enumerate(names) if name in names[:place])


def _event(name: str) -> PerfEvent:
    event = event_named(name)
    if event is None:
        near = difflib.get_close_matches(name, _NAMES, 1)
        hint = f"did you mean {near[0]}?" if near else f"it is one of {', '.join(_NAMES)}, or raw, such as r1a2"
        raise UsageError(f"cannot count {name!r}: there is no such event ({hint})")
    return event


def _place(event: PerfEvent) -> tuple[int, str]:
    return (_NAMES.index(event.name) if event.name in _NAMES else len(_NAMES), event.name)
