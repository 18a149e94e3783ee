"""A kernel, an archive and a number of CPUs in; qemu, run to its end, and what its serial lines said, out.

Time in the guest follows the instructions that it has executed (-icount), so the load of the host changes only the
clock on the wall. Nothing from outside reaches the guest after its start: it has no disk, no network and no input. With
KVM, the host's CPUs execute it in real time.
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from schedtel.errors import CollectorError
from schedtel.host.parent import die_with
from schedtel.lab import cpio
from schedtel.lab.frames import RESULTS, STATUS, FrameReader
from schedtel.lab.packages import LINK, Qemu
from schedtel.lab.waiting_room import SHARED_SIZE
from schedtel.latch import Latch

#: Files in a guest's directory: its memory, and what it shares with the host.
MEMORY, SHARED = "memory", "shared"

#: One instruction takes 2^SHIFT ns: 500 million instructions a second, shared by all CPUs.
SHIFT = 1
#: Builds of numpy and pyarrow need x86-64-v2.
CPU = "qemu64,+cx16,+lahf_lm,+popcnt,+ssse3,+sse4.1,+sse4.2"
#: A timer in virtual time makes the CPUs take turns this often, in µs; else each keeps its turn for much longer.
_TURN_US = 100
KERNEL_WORDS = (
    "console=ttyS0",
    "quiet",
    "loglevel=3",
    # Any oops or panic ends the guest at once.
    "oops=panic",
    "panic=-1",
)
#: Addresses decide where things lie, and so in which order they are found.
_SAME_ADDRESSES = ("nokaslr", "norandmaps")
_POLL_S = 0.05
_MOST_CONSOLE = 6000
#: A job of another length leaves the guest's memory as it is, up to this size.
_JOB_MULTIPLE = 1 << 20


@dataclass(frozen=True)
class Machine:
    """A guest before its start.

    :param image: the kernel's.
    :param archive: what the guest starts from.
    :param cpus: how many CPUs it has; they take turns on one thread of the host.
    :param memory_mb: in MiB.
    :param kvm: real time instead of virtual time; see :func:`schedtel.lab.kvm.refuse_without_kvm`.
    :param preempt: the kernel's model of preemption; None: the one that it was built with.
    """

    qemu: Qemu
    image: Path
    archive: Path
    cpus: int = 1
    memory_mb: int = 2048
    kvm: bool = False
    preempt: str | None = None

    @property
    def name(self) -> str:
        """What decides how the guest runs: qemu, the kernel, CPUs, memory, and where its runs begin."""
        kernel = self.image.name if self.image.name != "vmlinuz" else f"vmlinuz-{self.image.parent.name}"
        clock = "kvm" if self.kvm else f"shift {SHIFT}, snapshot"
        model = f", preempt={self.preempt}" if self.preempt else ""
        return f"qemu {self.qemu.version}, {kernel}, {self.cpus} CPU, {self.memory_mb} MiB, {clock}{model}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that qemu gets."""
        return self.qemu.environment()

    def hardware(self, mapped: str = "share=on", *, interactive: bool = False) -> list[str]:
        """The beginning of qemu's command line, in the directory that :meth:`prepare` prepares: all but what it boots.

        :param mapped: how it maps the two files that are the guest's memory and what it shares with this host.
        :param interactive: the second serial line is qemu's stdin and stdout, and an idle guest waits in real time.

        It has no path of this host in it.
        """
        command = [*self.qemu.command(), "-machine", "q35,memory-backend=memory", *self._execution(interactive)]
        command += ["-cpu", CPU, "-smp", str(self.cpus), "-m", f"{self.memory_mb}M"]
        command += ["-object", f"memory-backend-file,id=memory,size={self.memory_mb}M,mem-path={MEMORY},{mapped}"]
        command += ["-nodefaults", "-nographic", "-no-reboot", "-rtc", "base=2026-01-01,clock=vm", "-seed", "1"]
        command += ["-device", "i6300esb,addr=10", "-action", "watchdog=pause"]
        command += ["-object", f"memory-backend-file,id=shared,size={SHARED_SIZE},mem-path={SHARED},{mapped}"]
        command += ["-device", "ivshmem-plain,memdev=shared,master=on,addr=11"]
        command += ["-global", "migration.store-global-state=off"]  # a snapshot goes on when it is loaded
        command += ["-global", "migration.announce-rounds=0"]  # a timer in real time would shorten CPUs' turns
        command += ["-chardev", "stdio,id=line,signal=off" if interactive else "file,id=line,path=answer"]
        return [*command, "-serial", "file:console", "-serial", "chardev:line"]

    def command(self, *, interactive: bool = False) -> list[str]:
        """qemu's command line for a boot. For ``interactive`` see :meth:`hardware`."""
        return [
            *self.hardware(interactive=interactive),
            "-kernel",
            "kernel",
            "-initrd",
            "initrd",
            "-append",
            " ".join((*KERNEL_WORDS, *_SAME_ADDRESSES, *([f"preempt={self.preempt}"] if self.preempt else []))),
        ]

    def _execution(self, interactive: bool) -> list[str]:
        """What executes the guest; without KVM, also its clock, and the timer for the CPUs' turns on one thread."""
        if self.kvm:
            return ["-accel", "kvm"]
        words = ["-accel", "tcg,thread=single", "-icount"]
        if interactive:  # the timer would not let an idle guest wait
            return [*words, f"shift={SHIFT},sleep=on"]
        words += [f"shift={SHIFT},sleep=off", "-netdev", "hubport,id=turns,hubid=0"]
        return [*words, "-object", f"filter-buffer,id=turn,netdev=turns,interval={_TURN_US}"]

    def prepare(self, files: Mapping[str, bytes], directory: Path) -> None:
        """Put into an empty directory what the command line of a boot names.

        :param files: what the guest has besides the archive, by paths.
        """
        (directory / LINK).symlink_to(self.qemu.root)
        (directory / "kernel").symlink_to(self.image)
        with open(directory / "initrd", "wb") as file:
            with open(self.archive, "rb") as archive:
                shutil.copyfileobj(archive, file, 1 << 22)
            cpio.pack_files(files, file, _JOB_MULTIPLE)


class Bootable(Protocol):
    """What qemu can start: a machine, which boots, or a snapshot of one, which goes on."""

    @property
    def environment(self) -> dict[str, str]: ...

    def command(self) -> list[str]: ...

    def prepare(self, files: Mapping[str, bytes], directory: Path) -> None: ...


@dataclass(frozen=True)
class WholeBoot:
    """A machine that boots with files, for a job that is there from the start."""

    machine: Machine
    files: Mapping[str, bytes]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that qemu gets."""
        return self.machine.environment

    def command(self) -> list[str]:
        """qemu's command line, in the directory that :meth:`prepare` prepares."""
        return self.machine.command()

    def prepare(self, files: Mapping[str, bytes], directory: Path) -> None:
        """Put into an empty directory what the command line names. ``files`` are the job's."""
        self.machine.prepare({**self.files, **files}, directory)


@dataclass(frozen=True)
class Answer:
    """What a guest said.

    :param status: the command's exit status, as a shell says it.
    :param console: the last messages of the kernel.
    """

    status: int
    console: str


def started(
    command: list[str],
    environment: Mapping[str, str],
    directory: Path,
    passed: Collection[int] = (),
    *,
    number: int = 0,
    interactive: bool = False,
) -> "subprocess.Popen[bytes]":
    """qemu, started in a directory. It ends when the calling thread does.

    All its threads get one CPU, which is another one for another ``number``: they take turns when the guest is idle.

    :param passed: descriptors that it keeps.
    :param interactive: its stdin and stdout are pipes: the guest's second serial line.
    """
    cpus = sorted(os.sched_getaffinity(0))
    with open(directory / "said", "wb") as said:
        return subprocess.Popen(
            command,
            cwd=directory,
            env=environment,
            pass_fds=passed,
            stdin=subprocess.PIPE if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE if interactive else said,
            stderr=said,
            start_new_session=True,  # Ctrl-C is for this process
            preexec_fn=partial(_confined, os.getpid(), {cpus[number % len(cpus)]}),  # noqa: PLW1509  (loaded before)
        )


def _confined(parent: int, cpus: set[int]) -> None:
    os.sched_setaffinity(0, cpus)
    die_with(parent)


class Boot:
    """One guest, from its start to its end. qemu ends when the thread that calls :meth:`run` does.

    :param machine: what is started.
    :param directory: an empty one.
    :param stopped: set it to end the guest at once.
    :param number: tells guests apart that run side by side, so that each has another CPU.
    """

    def __init__(self, machine: Bootable, directory: Path, stopped: Latch | None = None, number: int = 0) -> None:
        self._machine, self._directory, self._number = machine, directory, number
        self._stopped = stopped or Latch()

    def run(
        self,
        files: Mapping[str, bytes],
        tell: Callable[[bytes, bytes], object],
        timeout_s: float,
    ) -> Answer | None:
        """Boot, and wait until the guest has powered off. Returns None if it was stopped.

        :param files: of the job, by their paths in the guest.
        :param tell: gets kind and content of each frame of the command's output, as it comes.
        :param timeout_s: on the host's clock.

        What the command left in ``/out`` is in the file ``results`` of the directory, as a tar archive.

        Raises :class:`CollectorError` where the guest did not start, was not done in time, or ended early.
        """
        self._machine.prepare(files, self._directory)
        process = started(self._machine.command(), self._machine.environment, self._directory, number=self._number)
        try:
            return self._followed(process, tell, time.monotonic() + timeout_s, timeout_s)
        finally:
            process.kill()
            process.wait()

    def _followed(
        self, process: "subprocess.Popen[bytes]", tell: Callable[[bytes, bytes], object], end: float, timeout_s: float
    ) -> Answer | None:
        answer = self._directory / "answer"
        answer.touch()
        status, reader, ended = None, FrameReader(), False
        with open(answer, "rb") as arriving, open(self._directory / "results", "wb") as results:
            while not ended and not self._stopped.is_set():
                ended = process.poll() is not None  # what it wrote before is read below
                for kind, content in reader.feed(arriving.read()):
                    if kind == RESULTS:
                        results.write(content)
                    elif kind == STATUS:
                        status = int(content)
                    else:
                        tell(kind, content)
                if not ended and time.monotonic() > end:
                    raise CollectorError(
                        f"cannot go on in the guest: it was not done within {timeout_s:g} s (--timeout)"
                    )
                time.sleep(0 if ended else _POLL_S)
        if self._stopped.is_set():
            return None
        if status is None:
            raise CollectorError(f"cannot go on in the guest: it ended early ({last_words(self._directory)})")
        return Answer(status, _text(self._directory / "console"))


def last_words(directory: Path) -> str:
    """The last line of qemu or of the kernel in a guest's directory."""
    said = (_text(directory / name).strip() for name in ("said", "console"))
    return next(filter(None, said), "it said nothing").splitlines()[-1][:300]


def _text(path: Path) -> str:
    return path.read_text(errors="replace")[-_MOST_CONSOLE:] if path.exists() else ""
