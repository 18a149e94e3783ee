"""A tree of kernel headers for the peers that compile at run time: bcc and bpftrace.

They want the running kernel's. Where only another version's are installed, that one is used: programs that touch
nothing but tracepoint arguments compile with it, and cost the same; what they print may be wrong.
"""

import os
import platform
import subprocess
from functools import cache
from pathlib import Path

from benchmarks import builds

_SOURCES = Path("/usr/src")


@cache
def tree() -> Path | None:
    """A complete tree: the environment's, the running kernel's, or the newest installed one; None without any."""
    if given := os.environ.get("BCC_KERNEL_SOURCE"):
        return Path(given)
    own = Path("/lib/modules") / platform.release() / "build"
    if own.exists():
        return own
    common = sorted(_SOURCES.glob("linux-headers-*-common"))
    return _merged(common[-1]) if common else None


def _merged(common: Path) -> Path:
    """Debian splits its headers in two: links to the common part, and the architecture's on top."""
    target = builds.scratch() / "headers"
    machine = next(path for path in sorted(_SOURCES.glob(f"{common.name.removesuffix('common')}*")) if path != common)
    for part in (common, machine):
        # Links that exist are not made again: cp says so, and goes on.
        subprocess.run(["cp", "-rsn", f"{part}/.", str(target)], capture_output=True, check=False)
    return target


def environment() -> dict[str, str]:
    """What tells bcc and bpftrace where the tree is."""
    found = str(tree() or "")
    return {name: found for name in ("BCC_KERNEL_SOURCE", "BPFTRACE_KERNEL_SOURCE") if found}


def note() -> str:
    """What a reader of the results should know of the tree; empty when it is the running kernel's."""
    found = tree()
    if found is None:
        return "no kernel headers (apt install linux-headers-$(uname -r))"
    release = _release(found)
    return "" if release in ("", platform.release()) else f"compiled with the headers of Linux {release}"


def _release(found: Path) -> str:
    path = found / "include" / "config" / "kernel.release"
    return path.read_text().strip() if path.exists() else ""
