"""What perf events counted in one window: as the kernel side hands it over."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Counted:
    """The counts of one window.

    ``events``: names. ``tasks``: shape (n,) of ``layout.COUNTED_TASK``, whose they are. ``readings``: shape (n, events)
    of ``layout.READING``. ``other``: shape (events,), the sum of tasks that there was no room for.
    """

    events: tuple[str, ...]
    tasks: np.ndarray
    readings: np.ndarray
    other: np.ndarray
