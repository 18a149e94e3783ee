"""What can go wrong with a measurement, other than a slow result."""


class BenchmarkError(Exception):
    """Something cannot be measured here; the message says what and why."""


class PeerError(BenchmarkError):
    """A peer did not start, or did not watch while it was measured."""
