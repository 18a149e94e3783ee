"""A machine and files in; the state in which its guest waits for a job, from the cache, out.

    ~/.cache/schedtel/lab/snapshot-DIGEST/memory     the guest's memory; runs map it, and change their own copies
    ~/.cache/schedtel/lab/snapshot-DIGEST/devices    its CPUs and devices, as qemu saves them

A snapshot is taken where a watchdog has stopped the guest in virtual time while all CPUs were idle, so a second one of
the same boot is the same. A job's files come through memory that is shared with the guest and not part of the snapshot.
"""

import hashlib
import io
import os
import tarfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from schedtel.access.scratch import remove_unused
from schedtel.errors import CollectorError, UsageError
from schedtel.lab import packages
from schedtel.lab.machine import MEMORY, SHARED, Bootable, Machine, WholeBoot, last_words, started
from schedtel.lab.monitor import Monitor, order
from schedtel.lab.packages import LINK
from schedtel.lab.waiting_room import LENGTH_SIZE, SHARED_SIZE

_NAME = "snapshot-"
_DEVICES = "devices"
#: One that was not used for so long is removed when another is taken.
_KEPT_S = 6 * 3600
_HALTED = "HLT=1"
#: Neither the memory, which is a file already, nor what is shared with the host is among what qemu saves and loads.
_WITHOUT_MEMORY = {"capabilities": [{"capability": "x-ignore-shared", "state": True}]}
#: What qemu is told before a guest goes on: a file, which it reads to its end before the guest's first instruction.
_ORDERS = "orders"
_LOADING = (
    order("qmp_capabilities"),
    order("migrate-set-capabilities", _WITHOUT_MEMORY),
    order("migrate-incoming", {"uri": f"file:{_DEVICES}"}),
)


@dataclass(frozen=True)
class Snapshot:
    """A machine whose guest waits for its job. Its memory and its devices are in a directory."""

    machine: Machine
    directory: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables that qemu gets."""
        return self.machine.environment

    def command(self) -> list[str]:
        """qemu's command line, in the directory that :meth:`prepare` prepares."""
        command = [*self.machine.hardware("share=off,readonly=on,rom=off"), "-incoming", "defer"]
        command += ["-chardev", f"file,id=monitor,path=/dev/null,input-path={_ORDERS}"]
        return [*command, "-mon", "chardev=monitor,mode=control"]

    def prepare(self, files: Mapping[str, bytes], directory: Path) -> None:
        """Put into an empty directory what the command line names.

        :param files: what the guest gets when it goes on, by paths. Raises :class:`UsageError` if that is too much.
        """
        (directory / LINK).symlink_to(self.machine.qemu.root)
        for name in (MEMORY, _DEVICES):
            (directory / name).symlink_to(self.directory / name)
        (directory / _ORDERS).write_text("".join(_LOADING))
        (directory / SHARED).write_bytes(_shared(files))
        os.utime(self.directory)


def snapshot(
    machine: Machine,
    files: Mapping[str, bytes],
    tell: Callable[[str], object] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
    timeout_s: float = 600,
) -> Snapshot | None:
    """The snapshot of a machine with files, from the cache or taken now. None if it was stopped.

    :param files: what all its jobs have, by paths in the guest.
    :param tell: called with a line before one is taken.
    :param stopped: asked now and then whether to give up.

    Raises :class:`CollectorError` where the guest does not come to wait for a job.
    """
    target = packages.opened_cache() / f"{_NAME}{_digest(machine, files)}"
    if not target.exists():
        tell("booting a guest once, for a snapshot that all runs begin from")
        with packages.scratch() as directory:
            if not _take(machine, files, directory, stopped, timeout_s):
                return None
            _remove_older()
            _keep(directory, target)
    os.utime(target)
    return Snapshot(machine, target)


def beginning(
    machine: Machine,
    files: Mapping[str, bytes],
    tell: Callable[[str], object] = lambda _: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Bootable | None:
    """Where jobs of a machine begin: a snapshot; with KVM a boot each. For the parameters see :func:`snapshot`."""
    return WholeBoot(machine, files) if machine.kvm else snapshot(machine, files, tell, stopped)


def _digest(machine: Machine, files: Mapping[str, bytes]) -> str:
    """SHA-256 of all that decides what is in a snapshot; names of packages and of the archive have their versions."""
    said = [*machine.command(), machine.qemu.root.name, str(machine.image), machine.archive.name]
    digest = hashlib.sha256("\0".join(said).encode())
    for path, content in sorted(files.items()):
        digest.update(path.encode() + hashlib.sha256(content).digest())
    return digest.hexdigest()[:16]


def _take(
    machine: Machine, files: Mapping[str, bytes], directory: Path, stopped: Callable[[], bool], timeout_s: float
) -> bool:
    """Boot, and save the guest into the directory when it waits. False if it was stopped."""
    machine.prepare(files, directory)
    with Monitor(stopped, time.monotonic() + timeout_s) as monitor:
        process = started([*machine.command(), *monitor.words()], machine.environment, directory, monitor.passed())
        try:
            monitor.begin()
            while not _idle(monitor, machine.cpus):
                monitor.ask("cont")
                monitor.wait_for("WATCHDOG")
                monitor.wait_for("STOP")
            monitor.ask("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]})
            monitor.ask("migrate-set-capabilities", _WITHOUT_MEMORY)
            monitor.ask("migrate", {"uri": f"file:{_DEVICES}"})
            while monitor.wait_for("MIGRATION")["status"] not in ("completed", "failed"):
                pass
        except EOFError:
            if stopped():
                return False
            raise CollectorError(f"cannot boot a guest: {last_words(directory)} (see docs/lab.md)") from None
        except TimeoutError:
            raise CollectorError(f"cannot boot a guest: not done within {timeout_s:g} s (is this host busy?)") from None
        finally:
            process.kill()
            process.wait()
    return True


def _idle(monitor: Monitor, cpus: int) -> bool:
    """Whether all CPUs wait for an interrupt: else the moment in which they were stopped is not exact."""
    said = str(monitor.ask("human-monitor-command", {"command-line": "info registers -a"}))
    return said.count(_HALTED) == cpus


def _keep(directory: Path, target: Path) -> None:
    """Move the two files to where they appear together."""
    made = directory / "snapshot"
    made.mkdir(mode=0o700)
    for name in (MEMORY, _DEVICES):
        (directory / name).chmod(0o400)
        (directory / name).rename(made / name)
    with suppress(OSError):  # another process was first: its snapshot is the same
        made.rename(target)


def _remove_older() -> None:
    for path in packages.cache_directory().glob(f"{_NAME}*"):
        remove_unused(path, _KEPT_S)


def _shared(files: Mapping[str, bytes]) -> bytes:
    """A job as the guest finds it in the memory that it shares with the host."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(files.items()):
            about = tarfile.TarInfo(name.lstrip("/"))
            about.size, about.mode = len(content), 0o755
            archive.addfile(about, io.BytesIO(content))
    job = packed.getvalue()
    if len(job) > SHARED_SIZE - LENGTH_SIZE:
        raise UsageError(f"cannot give a guest {len(job)} bytes: {SHARED_SIZE - LENGTH_SIZE} is the most (use less)")
    return (len(job).to_bytes(LENGTH_SIZE, "big") + job).ljust(SHARED_SIZE, b"\0")
