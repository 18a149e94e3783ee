"""This kernel's configuration, its command line and debugfs in; which model of preemption it has, out.

The model decides when a CPU leaves a thread for one that has woken: ``none`` and ``voluntary`` at the next return to
user mode; ``full`` at once; ``lazy``, for threads of the fair classes, without an interrupt for another CPU, so at its
next return to user mode or tick.
"""

import gzip
import platform
import re
from collections.abc import Callable
from pathlib import Path

#: As the kernel's parameter preempt= has them.
MODELS = ("none", "voluntary", "full", "lazy")
_CONFIGURED = {"none": "PREEMPT_NONE", "voluntary": "PREEMPT_VOLUNTARY", "lazy": "PREEMPT_LAZY", "full": "PREEMPT"}


def preemption_model(root: Path = Path("/")) -> str | None:
    """The model of this kernel, one of ``MODELS``; None where the kernel does not say.

    :param root: where ``proc``, ``sys`` and ``boot`` are.
    """
    sources: tuple[tuple[str, Callable[[bytes], bytes], Callable[[str], str | None]], ...] = (
        ("sys/kernel/debug/sched/preempt", bytes, lambda text: _first(r"\((\w+)\)", text)),
        ("proc/cmdline", bytes, lambda text: _first(r"(?:^|\s)preempt=(\w+)", text)),
        ("proc/config.gz", gzip.decompress, _configured),
        (f"boot/config-{platform.release()}", bytes, _configured),
    )
    for name, unpack, model in sources:
        try:
            found = model(unpack((root / name).read_bytes()).decode(errors="replace"))
        except (OSError, EOFError):
            continue
        if found in MODELS:
            return found
    return None


def _first(pattern: str, text: str) -> str | None:
    found = re.search(pattern, text)
    return found[1] if found else None


def _configured(text: str) -> str | None:
    return next((model for model, name in _CONFIGURED.items() if f"\nCONFIG_{name}=y\n" in f"\n{text}\n"), None)
