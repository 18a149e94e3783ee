"""Kernel headers for bcc: what is installed in, a tree that bcc can use out.

bcc takes the tree that ``BCC_KERNEL_SOURCE`` names, else the running kernel's under ``/lib/modules``, else the one the
kernel carries in itself (CONFIG_IKHEADERS). Our programs read nothing but tracepoint fields, so where the running
kernel has no headers, any other's serve.
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
#: In every usable tree: a header that is written by hand, and one that the configuration makes.
_TOUCHSTONES = ("include/linux/types.h", "include/generated/autoconf.h")


def find_headers() -> tuple[str, Path | None]:
    """Where the headers come from, in words, and what ``BCC_KERNEL_SOURCE`` must be; None: bcc finds them by itself.

    Raises :class:`CapabilityError` where there are none.
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
    """The tree if it is whole; where the distribution splits it in two, the two merged; None for anything else."""
    if all((tree / name).is_file() for name in _TOUCHSTONES):
        return tree
    common = _common_part(tree)
    return _merged(common, tree) if common and (tree / _TOUCHSTONES[1]).is_file() else None


def _common_part(tree: Path) -> Path | None:
    """Debian's architecture tree includes the Makefile of the common one, and that is all that names it."""
    try:
        found = re.match(r"include (/\S+)/Makefile", (tree / "Makefile").read_text())
    except OSError:
        return None
    common = Path(found[1]) if found else None
    return common if common and (common / _TOUCHSTONES[0]).is_file() else None


def _merged(common: Path, tree: Path) -> Path:
    """A tree of links in the user's cache: common, and the architecture's on top. Made whole elsewhere, then moved."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "schedtel"
    target = cache / tree.name
    if all((target / name).is_file() for name in _TOUCHSTONES):
        return target
    try:
        cache.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=cache))
        _link(common, tree, made)
        shutil.rmtree(target, ignore_errors=True)
        made.rename(target)
    except OSError as error:
        raise CapabilityError(
            f"cannot merge the kernel headers into {target}: {error.strerror} (set XDG_CACHE_HOME to a writable place)"
        ) from error
    return target


def _link(below: Path, above: Path, target: Path) -> None:
    """Link what either directory has; descend where both have a directory of their own."""
    for name in {entry.name for directory in (below, above) for entry in directory.iterdir()}:
        lower, upper = below / name, above / name
        if upper.is_dir() and lower.is_dir() and not upper.is_symlink():
            (target / name).mkdir()
            _link(lower, upper, target / name)
        else:
            (target / name).symlink_to(upper if upper.exists() else lower)
