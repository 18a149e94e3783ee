"""Kernels to boot: a suite of the Debian archive in, a vmlinuz in the cache out.

The kernels are Debian's own, in its flavour for virtual machines. apt fetches them with a state of its own: that needs
no root, and does not touch the host's package lists. The mirror is the one of the host's configuration.
"""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_PATIENCE_S = 600


class UnavailableError(Exception):
    """Why a kernel cannot be tried here; never a defect of schedtel."""


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
            return _cached(directory) or _Archive(suite, directory).fetch()
        except UnavailableError as reason:
            reasons.append(f"{suite.name}: {reason}")
    raise UnavailableError("; ".join(reasons))


def _cached(directory: Path) -> Path | None:
    return next(iter(sorted(directory.glob("vmlinuz-*"))), None)


class _Archive:
    """One suite of the host's Debian mirror, with package lists and cache in a directory of ours."""

    def __init__(self, suite: Suite, directory: Path) -> None:
        for needed in ("apt-get", "dpkg-deb"):
            if shutil.which(needed) is None:
                raise UnavailableError(f"needs {needed} to fetch kernels")
        self._suite, self._target = suite, directory
        self._state = directory / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (self._state / name).mkdir(parents=True, exist_ok=True)
        (self._state / "status").touch()
        line = f"deb [arch=amd64 signed-by={KEYRING}] {_mirror()} {suite.name} main\n"
        (self._state / "sources.list").write_text(line)

    def fetch(self) -> Path:
        self._run("apt-get", "update")
        package = self._package()
        with tempfile.TemporaryDirectory(dir=self._target) as scratch:
            self._run("apt-get", "download", package, directory=scratch)
            (archive,) = Path(scratch).glob("*.deb")
            self._run("dpkg-deb", "--extract", str(archive), scratch, options=False)
            # /boot/vmlinuz-…, or /usr/lib/modules/…/vmlinuz from 7.x
            image = next((path for path in sorted(Path(scratch).rglob("vmlinuz*")) if path.is_file()), None)
            if image is None:
                raise UnavailableError(f"{package} has no vmlinuz in it")
            shutil.rmtree(self._state)
            return image.rename(self._target / f"vmlinuz-{package.split('-', 2)[2]}")

    def _package(self) -> str:
        """The package that has the image: from 7.x, linux-image-… only depends on it."""
        names = self._run("apt-cache", "pkgnames", "linux-").split()
        for kind in ("binary", "image"):
            pattern = rf"linux-{kind}-{re.escape(self._suite.version)}[0-9].*-cloud-amd64"
            found = [name for name in names if re.fullmatch(pattern, name)]
            if found:
                return max(found, key=_version)
        raise UnavailableError(f"has no package linux-image-{self._suite.version}…-cloud-amd64")

    def _run(self, *command: str, directory: str | None = None, options: bool = True) -> str:
        given = [word for option in self._options() for word in ("-o", option)] if options else []
        try:
            return subprocess.run(
                [command[0], *given, *command[1:]],
                cwd=directory,
                timeout=_PATIENCE_S,
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        except subprocess.TimeoutExpired:
            raise UnavailableError(f"{' '.join(command[:2])} took more than {_PATIENCE_S} s") from None
        except subprocess.CalledProcessError as error:
            complaint = (error.stderr.strip() or "no message").splitlines()[-1]
            raise UnavailableError(f"{' '.join(command[:2])} failed: {complaint}") from None

    def _options(self) -> list[str]:
        state = self._state
        return [
            f"Dir::Etc::sourcelist={state}/sources.list",
            f"Dir::Etc::sourceparts={state}/none",
            f"Dir::State={state}",
            f"Dir::State::lists={state}/lists",
            f"Dir::State::status={state}/status",
            f"Dir::Cache={state}/cache",
            "Acquire::Languages=none",
            # A mirror may lag behind. Its packages are signed all the same, and the kernel boots only in a guest.
            "Acquire::Check-Valid-Until=false",
            "APT::Architecture=amd64",
            "APT::Sandbox::User=root",  # no other user can write into our cache
            "APT::Update::Error-Mode=any",  # a list that cannot be fetched is an error, not a warning
            "Debug::NoLocking=true",
        ]


def _version(package: str) -> list[int]:
    return [int(number) for number in re.findall(r"[0-9]+", package)]


def _mirror() -> str:
    """The host's own Debian mirror."""
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN)\t$(LABEL)\t$(REPO_URI)", "Created-By: Packages"]
    lines = subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()
    found = [line.split("\t")[2] for line in lines if line.startswith("Debian\tDebian\t")]
    if not found:
        raise UnavailableError("apt knows no Debian mirror here (is this Debian, and was `apt-get update` run?)")
    return found[0]
