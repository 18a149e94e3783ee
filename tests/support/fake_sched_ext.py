"""A directory in the place of /sys/kernel/sched_ext."""

from pathlib import Path


def made_sysfs(folder: Path, enable_seq: int = 0) -> Path:
    """That of a kernel with sched_ext and no scheduler attached, which has had so many."""
    path = folder / "sched_ext"
    path.mkdir()
    (path / "state").write_text("disabled\n")
    (path / "enable_seq").write_text(f"{enable_seq}\n")
    return path
