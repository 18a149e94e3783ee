"""A command and files in; its status, its output and what it left in ``/out``, out.

Its words are those of the guest: ``schedtel``, ``python3`` and busybox's programs are there.
"""

import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from schedtel.errors import CollectorError, UsageError
from schedtel.lab import initramfs, packages
from schedtel.lab.kvm import refuse_without_kvm
from schedtel.lab.machine import Answer, Boot, Machine

#: Where a command begins, and what the relative paths of an experiment are relative to.
DIRECTORY = "/root"
#: How many CPUs a guest may have.
CPUS = (1, 2)
_JOB = "/job.json"


def machine(kernel: str, cpus: int, tell: Callable[[str], object] = lambda _: None, *, kvm: bool = False) -> Machine:
    """A guest with one of the lab's kernels; what is missing in the cache is fetched.

    :param kernel: such as ``6.18``.
    :param cpus: 1 or 2.
    :param tell: called with a line before something takes long.
    :param kvm: in real time, on this host's CPUs.

    Raises :class:`UsageError` for another kernel or number, and :class:`CapabilityError` where something is missing.
    """
    if cpus not in CPUS:
        raise UsageError(f"cannot give a guest {cpus} CPUs: the lab is measured with one and two (use --cpus 1 or 2)")
    item = packages.kernel_item(kernel)
    initramfs.refuse_other_machines()
    if kvm:
        refuse_without_kvm()
    qemu = packages.qemu_in(packages.fetched(packages.QEMU, tell))
    image = packages.image_in(packages.fetched(item, tell))
    return Machine(qemu, image, initramfs.archive(packages.fetched(packages.BUSYBOX, tell)), cpus, kvm=kvm)


def job_file(command: Sequence[str], terminal: Mapping[str, str | int] | None = None) -> dict[str, bytes]:
    """The file that tells the guest what to run.

    :param terminal: its ``rows``, ``columns`` and ``TERM``, for a command that is joined to one.
    """
    if not command:
        raise UsageError("cannot run nothing: a COMMAND is missing (write it behind --)")
    job = {"command": list(command), "directory": DIRECTORY, **({"terminal": dict(terminal)} if terminal else {})}
    return {_JOB: json.dumps(job, sort_keys=True).encode()}


def run_command(
    boot: Boot,
    command: Sequence[str],
    tell: Callable[[bytes, bytes], object],
    timeout_s: float,
    files: Mapping[str, bytes],
) -> Answer | None:
    """Run a command in a guest. None if it was stopped. See :meth:`Boot.run` for what it raises.

    :param files: what the guest has besides, by paths.
    """
    return boot.run({**files, **job_file(command)}, tell, timeout_s)


def unpack_results(directory: Path, target: Path) -> None:
    """Unpack what a guest's command left in ``/out``. Raises :class:`CollectorError` where that is damaged."""
    try:
        with tarfile.open(directory / "results") as archive:
            archive.extractall(target, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise CollectorError(f"cannot read the guest's results: {error} (run it again)") from error
