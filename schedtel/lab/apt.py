"""Names of Debian packages in; what is in them, in a directory of ours, out.

apt fetches with a configuration and a state of its own, so this needs no root and does not touch the host's package
lists. The mirror is the one of the host's configuration. apt verifies what it fetches against the Debian archive
keyring.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from schedtel.errors import CapabilityError

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PROGRAMS = ("apt-get", "apt-cache", "dpkg-deb")
_PATIENCE_S = 600
_MOST_TOLD = 300


class DebianArchive:
    """Suites of the host's Debian mirror.

    :param suites: such as ``bookworm-backports``.
    :param state: an empty directory for package lists and packages; the caller removes it.

    Raises :class:`CapabilityError` where apt, its keyring or a mirror is missing, or a list cannot be fetched.
    """

    def __init__(self, suites: Iterable[str], state: Path) -> None:
        refuse_without_apt()
        self._state = state
        for name in ("lists/partial", "cache/archives/partial"):
            (state / name).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()
        source = f"deb [arch=amd64 signed-by={KEYRING}] {mirror()}"
        (state / "sources.list").write_text("".join(f"{source} {suite} main\n" for suite in suites))
        self._run("apt-get", "update")

    def newest(self, pattern: str) -> str | None:
        """The package whose name matches a pattern; of several, the one with the highest numbers. None: there is none.

        The pattern has a fixed beginning of three characters at least.
        """
        beginning = re.match(r"[a-z-]{3,}", pattern)
        names = self._run("apt-cache", "pkgnames", beginning.group() if beginning else "").split()
        found = [name for name in names if re.fullmatch(pattern, name)]
        return max(found, key=numbers) if found else None

    def unpack(self, package: str, target: Path) -> str:
        """Unpack one package into a directory; returns the package's version."""
        self._run("apt-get", "download", package, directory=self._downloads)
        return self._unpack_all(package, target)

    def unpack_with_dependencies(self, package: str, suite: str, target: Path) -> str:
        """Unpack a package of a suite and all that it depends on, the C library included; returns its version."""
        self._run(
            *("apt-get", "install", "--yes", "--download-only", "--no-install-recommends"),
            *("--target-release", suite, package),
        )
        return self._unpack_all(package, target)

    @property
    def _downloads(self) -> Path:
        return self._state / "cache/archives"

    def _unpack_all(self, package: str, target: Path) -> str:
        version = ""
        for path in sorted(self._downloads.glob("*.deb")):
            self._run("dpkg-deb", "--extract", str(path), str(target), options=False)
            name, of_this, _ = path.stem.split("_")
            version = of_this.replace("%3a", ":") if name == package else version
            path.unlink()
        return version

    def _run(self, *command: str, directory: Path | None = None, options: bool = True) -> str:
        given = [word for option in self._options() for word in ("-o", option)] if options else []
        what = " ".join(command[:2])
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
            raise CapabilityError(f"cannot fetch: {what} took more than {_PATIENCE_S} s (check the network)") from None
        except subprocess.CalledProcessError as error:
            complaint = (error.stderr.strip() or "no message").splitlines()[-1][:_MOST_TOLD]
            raise CapabilityError(f"cannot fetch: {what} failed: {complaint} (check the mirror)") from None

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
            # A mirror may lag behind. Its packages are signed all the same, and run only in and as a guest.
            "Acquire::Check-Valid-Until=false",
            "APT::Architecture=amd64",
            "APT::Architectures::=amd64",
            "APT::Get::AllowUnauthenticated=false",
            "APT::Sandbox::User=root",  # no other user can write into our cache
            "APT::Update::Error-Mode=any",  # a list that cannot be fetched is an error, not a warning
            "Debug::NoLocking=true",
        ]


def numbers(text: str) -> list[int]:
    """The numbers in the name of a package or in a version, to compare by."""
    return [int(number) for number in re.findall(r"[0-9]+", text)]


def refuse_without_apt() -> None:
    """Raise :class:`CapabilityError` where packages cannot be fetched, whatever the network."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        raise CapabilityError(
            f"cannot fetch Debian packages: no program {absent[0]} here (use Debian, or its container)"
        )
    if not KEYRING.exists():
        raise CapabilityError(
            f"cannot fetch Debian packages: {KEYRING} is missing (apt install debian-archive-keyring)"
        )


def mirror() -> str:
    """The host's own Debian mirror. Raises :class:`CapabilityError` where apt knows none."""
    command = ["apt-get", "indextargets", "--format", "$(ORIGIN)\t$(LABEL)\t$(REPO_URI)", "Created-By: Packages"]
    lines = subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()
    found = [line.split("\t")[2] for line in lines if line.startswith("Debian\tDebian\t")]
    if not found:
        raise CapabilityError("cannot fetch: apt knows no Debian mirror here (is it Debian? try `apt-get update`)")
    return found[0]
