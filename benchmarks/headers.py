"""Kernel headers for the peers that compile at run time, bcc and bpftrace: the tree that schedtel's bcc backend finds.

Where only another version's are installed, those serve: programs that touch nothing but tracepoint arguments compile
with them and cost the same; what such a peer prints may be wrong.
"""

import platform
from functools import cache
from pathlib import Path

from schedtel.errors import CapabilityError
from schedtel.kernel.bcc import headers


@cache
def _found() -> tuple[str, Path | None] | None:
    try:
        return headers.find_headers()
    except CapabilityError:
        return None


def are_there() -> bool:
    """True where there are headers of some version."""
    return _found() is not None


def environment() -> dict[str, str]:
    """What tells bcc and bpftrace where the tree is; empty when they find it by themselves."""
    tree = _found()[1] if _found() else None
    return {name: str(tree) for name in ("BCC_KERNEL_SOURCE", "BPFTRACE_KERNEL_SOURCE") if tree}


def note() -> str:
    """What a reader of the results should know of the tree; empty when it is the running kernel's."""
    found = _found()
    if found is None:
        return "no kernel headers (apt install linux-headers-$(uname -r))"
    tree = found[1]
    path = tree / "include" / "config" / "kernel.release" if tree else None
    release = path.read_text().strip() if path and path.exists() else ""
    return "" if release in ("", platform.release()) else f"compiled with the headers of Linux {release}"
