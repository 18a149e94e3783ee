"""Installed kernel headers in; a tree of headers that bcc can use out.

bcc takes the tree that ``BCC_KERNEL_SOURCE`` names, else the running kernel's under ``/lib/modules``, else the one that
the kernel carries in itself (CONFIG_IKHEADERS). The programs read nothing but tracepoint fields, so if the running
kernel has no headers, those of any other version will do.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path

from schedtel.errors import CapabilityError

_INSTALLED = Path("/usr/src")
_KERNELS_OWN = Path("/sys/kernel/kheaders.tar.xz")
_VARIABLE = "BCC_KERNEL_SOURCE"
#: Files of every usable tree: a header written by hand, and one that the kernel's configuration generates.
_TOUCHSTONES = ("include/linux/types.h", "include/generated/autoconf.h")


def find_headers() -> tuple[str, Path | None]:
    """Where the headers come from, in words, and the tree that ``BCC_KERNEL_SOURCE`` must name.

    The tree is None if bcc finds the headers by itself. Raises :class:`CapabilityError` if there are no headers.
    """
    given = os.environ.get(_VARIABLE)
    if given:
        return _given(Path(given))
    release = os.uname().release
    if (Path("/lib/modules") / release / "build" / "include").is_dir():
        return f"those of the running kernel, {release}", None
    for tree in sorted(_INSTALLED.glob("linux-headers-*"), reverse=True):
        complete = _complete(tree)
        if complete:
            return f"{tree} (the running kernel has none of its own; any will do)", complete
    if _KERNELS_OWN.exists():
        return "those that the running kernel carries in itself", None
    raise CapabilityError(
        f"cannot find kernel headers: none for {release}, and no other version's in {_INSTALLED} "
        "(apt install linux-headers-amd64, or your distribution's like; any version will do)"
    )


def _given(tree: Path) -> tuple[str, Path]:
    if not (tree / _TOUCHSTONES[0]).is_file():
        raise CapabilityError(
            f"cannot use the kernel headers in {tree}: there is no {_TOUCHSTONES[0]} (set {_VARIABLE} to another tree)"
        )
    return f"{tree} ({_VARIABLE})", tree


def _complete(tree: Path) -> Path | None:
    """The tree if it is whole; if the distribution splits it in two, both merged; None for any other."""
    if all((tree / name).is_file() for name in _TOUCHSTONES):
        return tree
    common = _common_part(tree)
    return _merged(common, tree) if common and (tree / _TOUCHSTONES[1]).is_file() else None


def _common_part(tree: Path) -> Path | None:
    """The common tree that belongs to Debian's architecture tree, whose Makefile includes that of the common tree."""
    try:
        included = re.match(r"include (/\S+)/Makefile", (tree / "Makefile").read_text())
    except OSError:
        return None
    common = Path(included[1]) if included else None
    return common if common and (common / _TOUCHSTONES[0]).is_file() else None


def _merged(common: Path, tree: Path) -> Path:
    """A tree of links in the user's cache, to the common tree and over it to the architecture's.

    It is built under a temporary name and renamed when it is whole.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "schedtel"
    target = cache / tree.name
    if all((target / name).is_file() for name in _TOUCHSTONES):
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=cache))
        _link(common, tree, unfinished)
        shutil.rmtree(target, ignore_errors=True)
        unfinished.rename(target)
    except OSError as error:
        raise CapabilityError(
            f"cannot merge the kernel headers into {target}: {error.strerror} (set XDG_CACHE_HOME to a writable place)"
        ) from error
    return target


def _link(below: Path, above: Path, target: Path) -> None:
    """Link to every entry of either directory, with ``above`` over ``below``; descend where both have a directory."""
    for name in {entry.name for directory in (below, above) for entry in directory.iterdir()}:
        lower, upper = below / name, above / name
        if upper.is_dir() and lower.is_dir() and not upper.is_symlink():
            (target / name).mkdir()
            _link(lower, upper, target / name)
        else:
            (target / name).symlink_to(upper if upper.exists() else lower)
