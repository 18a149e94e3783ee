"""Names of what a guest needs in; its place in this user's cache, fetched when it is missing, out.

    ~/.cache/schedtel/lab/qemu-system-x86_10.0.2+…/            qemu with all that it depends on, the C library included
    ~/.cache/schedtel/lab/linux-image-6.18.…-cloud-amd64_…/    a kernel
    ~/.cache/schedtel/lab/busybox-static_…/                    the guest's small programs

Each is a directory by name and version, which appears when it is whole. Only its owner can read the cache.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schedtel.access.directories import open_directory
from schedtel.access.scratch import scratch_directory
from schedtel.errors import CapabilityError, UsageError
from schedtel.lab.apt import DebianArchive, numbers

#: The oldest qemu whose virtual CPUs take turns evenly in virtual time (docs/lab.md).
OLDEST_QEMU = 10
DEFAULT_KERNEL = "6.18"
#: What stays the same from host to host, so that paths are not part of qemu's command line.
LINK = Path("qemu")
_SCRATCH = "scratch-"


@dataclass(frozen=True)
class Item:
    """Something to fetch.

    :param package: pattern of the package's name.
    :param suites: the suites to fetch from; the first one has the package itself.
    :param whole: with all that it depends on.
    """

    what: str
    package: str
    suites: tuple[str, ...]
    whole: bool = False


QEMU = Item("qemu", "qemu-system-x86", ("bookworm-backports", "bookworm"), whole=True)
BUSYBOX = Item("busybox", "busybox-static", ("bookworm",))
KERNEL_SUITES = {"6.18": "trixie-backports", "7.2": "sid"}


def kernel_item(version: str) -> Item:
    """The kernel of a version. Raises :class:`UsageError` for one that the lab does not know."""
    if version not in KERNEL_SUITES:
        known = " or ".join(KERNEL_SUITES)
        raise UsageError(f"cannot use kernel {version[:20]!r}: the lab has no such kernel (choose {known})")
    # From 7.x, the image is in linux-binary-…, and linux-image-… only depends on it.
    kind = "binary" if numbers(version) >= [7] else "image"
    return Item(f"kernel {version}", kernel_pattern(f"{version}.", kind), (KERNEL_SUITES[version],))


def items() -> list[Item]:
    """All that the lab fetches."""
    return [QEMU, BUSYBOX, *map(kernel_item, KERNEL_SUITES)]


def kernel_pattern(version: str, kind: str) -> str:
    """The name of the package with a kernel's image, of Debian's flavour for virtual machines.

    :param version: its beginning; empty for any.
    :param kind: ``binary`` or ``image``.
    """
    return rf"linux-{kind}-{re.escape(version)}[0-9].*-cloud-amd64"


# ---- the cache ----


def cache_directory() -> Path:
    """Where what was fetched is kept; remove it to have newer packages."""
    base = os.environ.get("XDG_CACHE_HOME")
    home = Path(base) if base and os.path.isabs(base) else Path.home() / ".cache"
    return home / "schedtel" / "lab"


def opened_cache() -> Path:
    """The cache, made if it is missing. Raises :class:`UsageError` if another user could replace what is in it."""
    directory = cache_directory()
    try:
        os.close(open_directory(directory))
    except OSError as error:
        raise CapabilityError(f"cannot use {directory}: {error.strerror} (set XDG_CACHE_HOME to another)") from error
    return directory


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in the cache that is gone when the context ends. Those of processes that were killed go, too."""
    with scratch_directory(opened_cache(), _SCRATCH) as directory:
        yield directory


def cached(item: Item) -> Path | None:
    """The newest directory of an item in the cache; None if there is none. Fetches nothing."""
    directory = cache_directory()
    try:
        names = os.listdir(directory)
    except OSError:
        return None
    found = [name for name in names if re.fullmatch(f"{item.package}_[^/]+", name)]
    return directory / max(found, key=numbers) if found else None


def fetched(item: Item, tell: Callable[[str], object] = lambda _: None) -> Path:
    """The directory of an item: the cached one, or else fetched.

    :param tell: called with a line before something is fetched.

    Raises :class:`CapabilityError` where it cannot be fetched.
    """
    place = cached(item)
    if place is not None:
        return place
    cache = opened_cache()
    tell(f"fetching {item.what} from Debian's {item.suites[0]}")
    with scratch() as directory:
        name, version = _unpack(item, directory)
        target = cache / f"{name}_{version.rpartition(':')[2]}"  # without its epoch
        try:
            (directory / "root").rename(target)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            # Another process was first: it has fetched the same.
    return target


def _unpack(item: Item, directory: Path) -> tuple[str, str]:
    """Name and version of the package, which is now in ``root``."""
    root, state = directory / "root", directory / "apt"
    root.mkdir(mode=0o700)
    archive = DebianArchive(item.suites, state)
    name = archive.newest(item.package)
    if name is None:
        raise CapabilityError(
            f"cannot fetch {item.what}: {item.suites[0]} has no such package any more (use another kernel)"
        )
    if item.whole:
        return name, archive.unpack_with_dependencies(name, item.suites[0], root)
    return name, archive.unpack(name, root)


# ---- what is inside ----


@dataclass(frozen=True)
class Qemu:
    """qemu as it was unpacked. It runs with its own C library, so it does not depend on the host's."""

    root: Path

    @property
    def version(self) -> str:
        """Such as ``10.0.2``."""
        found = re.search(r"_([0-9.]*[0-9])", self.root.name)
        return found.group(1) if found else ""

    def command(self) -> list[str]:
        """The words that begin its command line, in a directory where ``LINK`` leads to it."""
        libraries = ":".join(str(LINK / place) for place in _LIBRARIES)
        # Not by lib64, where the package has a link to the host's.
        loader = [str(LINK / _LIBRARIES[0] / "ld-linux-x86-64.so.2"), "--library-path", libraries]
        return [*loader, str(LINK / "usr/bin/qemu-system-x86_64"), *_FIRMWARE]

    def environment(self) -> dict[str, str]:
        """The variables that it gets: no others, so that none of the user's changes a run."""
        return {"QEMU_MODULE_DIR": str(LINK / _MODULES), "LC_ALL": "C", "PATH": "/nowhere"}


_LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu")
_FIRMWARE = ("-L", str(LINK / "usr/share/qemu"), "-L", str(LINK / "usr/share/seabios"))
_MODULES = "usr/lib/x86_64-linux-gnu/qemu"


def qemu_in(place: Path) -> Qemu:
    """The qemu of a directory. Raises :class:`CapabilityError` for one that is too old."""
    qemu = Qemu(place)
    if numbers(qemu.version)[:1] < [OLDEST_QEMU]:
        raise CapabilityError(
            f"cannot use qemu {qemu.version}: virtual time needs {OLDEST_QEMU} or newer (remove {place})"
        )
    return qemu


def image_in(place: Path) -> Path:
    """The image of a kernel's package. Raises :class:`CapabilityError` if there is none."""
    # /boot/vmlinuz-…, or /usr/lib/modules/…/vmlinuz from 7.x
    image = next((path for path in sorted(place.rglob("vmlinuz*")) if path.is_file()), None)
    if image is None:
        raise CapabilityError(f"cannot boot {place.name}: it has no vmlinuz in it (remove {place})")
    return image
