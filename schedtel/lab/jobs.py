"""A command and files in; its status, its output and what it left in ``/out``, out.

Its words are those of the guest: ``schedtel``, ``python3`` and busybox's programs are there.
"""

import io
import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from schedtel.errors import CollectorError, UsageError
from schedtel.host.preemption import MODELS, preemption_model
from schedtel.lab import initramfs, packages
from schedtel.lab.guest import JOB
from schedtel.lab.kvm import refuse_without_kvm
from schedtel.lab.machine import Machine

#: Where a command begins, and what the relative paths of an experiment are relative to.
DIRECTORY = "/root"
#: How many CPUs a guest may have.
CPUS = (1, 2)
#: Linux 7 has two models on x86-64; it boots with its own where it is told another one.
_WITHOUT_OLD_MODELS, _OLD_MODELS = ("7.2",), ("none", "voluntary")


def machine(
    kernel: str,
    cpus: int,
    tell: Callable[[str], object] = lambda _: None,
    *,
    kvm: bool = False,
    preempt: str | None = None,
) -> Machine:
    """A guest with one of the lab's kernels; what is missing in the cache is fetched.

    :param kernel: such as ``6.18``.
    :param cpus: 1 or 2.
    :param tell: called with a line before something takes long.
    :param kvm: in real time, on this host's CPUs.
    :param preempt: one of :data:`schedtel.host.preemption.MODELS`; None: the model that the kernel was built with.

    Raises :class:`UsageError` for another kernel, number or model, and :class:`CapabilityError` where something is
    missing.
    """
    if cpus not in CPUS:
        raise UsageError(f"cannot give a guest {cpus} CPUs: the lab is measured with one and two (use --cpus 1 or 2)")
    item = packages.kernel_item(kernel)
    if preempt not in (None, *_models(kernel)):
        raise UsageError(f"cannot give Linux {kernel} the preemption model {preempt}: it does not have it (drop it)")
    initramfs.refuse_other_machines()
    if kvm:
        refuse_without_kvm()
    qemu = packages.qemu_in(packages.fetched(packages.QEMU, tell))
    image = packages.image_in(packages.fetched(item, tell))
    return Machine(
        qemu, image, initramfs.archive(packages.fetched(packages.BUSYBOX, tell)), cpus, kvm=kvm, preempt=preempt
    )


def preemption_like_here(kernel: str) -> str | None:
    """This machine's model of preemption; None where it is not known, or the kernel does not have it."""
    model = preemption_model()
    return model if model in _models(kernel) else None


def _models(kernel: str) -> tuple[str, ...]:
    return tuple(model for model in MODELS if kernel not in _WITHOUT_OLD_MODELS or model not in _OLD_MODELS)


def job_file(command: Sequence[str], terminal: Mapping[str, str | int] | None = None) -> dict[str, bytes]:
    """The file that tells the guest what to run.

    :param terminal: its ``rows``, ``columns`` and ``TERM``, for a command that is joined to one.
    """
    if not command:
        raise UsageError("cannot run nothing: a COMMAND is missing (write it behind --)")
    return _job_file({"command": list(command), **({"terminal": dict(terminal)} if terminal else {})})


def module_file(module: str) -> dict[str, bytes]:
    """The file that tells the guest to run a module's ``main`` in a fork of its first process."""
    return _job_file({"module": module})


def _job_file(job: Mapping[str, object]) -> dict[str, bytes]:
    return {JOB: json.dumps({**job, "directory": DIRECTORY}, sort_keys=True).encode()}


def unpack_results(results: bytes, target: Path) -> None:
    """Unpack what a guest's command left in ``/out``. Raises :class:`CollectorError` where that is damaged."""
    try:
        with tarfile.open(fileobj=io.BytesIO(results)) as archive:
            archive.extractall(target, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise CollectorError(f"cannot read the guest's results: {error} (run it again)") from error
