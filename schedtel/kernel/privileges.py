"""This process's capabilities, or an error number, in; what it lacks for BPF, or what to do about the error, out."""

import errno
from pathlib import Path

from schedtel.errors import CapabilityError
from schedtel.host.namespaces import is_initial

_CAPABILITIES = {"CAP_PERFMON": 38, "CAP_BPF": 39}
_CAP_SYS_ADMIN = 21


def missing_capabilities() -> list[str]:
    """Which of CAP_BPF and CAP_PERFMON this process lacks; CAP_SYS_ADMIN stands for both."""
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        effective = next(int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    if effective >> _CAP_SYS_ADMIN & 1:
        return []
    return [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]


def require_capabilities() -> None:
    """Raises :class:`CapabilityError` if :func:`missing_capabilities` finds any."""
    missing = missing_capabilities()
    if missing:
        raise CapabilityError(
            f"cannot load BPF programs: this user lacks {' and '.join(missing)} "
            "(run as root, or grant them: see `schedtel doctor`)"
        )


_LOCKDOWN = Path("/sys/kernel/security/lockdown")
_OLD_KERNEL = "this kernel lacks a program type, map type, helper or field that it needs: see `schedtel doctor`"


def advice(number: int) -> str:
    """What to do about an error of bpf(2) or perf_event_open(2), for a user who has the privileges."""
    if number in {errno.EPERM, errno.EACCES}:
        return f"{_forbidden_by()}, though this user has the capabilities: ask the machine's administrator"
    if number in {errno.EINVAL, errno.EOPNOTSUPP, errno.ENOENT, errno.ESRCH}:
        return _OLD_KERNEL
    if number == errno.ENOMEM:
        return "not enough memory for the maps: use fewer --max-tasks, or a smaller --ring-size"
    return "run `schedtel doctor`"


def _forbidden_by() -> str:
    """The likely cause of a refusal: a user namespace, or lockdown if the kernel reports it; else a guess."""
    if not is_initial("user"):
        return "this process is in a user namespace, whose capabilities end at its border"
    try:
        mode = _LOCKDOWN.read_text().partition("[")[2].partition("]")[0]
    except OSError:
        mode = ""
    if mode == "confidentiality":
        return "the kernel is locked down (confidentiality)"
    return "a security module or a sandbox forbids it"
