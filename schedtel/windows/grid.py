"""Text in; a window length in nanoseconds out."""

from schedtel.durations import format_duration, parse_duration
from schedtel.errors import UsageError

_SHORTEST_WINDOW_NS = 10_000_000
_LONGEST_WINDOW_NS = 24 * 3600 * 1_000_000_000


def window_length(text: str) -> int:
    """A window's length in nanoseconds, from 10 ms to 24 h.

    Raises :class:`UsageError` for a text that is no duration, and for any other length.
    """
    length = parse_duration(text)
    if not _SHORTEST_WINDOW_NS <= length <= _LONGEST_WINDOW_NS:
        shortest, longest = format_duration(_SHORTEST_WINDOW_NS), "24 h"
        raise UsageError(f"cannot use a window of {text}: it must be from {shortest} to {longest}")
    return length
