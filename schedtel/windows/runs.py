"""Names of runs."""

import os
from datetime import UTC, datetime


def new_run() -> str:
    """A name for a run of a collector, unique in a fleet, in the order of time: ``20260131T235959.123456Z-1a2b3c``."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{os.urandom(3).hex()}"
