"""Files of this host in; a tree for a guest, with the Python of this process and the shared objects that it needs, out.

An interpreter of the system and its libraries keep the paths that they have on the host. An interpreter from a user's
home directory moves to ``/opt/python``, since services see no home directories. Packages go to ``/packages``.
"""

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from schedtel.errors import CapabilityError

_BASE = Path(sys.base_prefix)
#: What schedtel and its command import. pandas is not among them: only ``Window.to_pandas()`` imports it.
PACKAGES = ("numpy", "pyarrow", "click", "rich", "pygments")
#: Parts of packages and of the standard library that nothing here imports.
_UNUSED = ("__pycache__", "test", "tests", "idlelib", "tkinter", "ensurepip", "lib2to3", "turtledemo", "site-packages",
           "dist-packages", "include", "config-*", "*.pyx", "*.pxi", "*.pxd", "*.a", "*.so", "*.so.*")  # fmt: skip
_LOADER = Path("/lib64/ld-linux-x86-64.so.2")


def package_directory(name: str) -> Path:
    """Where a package is on the host. Raises :class:`CapabilityError` if it is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise CapabilityError(f"cannot pack {name} for the guest: it is not installed (install schedtel with pip)")
    return Path(next(iter(spec.submodule_search_locations)))


def place(path: Path) -> str:
    """Where a file of the host is in the guest, from its root."""
    moved = {package_directory(name).parent: "packages" for name in PACKAGES}
    if str(_BASE) != "/usr":
        moved[_BASE] = "opt/python"
    for origin, target in moved.items():
        if path.is_relative_to(origin):
            return f"{target}/{path.relative_to(origin)}"
    return str(path).lstrip("/")


def copy(path: Path, root: Path, target: str | None = None) -> None:
    """Copy a file, or a directory without what nothing imports, to where it is in the guest."""
    destination = root / (target or place(path))
    destination.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, destination, ignore=shutil.ignore_patterns(*_UNUSED), dirs_exist_ok=True)
    else:
        shutil.copy2(path, destination)


def make_root(root: Path, directories: Iterable[str] = ()) -> None:
    """Make the directories of a guest; ``/bin`` and ``/lib`` are links, as on Debian."""
    for directory in ("dev", "proc", "sys", "tmp", "usr/bin", "usr/lib", "usr/lib64", "usr/sbin", "etc", *directories):
        (root / directory).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "lib", "lib64", "sbin"):
        (root / name).symlink_to(f"usr/{name}")


def copy_python(root: Path) -> None:
    """Copy this process's Python, as ``python3``, and the packages that schedtel imports."""
    copy(Path(sys.executable).resolve(), root)
    copy(Path(sysconfig.get_path("stdlib")), root)
    (root / "usr/bin/python3").symlink_to(interpreter_of_guest())
    for name in PACKAGES:
        copy(package_directory(name), root)
    typing_extensions = importlib.util.find_spec("typing_extensions")
    if typing_extensions and typing_extensions.origin:
        copy(Path(typing_extensions.origin), root, "packages/typing_extensions.py")


def interpreter_of_guest() -> Path:
    """The path of the interpreter in the guest."""
    return Path("/", place(Path(sys.executable).resolve()))


def copy_schedtel(root: Path) -> None:
    """Copy schedtel with what it compiled, and its command."""
    package = package_directory("schedtel")
    copy(package, root, "packages/schedtel")
    for path in (package / "_native").iterdir():
        copy(path, root, f"packages/schedtel/_native/{path.name}")
    copy(package_directory("schedtel.cli"), root, "packages/schedtel/cli")


def copy_shared_objects(paths: Iterable[Path], root: Path) -> None:
    """Copy them with the links that point to them: programs look for shared objects by the names of links."""
    directories = set()
    for path in paths:
        copy(path, root)
        directories.add("/" + str(Path(place(path)).parent))
        for link in path.parent.iterdir():
            if link.is_symlink() and link.resolve() == path:
                (root / place(link)).symlink_to(path.name)
    copy(_LOADER.resolve(), root)
    if not (root / str(_LOADER).lstrip("/")).exists():
        (root / str(_LOADER).lstrip("/")).symlink_to(_LOADER.resolve())
    (root / "etc/ld.so.conf").write_text("\n".join(sorted(directories)) + "\n")
    subprocess.run([shutil.which("ldconfig") or "/sbin/ldconfig", "-X", "-r", str(root)], check=True)


def copy_program(path: Path, root: Path) -> None:
    """Copy a program and its shared objects, these under the names of links by which ``ldd`` tells them."""
    copy(path, root, _in_usr(str(path)))
    lines = subprocess.run(["ldd", str(path)], check=True, capture_output=True, text=True).stdout.splitlines()
    for library in (line.split()[2] for line in lines if "=> /" in line):
        if not (root / _in_usr(library)).exists():
            copy(Path(library), root, _in_usr(library))


def _in_usr(path: str) -> str:
    return path.lstrip("/") if path.startswith("/usr") else f"usr{path}"
