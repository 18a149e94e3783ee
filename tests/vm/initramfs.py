"""What a guest runs from: the host's Python, the environment's packages and schedtel in; one cpio archive out.

An interpreter of the system and its libraries keep the paths that they have on the host. An interpreter from a user's
home directory moves to ``/opt/python``, since services see no home directories. Packages go to ``/packages``. The
shared objects are those that a process has mapped which has imported everything: there is no list to keep, and no
unused object.
"""

import compileall
import json
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SUPPORT = HERE.parent / "support"
SITE = Path(sysconfig.get_path("purelib"))
_BASE = Path(sys.base_prefix)
PACKAGES = ("numpy", "pyarrow", "click", "rich", "pygments", "typing_extensions.py")
#: Parts of packages and of the standard library that nothing here imports.
_UNUSED = ("__pycache__", "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "turtledemo", "site-packages",
           "dist-packages", "include", "config-*", "*.pyx", "*.pxi", "*.pxd", "*.a", "*.so", "*.so.*")  # fmt: skip
_LOADER = "/lib64/ld-linux-x86-64.so.2"

#: Imports all that a guest will import, and prints which shared objects that maps.
_PROBE = """
import importlib, json, pkgutil, sys
import click, decimal, numpy, pyarrow.flight, pyarrow.parquet, rich.live
import schedtel, schedtel.cli
from schedtel.kernel.libbpf import libbpf
for package in (schedtel, schedtel.cli):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
for name in sys.argv[1:]:
    importlib.import_module(name)
libbpf()
with open("/proc/self/maps") as file:
    paths = {line.split(maxsplit=5)[5].strip() for line in file if line.count("/")}
print(json.dumps(sorted(path for path in paths if ".so" in path)))
"""
#: Modules of the standard library that schedtel imports late.
_IMPORTED_LATE = ("encodings.idna", "grp", "pwd", "resource", "select", "statistics", "subprocess", "threading")


def pack(scratch: Path, workload: str) -> Path:
    """Build the archive in an empty directory; returns its path."""
    root = scratch / "root"
    for directory in ("dev", "proc", "sys", "tmp", "usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "guest", "etc"):
        (root / directory).mkdir(parents=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")
    _pack_python(root)
    _pack_schedtel(root)
    _pack_shared_objects(root)
    _pack_programs(root, workload)
    compileall.compile_dir(
        root,
        quiet=2,
        workers=0,
        stripdir=root,
        # The kernel may give files the time of the boot: no time stamp would match.
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    return archive(root, scratch / "initrd.cpio")


def _place(path: Path) -> str:
    """Where a file of the host is in the guest."""
    moved = {SITE: "packages"} if str(_BASE) == "/usr" else {SITE: "packages", _BASE: "opt/python"}
    for origin, target in moved.items():
        if path.is_relative_to(origin):
            return f"{target}/{path.relative_to(origin)}"
    return str(path).lstrip("/")


def copy(path: str | Path, root: Path, target: str | None = None) -> None:
    destination = root / (target or _place(Path(path)))
    destination.parent.mkdir(parents=True, exist_ok=True)
    if Path(path).is_dir():
        shutil.copytree(path, destination, ignore=shutil.ignore_patterns(*_UNUSED), dirs_exist_ok=True)
    else:
        shutil.copy2(path, destination)


def _pack_python(root: Path) -> None:
    interpreter = Path(sys.executable).resolve()
    copy(interpreter, root)
    copy(sysconfig.get_path("stdlib"), root)
    (root / "usr/bin/python3").symlink_to(interpreter_of_guest())
    for name in PACKAGES:
        copy(SITE / name, root)


def interpreter_of_guest() -> Path:
    return Path("/", _place(Path(sys.executable).resolve()))


def _pack_schedtel(root: Path) -> None:
    copy(ROOT / "schedtel", root, "packages/schedtel")
    for path in (ROOT / "schedtel/_native").iterdir():
        copy(path, root, f"packages/schedtel/_native/{path.name}")
    copy(ROOT / "cli", root, "packages/schedtel/cli")
    for path in (*HERE.glob("guest*.py"), *(SUPPORT / f"{name}.py" for name in ("observe", "probe", "waiting"))):
        copy(path, root, f"guest/{path.name}")


def _pack_shared_objects(root: Path) -> None:
    """Copy them with the links that point to them: programs look for shared objects by the names of links."""
    result = subprocess.run([sys.executable, "-c", _PROBE, *_IMPORTED_LATE], check=True, capture_output=True, text=True)
    directories = set()
    for path in map(Path, json.loads(result.stdout)):
        copy(path, root)
        directories.add("/" + str(Path(_place(path)).parent))
        for link in path.parent.iterdir():
            if link.is_symlink() and link.resolve() == path:
                (root / _place(link)).symlink_to(path.name)
    copy(Path(_LOADER).resolve(), root)
    if not (root / _LOADER.lstrip("/")).exists():
        (root / _LOADER.lstrip("/")).symlink_to(Path(_LOADER).resolve())
    (root / "etc/ld.so.conf").write_text("\n".join(sorted(directories)) + "\n")
    subprocess.run([shutil.which("ldconfig") or "/sbin/ldconfig", "-X", "-r", str(root)], check=True)


def copy_program(path: str, root: Path) -> None:
    """Copy a program and its shared objects, these under the names of links by which ``ldd`` tells them."""
    copy(path, root, _in_usr(path))
    lines = subprocess.run(["ldd", path], check=True, capture_output=True, text=True).stdout.splitlines()
    for library in (line.split()[2] for line in lines if "=> /" in line):
        if not (root / _in_usr(library)).exists():
            copy(library, root, _in_usr(library))


def _in_usr(path: str) -> str:
    """The guest's ``/bin`` and ``/lib`` are links, as on Debian."""
    return path.lstrip("/") if path.startswith("/usr") else f"usr{path}"


def _pack_programs(root: Path, workload: str) -> None:
    copy(shutil.which("busybox"), root, "usr/bin/busybox")
    copy_program(shutil.which("setpriv"), root)
    copy(workload, root, "usr/bin/schedtel-load")
    # The kernel names a task after the file that it executes.
    (root / "usr/bin/renamed-load").symlink_to("schedtel-load")
    copy(HERE / "guest-init", root, "init")
    (root / "init").chmod(0o755)


def archive(root: Path, target: Path) -> Path:
    paths = b"\0".join(os.fsencode(path.relative_to(root)) for path in root.rglob("*"))
    with open(target, "wb") as file:
        command = ["cpio", "--create", "--null", "--format=newc", "--owner=0:0", "--quiet"]
        subprocess.run(command, cwd=root, input=paths, stdout=file, check=True)
    return target
