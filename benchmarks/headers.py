"""Kernel headers for bcc and bpftrace, which compile at run time: the tree that schedtel's bcc backend finds.

If only headers of another kernel version are installed, the peers use those. Programs that read only tracepoint
arguments compile with them and cost the same, but the output of such a peer may be wrong.
"""

import atexit
import platform
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from schedtel.errors import CapabilityError
from schedtel.kernel.bcc import headers

#: Ends what the part of a benchmark has made, with the process.
_made = ExitStack()
atexit.register(_made.close)


@cache
def _found() -> tuple[headers.Headers, Path | None] | None:
    """The headers, and the tree to name for them."""
    try:
        found = headers.find_headers()
        return found, _made.enter_context(found.whole())
    except CapabilityError:
        return None


def are_there() -> bool:
    """Whether kernel headers of any version are installed."""
    return _found() is not None


def environment() -> dict[str, str]:
    """Environment variables that point bcc and bpftrace to the tree; empty if they find it by themselves."""
    tree = found[1] if (found := _found()) else None
    return {name: str(tree) for name in ("BCC_KERNEL_SOURCE", "BPFTRACE_KERNEL_SOURCE") if tree}


def note() -> str:
    """A note on the headers for the results; empty if they are the running kernel's."""
    found = _found()
    if found is None:
        return "no kernel headers (apt install linux-headers-$(uname -r))"
    tree = found[0].tree
    path = tree / "include" / "config" / "kernel.release" if tree else None
    release = path.read_text().strip() if path and path.exists() else ""
    return "" if release in ("", platform.release()) else f"compiled with the headers of Linux {release}"
