"""Errors of a measurement. A slow result is none."""


class BenchmarkError(Exception):
    """A measurement is not possible here; the message says which one and why."""


class PeerError(BenchmarkError):
    """A peer did not start, or did not watch while it was measured."""
