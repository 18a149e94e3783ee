"""Names of runs."""

import os
from datetime import UTC, datetime


def new_run() -> str:
    """A name for a run of a collector, such as ``20260131T235959.123456Z-1a2b3c``.

    It is unique in a fleet, and names sort by the time at which the runs began.
    """
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{os.urandom(3).hex()}"
