"""What ships compiled inside the package: a name in; the loaded library, or the path of the program, out."""

import ctypes
import os
from pathlib import Path

from schedtel.errors import CapabilityError

_DIRECTORY = Path(__file__).parents[1] / "_native"


def load_library(name: str, sizes: dict[str, int]) -> ctypes.CDLL:
    """Load ``name``.so, and check that it is of this version.

    :param sizes: functions without arguments that return the size of a struct → the size here, in bytes.

    Raises :class:`CapabilityError` where the package lacks the library, or has one of another version.
    """
    path = _DIRECTORY / f"{name}.so"
    try:
        library = ctypes.CDLL(str(path))
    except OSError as error:
        raise CapabilityError(f"cannot load {path.name}: {error} (run `make build`, which needs clang)") from None
    for function, size in sizes.items():
        getattr(library, function).restype = ctypes.c_uint64
        found = getattr(library, function)()
        if found != size:
            raise CapabilityError(
                f"cannot use {path}: {function}() is {found} and not {size} bytes (build schedtel again: make build)"
            )
    return library


def program_path(name: str) -> str:
    """The path of a program. Raises :class:`CapabilityError` where the package lacks it, or it cannot be executed."""
    path = _DIRECTORY / name
    if not os.access(path, os.X_OK):
        raise CapabilityError(
            f"cannot run {path}: it is missing or not executable (run `make build`, which needs clang)"
        )
    return str(path)
