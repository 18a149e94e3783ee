"""One guest: a kernel and an archive in, the results of its checks out.

qemu emulates the machine, without /dev/kvm and root. One thread runs all virtual CPUs: with one for each, some kernels
oops.
"""

import json
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kernels import UnavailableError

from schedtel.lab.machine import CPU, KERNEL_WORDS

QEMU = "qemu-system-x86_64"
NEEDED = (QEMU, "busybox", "setpriv")
#: A guest takes a minute where nothing else runs. A guest that hangs does not end by itself.
PATIENCE_S = 1200
#: The emulated cmpxchg16b of older qemus leaves wrong flags behind (7.2 does, 10.0 does not): programs may see it, the
#: kernel must not use it.
_WITHOUT_CX16 = "clearcpuid=141"
#: Without it, recent kernels give BPF programs memory from checked caches only (kmalloc_nolock(), mm/slub.c).
_UNCHECKED_CACHES = "slab_debug=F,kmalloc-*"


@dataclass(frozen=True)
class Outcome:
    """``results``: the guest's results, in order; ``console``: messages of the kernel and of Python."""

    results: list[dict[str, str]]
    console: str
    ending: str

    def of(self, backend: str) -> dict[str, dict[str, str]]:
        """One backend's results by check."""
        return {result["check"]: result for result in self.results if result.get("backend") == backend}

    @property
    def release(self) -> str:
        return self.results[0]["found"]

    @property
    def finished(self) -> bool:
        return self.results[-1]["check"] == "finished"


def missing() -> str:
    """What keeps this machine from booting guests; empty when nothing does."""
    if platform.machine() != "x86_64":
        return f"needs an x86-64 machine, whose Python the guest borrows, and this is {platform.machine()}"
    absent = [program for program in NEEDED if shutil.which(program) is None]
    return f"needs {' and '.join(absent)} (scripts/vm-packages)" if absent else ""


def boot(image: Path, archive: Path, words: tuple[str, ...], scratch: Path) -> Outcome:
    """Run a guest to its end; ``words`` are added to the kernel's command line.

    Raises :class:`UnavailableError` when the guest wrote no result.
    """
    console, results = scratch / "console", scratch / "results"
    command = [QEMU, "-machine", "q35", "-accel", "tcg,thread=single", "-cpu", CPU, "-smp", "2", "-m", "2G"]
    command += ["-nodefaults", "-nographic", "-no-reboot", "-net", "none"]
    command += ["-serial", f"file:{console}", "-serial", f"file:{results}"]
    command += ["-kernel", str(image), "-initrd", str(archive)]
    command += ["-append", " ".join([*KERNEL_WORDS, _WITHOUT_CX16, _UNCHECKED_CACHES, *words])]
    ending = _run(command)
    outcome = Outcome(_parsed(results), _text(console)[-6000:], ending)
    if not outcome.results:
        raise UnavailableError(f"the guest did not start, {ending}: {_last_line(outcome.console)}")
    return outcome


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, timeout=PATIENCE_S, check=False, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return f"stopped after {PATIENCE_S} s"
    return f"qemu said {_last_line(done.stderr)}" if done.returncode else "powered off"


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["nothing"])[-1]


def _parsed(path: Path) -> list[dict[str, str]]:
    """The results of complete lines; a guest that died may have left half a line."""
    return [json.loads(line) for line in _text(path).splitlines() if line.startswith("{") and line.endswith("}")]
