"""A directory in the place of /sys/kernel/sched_ext, and scripts in that of a scheduler's loader."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from schedtel.schedulers.sched_ext import Attached, Loader


def made_sysfs(folder: Path, enable_seq: int = 0) -> Path:
    """That of a kernel with sched_ext and no scheduler attached, which has had so many."""
    path = folder / "sched_ext"
    path.mkdir()
    (path / "state").write_text("disabled\n")
    (path / "enable_seq").write_text(f"{enable_seq}\n")
    return path


def attaches(sysfs: Path | str, ops: str) -> str:
    """A shell's script that makes such a directory show a scheduler, and show it no more when it is told to end.

    It can be told so as soon as the scheduler is seen, so the trap is set first: a shell that ended without it would
    leave a scheduler that nobody detaches.
    """
    return f"""
cd {sysfs}; trap 'echo disabled > state; rm -rf root; exit 0' TERM
mkdir -p root; echo "{ops}" > root/ops; echo enabled > state; echo $(($(cat enable_seq) + 1)) > enable_seq
echo 'fake: scheduling' >&2; while :; do sleep 0.02; done
"""


@contextmanager
def attaching(sysfs: Path) -> Iterator[Callable[[Loader, float], Attached]]:
    """What attaches a scheduler by its loader; the loaders' processes are ended afterwards."""
    made: list[Attached] = []

    def attach(loader: Loader, timeout_s: float) -> Attached:
        made.append(Attached(loader, sysfs, timeout_s))
        made[-1].attach()
        return made[-1]

    yield attach
    for one in made:
        if one._process:
            one._process.kill()
            one._process.wait()
