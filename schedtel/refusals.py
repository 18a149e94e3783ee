"""Why a kernel says no: the number of an error in, what it means and what to do out."""

import errno
from pathlib import Path

_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_OLD_KERNEL = "this kernel lacks a program type, map type, helper or field that it needs: see `schedtel doctor`"


def advice(number: int) -> str:
    """What to do about an error of bpf(2) or perf_event_open(2), for a user who has the privileges."""
    if number in {errno.EPERM, errno.EACCES}:
        return f"{_who_forbids()}, though this user has the capabilities: ask whoever set it up"
    if number in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT, errno.ESRCH}:
        return _OLD_KERNEL
    if number == errno.ENOMEM:
        return "not enough memory for the maps: use fewer --max-tasks, or a smaller --ring-size"
    return "run `schedtel doctor`"


def _who_forbids() -> str:
    """Lockdown, where the kernel says so; else nobody tells."""
    try:
        mode = _LOCKDOWN.read_text().partition("[")[2].partition("]")[0]
    except OSError:
        mode = ""
    if mode == "confidentiality":
        return "the kernel is locked down (confidentiality)"
    return "a security module or a sandbox forbids it"
