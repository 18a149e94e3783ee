"""What this process may do, as far as BPF asks for it."""

from schedtel.errors import CapabilityError

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
    """Raises :class:`CapabilityError` where :func:`missing_capabilities` finds any."""
    missing = missing_capabilities()
    if missing:
        raise CapabilityError(
            f"cannot load BPF programs: this user lacks {' and '.join(missing)} "
            "(run as root, or grant them: see `schedtel doctor`)"
        )
