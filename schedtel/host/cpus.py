"""CPU lists of /sys in; the numbers of the possible and the online CPUs out."""


def possible_cpus() -> int:
    """One more than the highest CPU number the kernel may ever use."""
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        return int(file.read().strip().replace(",", "-").split("-")[-1]) + 1


def online_cpus() -> set[int]:
    """Numbers of the CPUs that are online."""
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        text = file.read().strip()
    cpus: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        cpus |= set(range(int(first), int(last or first) + 1))
    return cpus
