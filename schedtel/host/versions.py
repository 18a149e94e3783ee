"""Names of libraries in; the versions of these, of Python and of schedtel here, out.

Processes that do parts of one work on several machines compare them, so that equal parts have equal figures.
"""

import platform
from importlib.metadata import version

from schedtel._version import __version__


def versions(*libraries: str) -> dict[str, str]:
    """Name → version."""
    found = {name: version(name) for name in libraries}
    return {"schedtel": __version__, "Python": platform.python_version(), **found}
