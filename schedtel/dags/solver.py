"""OR-Tools' CP-SAT, or one line that says how to install it."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

from schedtel.errors import CapabilityError

_MOST_WORKERS = 8


def solver_is_installed() -> bool:
    """Whether OR-Tools can be imported; it is not."""
    return find_spec("ortools") is not None


def cp_model() -> Any:
    """The module ``ortools.sat.python.cp_model``. Raises :class:`CapabilityError` where it is missing."""
    try:
        from ortools.sat.python import cp_model  # noqa: PLC0415  (of an extra, and slow to import)
    except ImportError as error:
        raise CapabilityError(
            "cannot look for an optimum: OR-Tools is not installed (pip install 'schedtel[learn]')"
        ) from error
    return cp_model


def solver(limit_s: float) -> Any:
    """A solver that ends after so many seconds, with as many threads as this process has CPUs."""
    made = cp_model().CpSolver()
    made.parameters.max_time_in_seconds = limit_s
    made.parameters.num_workers = min(_MOST_WORKERS, len(os.sched_getaffinity(0)))
    return made
