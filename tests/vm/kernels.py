"""Kernels to boot: a suite of the Debian archive in, a vmlinuz in the cache out.

The kernels are Debian's own, in its flavour for virtual machines, fetched as those of the lab (schedtel/lab/apt.py).
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from schedtel.errors import CapabilityError as UnavailableError
from schedtel.lab.apt import DebianArchive
from schedtel.lab.packages import image_in, kernel_pattern


@dataclass(frozen=True)
class Suite:
    """Where a kernel may be found; ``version`` is the beginning of the package's version, empty for the newest."""

    name: str
    version: str = ""


@dataclass(frozen=True)
class Kernel:
    """A kernel to boot. ``suites`` are tried in turn; ``refusals``: backends that must refuse, and with which words."""

    name: str
    suites: tuple[Suite, ...]
    refusals: tuple[tuple[str, str], ...] = ()


KERNELS = (
    Kernel("5.10", (Suite("bullseye"),), refusals=(("core", "task storage"),)),
    Kernel("6.1", (Suite("bookworm"),)),
    Kernel("6.12", (Suite("bookworm-backports"),)),
    Kernel("sched_ext", (Suite("sid"), Suite("trixie-backports", "6.18."))),
)


def cache_directory() -> Path:
    """Where kernels are kept, so that each is fetched once; remove it to have newer ones."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "schedtel" / "vm"


def fetch(kernel: Kernel) -> Path:
    """The kernel's image, from the cache or the mirror. Raises :class:`UnavailableError` with all reasons."""
    reasons = []
    for suite in kernel.suites:
        directory = cache_directory() / f"{suite.name}{suite.version and '-'}{suite.version}"
        try:
            return _cached(directory) or _fetched(suite, directory)
        except UnavailableError as reason:
            reasons.append(f"{suite.name}: {reason}")
    raise UnavailableError("; ".join(reasons))


def _cached(directory: Path) -> Path | None:
    return next(iter(sorted(directory.glob("vmlinuz-*"))), None)


def _fetched(suite: Suite, directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory) as scratch:
        archive, root = DebianArchive((suite.name,), Path(scratch, "apt")), Path(scratch, "root")
        # From 7.x, the image is in linux-binary-…, and linux-image-… only depends on it.
        package = archive.newest(kernel_pattern(suite.version, "binary")) or archive.newest(
            kernel_pattern(suite.version, "image")
        )
        if package is None:
            raise UnavailableError(f"has no package linux-image-{suite.version}…-cloud-amd64")
        archive.unpack(package, root)
        return image_in(root).rename(directory / f"vmlinuz-{package.split('-', 2)[2]}")
