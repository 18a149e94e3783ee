"""A function in; the same compiled by numba out, or one line that says how to install numba."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from schedtel.errors import CapabilityError

try:
    import numba
except ImportError as error:
    missing = "numba is not installed" if error.name == "numba" else f"numba cannot be used: {error}"
    raise CapabilityError(f"cannot simulate: {missing} (pip install 'schedtel[sim]')") from None

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Function = Callable[Parameters, Result]

#: A division by zero is excluded by construction, so its check is left out. Nothing is allocated, so no reference is
#: counted (_nrt): counting those of a state's arrays would take ten times as long as all else.
_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
_njit: Any = numba.njit  # whose type knows neither _nrt nor the wrappers' options


def inlined(function: Function[Parameters, Result]) -> Function[Parameters, Result]:
    """A part of the engine, put into each place that calls it: the state has too many arrays to be handed over."""
    options = {"forceinline": True, "no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compiled: Function[Parameters, Result] = _njit(**options, **_OPTIONS)(function)
    return compiled


def apart(function: Function[Parameters, Result]) -> Function[Parameters, Result]:
    """A part of the engine that is called, and not put into its callers: what few runs need keeps out of the way."""
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compiled: Function[Parameters, Result] = _njit(**options, **_OPTIONS)(function)
    return compiled


def kept(function: Function[Parameters, Result]) -> Function[Parameters, Result]:
    """A function whose machine code is kept on disk, beside the package or in the user's cache, where one is writable.

    Numba compiles anew when the function's file or a variable that it closes over has changed. It does not look at what
    the function calls: so it must close over :func:`sources_digest`.
    """
    try:
        compiled: Function[Parameters, Result] = _njit(cache=True, **_OPTIONS)(function)
    except RuntimeError:  # neither place is writable: compiled at each start
        compiled = _njit(**_OPTIONS)(function)
    return compiled


def sources_digest(*folders: Path) -> int:
    """A number that another text of any module of this package, or of other folders, changes."""
    digest = hashlib.sha256()
    for folder in (Path(__file__).parent, *folders):
        for path in sorted(folder.glob("*.py")):
            digest.update(path.read_bytes())
    return int.from_bytes(digest.digest()[:7], "little") | 1
