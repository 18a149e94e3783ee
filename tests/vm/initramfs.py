"""Schedtel as the lab packs it, and the checks, in; the archive that the guests of tests/vm run from, out."""

import shutil
from pathlib import Path

from schedtel.lab import cpio
from schedtel.lab.copying import (
    copy,
    copy_program,
    copy_python,
    copy_schedtel,
    copy_shared_objects,
    interpreter_of_guest,
    make_root,
)
from schedtel.lab.initramfs import compile_modules, shared_objects

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SUPPORT = HERE.parent / "support"
#: Modules of the standard library that schedtel imports late.
_IMPORTED_LATE = ("encodings.idna", "grp", "pwd", "resource", "select", "statistics", "subprocess", "threading")
#: What the checks share with the tests of the running kernel.
_SHARED = ("books_at_rest", "observe", "probe", "traced_events", "waiting")
__all__ = ["HERE", "ROOT", "SUPPORT", "archive", "copy", "copy_program", "interpreter_of_guest", "pack"]


def pack(scratch: Path, workload: str) -> Path:
    """Build the archive in an empty directory; returns its path."""
    root = scratch / "root"
    make_root(root, ("guest",))
    copy_python(root)
    copy_schedtel(root)
    for path in (*HERE.glob("guest*.py"), *(SUPPORT / f"{name}.py" for name in _SHARED)):
        copy(path, root, f"guest/{path.name}")
    copy_shared_objects(shared_objects(_IMPORTED_LATE), root)
    _pack_programs(root, workload)
    compile_modules(root)
    return archive(root, scratch / "initrd.cpio")


def _pack_programs(root: Path, workload: str) -> None:
    copy(Path(shutil.which("busybox")), root, "usr/bin/busybox")
    copy_program(Path(shutil.which("setpriv")), root)
    copy(Path(workload), root, "usr/bin/schedtel-load")
    # The kernel names a task after the file that it executes.
    (root / "usr/bin/renamed-load").symlink_to("schedtel-load")
    copy(HERE / "guest-init", root, "init")
    (root / "init").chmod(0o755)


def archive(root: Path, target: Path) -> Path:
    """Pack a tree."""
    with open(target, "wb") as file:
        cpio.pack_tree(root, file)
    return target
