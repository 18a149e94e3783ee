"""Installed kernel headers in; a tree of headers that bcc can use out.

bcc takes the tree that ``BCC_KERNEL_SOURCE`` names, else the running kernel's under ``/lib/modules``, else the one that
the kernel carries in itself (CONFIG_IKHEADERS). The programs read nothing but tracepoint fields, so if the running
kernel has no headers, those of any other version will do.
"""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schedtel.errors import CapabilityError

_INSTALLED = Path("/usr/src")
_KERNELS_OWN = Path("/sys/kernel/kheaders.tar.xz")
_VARIABLE = "BCC_KERNEL_SOURCE"
#: Files of every usable tree: a header written by hand, and one that the kernel's configuration generates.
_TOUCHSTONES = ("include/linux/types.h", "include/generated/autoconf.h")


@dataclass(frozen=True)
class Headers:
    """Where kernel headers are. ``description`` says it in words; ``tree`` is None if bcc finds them by itself.

    Debian splits its tree in two: then ``tree`` has the architecture's part and ``common`` the other.
    """

    description: str
    tree: Path | None = None
    common: Path | None = None

    @contextmanager
    def whole(self) -> Iterator[Path | None]:
        """The tree that ``BCC_KERNEL_SOURCE`` must name, while the block lasts; a split one is merged, in 5 ms.

        The merged tree is new each time, in a directory that only this user may enter. Kept in the user's cache, it
        could hold another user's headers, which root would compile into the kernel.
        """
        if self.tree is None or self.common is None:
            yield self.tree
            return
        made = _merged(self.common, self.tree)
        try:
            yield Path(made.name)
        finally:
            made.cleanup()


def find_headers() -> Headers:
    """The headers that bcc can use here. Raises :class:`CapabilityError` if there are none."""
    given = os.environ.get(_VARIABLE)
    if given:
        return _given(Path(given))
    release = os.uname().release
    if (Path("/lib/modules") / release / "build" / "include").is_dir():
        return Headers(f"those of the running kernel, {release}")
    for tree in sorted(_INSTALLED.glob("linux-headers-*"), reverse=True):
        description = f"{tree} (the running kernel has none of its own; any will do)"
        if all((tree / name).is_file() for name in _TOUCHSTONES):
            return Headers(description, tree)
        common = _common_part(tree)
        if common and (tree / _TOUCHSTONES[1]).is_file():
            return Headers(description, tree, common)
    if _KERNELS_OWN.exists():
        return Headers("those that the running kernel carries in itself")
    raise CapabilityError(
        f"cannot find kernel headers: none for {release}, and no other version's in {_INSTALLED} "
        "(apt install linux-headers-amd64, or your distribution's like; any version will do)"
    )


def _given(tree: Path) -> Headers:
    if not (tree / _TOUCHSTONES[0]).is_file():
        raise CapabilityError(
            f"cannot use the kernel headers in {tree}: there is no {_TOUCHSTONES[0]} (set {_VARIABLE} to another tree)"
        )
    return Headers(f"{tree} ({_VARIABLE})", tree)


def _common_part(tree: Path) -> Path | None:
    """The common tree that belongs to Debian's architecture tree, whose Makefile includes that of the common tree."""
    try:
        included = re.match(r"include (/\S+)/Makefile", (tree / "Makefile").read_text())
    except OSError:
        return None
    common = Path(included[1]) if included else None
    return common if common and (common / _TOUCHSTONES[0]).is_file() else None


def _merged(common: Path, tree: Path) -> tempfile.TemporaryDirectory[str]:
    """A new directory of links to the common tree, and over it to the architecture's."""
    try:
        made = tempfile.TemporaryDirectory(prefix="schedtel-headers-")
        _link(common, tree, Path(made.name))
    except OSError as error:
        raise CapabilityError(
            f"cannot merge the kernel headers: {error.strerror} (set TMPDIR to a writable place)"
        ) from error
    return made


def _link(below: Path, above: Path, target: Path) -> None:
    """Link to every entry of either directory, with ``above`` over ``below``; descend where both have a directory."""
    for name in {entry.name for directory in (below, above) for entry in directory.iterdir()}:
        lower, upper = below / name, above / name
        if upper.is_dir() and lower.is_dir() and not upper.is_symlink():
            (target / name).mkdir()
            _link(lower, upper, target / name)
        else:
            (target / name).symlink_to(upper if upper.exists() else lower)
