"""What the kernel's own files count since boot, read without psutil and without schedtel."""

import os
from dataclasses import dataclass
from pathlib import Path

TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
SECTOR_BYTES = 512
#: The figures of a line of /proc/stat (proc(5)); `guest` is part of `user`.
_STAT = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")


def stat() -> dict[str, list[int]]:
    """/proc/stat: the name of each line and its figures."""
    lines = [line.split() for line in Path("/proc/stat").read_text(encoding="ascii").splitlines()]
    return {name: [int(figure) for figure in figures] for name, *figures in lines}


def memory() -> dict[str, int]:
    """/proc/meminfo in bytes."""
    lines = [line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines()]
    return {name.rstrip(":"): int(kilobytes) * 1024 for name, kilobytes, *_ in lines}


def disks() -> list[Path]:
    """Disks that are neither memory nor made of others."""
    names = [path for path in Path("/sys/block").iterdir() if not path.name.startswith(("loop", "ram", "zram"))]
    return [path for path in names if not any((path / "slaves").iterdir())]


@dataclass(frozen=True)
class Books:
    """Counts by the names that features have, but for the end of the name; and all switches and forks."""

    counts: dict[str, int]

    @classmethod
    def now(cls) -> "Books":
        lines = stat()
        cpu = dict(zip(_STAT, lines["cpu"], strict=False))
        vm = dict(line.split() for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines())
        moved = [[int(figure) for figure in (disk / "stat").read_text().split()] for disk in disks()]
        return cls(
            {
                "cpu_total_delta_ns": TICK_NS * sum(cpu[name] for name in _STAT if name not in ("idle", "iowait")),
                **{f"{name}_total_delta_ns": TICK_NS * cpu[name] for name in ("iowait", "irq", "softirq")},
                "swap_in_total_delta_bytes": int(vm["pswpin"]) * PAGE_BYTES,
                "swap_out_total_delta_bytes": int(vm["pswpout"]) * PAGE_BYTES,
                "io_read_total_delta_bytes": SECTOR_BYTES * sum(figures[2] for figures in moved),
                "io_written_total_delta_bytes": SECTOR_BYTES * sum(figures[6] for figures in moved),
                "switches": lines["ctxt"][0],
                "forks": lines["processes"][0],
            }
        )

    def since(self, before: "Books") -> dict[str, int]:
        return {name: count - before.counts[name] for name, count in self.counts.items()}
