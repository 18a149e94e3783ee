"""The C sources that ship with the package: a name in; its path, or one text of it and of what it includes, out.

The package has ``bpf/`` as ``_bpf/``, except for what ships compiled: the core backend and the replay. What a source
needs is read from its ``#include "..."`` lines, so there is no list of files to keep.
"""

import re
from importlib import resources
from pathlib import Path

from schedtel.errors import CapabilityError

_INCLUDE = re.compile(r'^#include "(.+)"$', re.MULTILINE)


def source_path(name: str) -> Path:
    """The path of a source, named as inside ``bpf/``. Raises :class:`CapabilityError` where the package lacks it."""
    path = Path(str(resources.files("schedtel"))) / "_bpf" / name
    if not path.is_file():
        raise CapabilityError(
            f"cannot find the source {path.name} in {path.parent} (run `make build`, or reinstall schedtel)"
        )
    return path


def one_text(path: Path) -> str:
    """A source with every included file in the place of its first ``#include``, and nothing in that of a further one.

    That is the same to a compiler, since all included files have guards.
    """
    return _expanded(path, set())


def _expanded(path: Path, seen: set[Path]) -> str:
    path = path.resolve()
    if path in seen:
        return ""
    seen.add(path)
    return _INCLUDE.sub(lambda found: _expanded(path.parent / found[1], seen), path.read_text())
