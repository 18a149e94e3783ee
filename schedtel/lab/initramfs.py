"""Python, schedtel and the libraries of both in; the archive that every guest of the lab starts from, out.

The archive is kept in the cache under a digest of what is in it. So a second run packs nothing, and two runs of one
installation start from the same bytes.
"""

import hashlib
import json
import os
import platform
import struct
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from schedtel.errors import CapabilityError
from schedtel.lab import copying, cpio, packages

#: Raise it when the archive's layout changes.
_LAYOUT = 1
_NAME = "initramfs-"
#: An archive has a quarter of a gigabyte. One that was not used for so long is removed when another is packed.
_KEPT_S = 2 * 24 * 3600
#: Modules of the standard library that schedtel imports late.
_IMPORTED_LATE = ("encodings.idna", "grp", "pwd", "resource", "select", "statistics", "subprocess", "tarfile", "tty",
                  "zoneinfo")  # fmt: skip
#: Imports all that a guest will import, and prints which shared objects that maps: there is no list to keep, and no
#: unused object. What needs an extra that is not installed is nothing for a guest. A guest neither simulates nor
#: learns, so what that takes counts as not installed: numba alone would make its archive half as large again.
_PROBE = """
import importlib, json, pkgutil, sys
import click, decimal, numpy.random, pyarrow.compute, pyarrow.flight, pyarrow.parquet, rich.live
import schedtel, schedtel.cli
from schedtel.errors import CapabilityError
from schedtel.kernel.libbpf import libbpf
sys.modules.update(dict.fromkeys(("numba", "ortools", "torch")))
for package in (schedtel, schedtel.cli):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:
                if error.name.partition(".")[0] == "schedtel":
                    raise
            except CapabilityError as error:
                if not isinstance(error.__context__, ModuleNotFoundError):
                    raise
for name in sys.argv[1:]:
    importlib.import_module(name)
libbpf()
with open("/proc/self/maps") as file:
    paths = {line.split(maxsplit=5)[5].strip() for line in file if line.count("/")}
print(json.dumps(sorted(path for path in paths if ".so" in path)))
"""
#: UTC as a file of tzfile(5), version 1: no transitions, and one type of local time. pyarrow asks for it.
_UTC = struct.pack(">5s15x6l", b"TZif", 0, 0, 0, 0, 1, 4) + struct.pack(">l2B4s", 0, 0, 0, b"UTC")
_COMMAND = """#!/usr/bin/python3
from schedtel.cli import main
main()
"""
_INIT = """#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/sbin HOME=/root LANG=C.UTF-8 PYTHONPATH=/packages PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1
mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mkdir -p /dev/pts
mount -t devpts none /dev/pts
mount -t cgroup2 none /sys/fs/cgroup
mount -t tracefs none /sys/kernel/tracing
exec >/dev/ttyS0 2>&1
hostname lab
ip link set lo up
exec python3 -P /packages/schedtel/lab/guest.py
"""


def archive(busybox: Path) -> Path:
    """The archive, from the cache or packed now.

    :param busybox: where Debian's package of it was unpacked.

    Raises :class:`CapabilityError` where something that belongs into it is missing.
    """
    objects = shared_objects(_IMPORTED_LATE)
    target = packages.opened_cache() / f"{_NAME}{_digest(objects, busybox)}.cpio"
    if not target.exists():
        with packages.scratch() as scratch:
            _pack(scratch / "root", objects, busybox)
            with open(scratch / "archive", "wb") as file:
                cpio.pack_tree(scratch / "root", file)
            _remove_older()
            (scratch / "archive").rename(target)
    os.utime(target)
    return target


def refuse_other_machines() -> None:
    """Raise :class:`CapabilityError` unless this machine is of the guest's kind: the guest borrows its Python."""
    if platform.machine() != "x86_64":
        raise CapabilityError(
            f"cannot boot a guest: it borrows the Python of an x86-64 machine, and this is {platform.machine()} "
            "(use another machine)"
        )


def shared_objects(modules: Iterable[str]) -> list[Path]:
    """The shared objects that a process maps which imports all of schedtel, and these modules."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROBE, *modules], check=False, capture_output=True, text=True, cwd="/"
    )
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1][:300]
        raise CapabilityError(f"cannot pack schedtel for the guest: {last} (see `schedtel doctor`)")
    return [Path(path) for path in json.loads(done.stdout)]


def compile_modules(root: Path) -> None:
    """Compile all modules of a tree, so that the guest does not: to the same bytes, whenever the same tree is compiled.

    What a process has compiled before decides which strings it has interned, and a compiled module says which are. So
    each directory of the root has a process of its own, which compiles in the order of names.
    """
    # The kernel may give files the time of the boot: no time stamp would match.
    command = [sys.executable, "-P", "-S", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"]
    processes = [
        subprocess.Popen([*command, "-s", root, path], cwd="/", env={"PYTHONHASHSEED": "0"})
        for path in sorted(root.iterdir())
        if path.is_dir() and not path.is_symlink()
    ]
    for process in processes:
        process.wait()  # a module that is not for this Python is left as it is


def _pack(root: Path, objects: list[Path], busybox: Path) -> None:
    copying.make_root(root, ("out", "root", "run"))
    copying.copy_python(root)
    copying.copy_schedtel(root)
    copying.copy_shared_objects(objects, root)
    copying.copy(_busybox(busybox), root, "usr/bin/busybox")
    for name, text in (("init", _INIT), ("usr/bin/schedtel", _COMMAND)):
        (root / name).write_text(text)
        (root / name).chmod(0o755)
    (root / "usr/share/zoneinfo").mkdir(parents=True)
    (root / "usr/share/zoneinfo/UTC").write_bytes(_UTC)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    compile_modules(root)


def _busybox(package: Path) -> Path:
    for name in ("bin/busybox", "usr/bin/busybox"):
        if (package / name).is_file():
            return package / name
    raise CapabilityError(f"cannot pack busybox: {package} has none in it (remove it)")


def _digest(objects: list[Path], busybox: Path) -> str:
    """SHA-256 of schedtel's files, and of name, size and time of all others."""
    digest = hashlib.sha256(f"{_LAYOUT} {sys.version} {busybox.name} {_INIT}".encode())
    for path in [*objects, *map(copying.package_directory, copying.PACKAGES)]:
        status = path.stat()
        digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    for name in ("schedtel", "schedtel.cli"):
        package = copying.package_directory(name)
        for path in sorted(path for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc"):
            digest.update(f"{path.relative_to(package)} {os.path.getsize(path)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _remove_older() -> None:
    """Remove what was not used for days. Another process may begin each of its runs from an archive that is younger."""
    for path in packages.cache_directory().glob(f"{_NAME}*"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink()
