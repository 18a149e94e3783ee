"""Names of sched_ext schedulers and paths of programs in; files that put them on a guest's path, out.

A name with an @, as in ``vtime@/x``, is that of a scheduler for a cgroup: an object of another form, and ``lender``
above it (:mod:`schedtel.schedulers.sub_schedulers`).

The lab's own schedulers are in ``bpf/sched_ext``. They are compiled when they are first used, by Debian's clang 19 with
the kernel types of Debian's linux-bpf-dev, and kept in the cache. ``scx_NAME`` on the guest's path attaches one, and
its arm finds the object.
"""

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from schedtel.errors import CapabilityError, UsageError
from schedtel.lab import packages
from schedtel.lab.packages import Item
from schedtel.schedulers.sched_ext import OBJECTS
from schedtel.schedulers.sub_schedulers import LENDER, SUFFIX

SOURCES = Path(__file__).parents[1] / "_bpf" / "sched_ext"
_CLANG = Item("clang 19", "clang-19", ("bookworm",), whole=True)
#: Kernel types of sid's kernel: objects find those of an older one by its BTF (CO-RE).
_KERNEL_TYPES = Item("kernel types", "linux-bpf-dev", ("sid",))
_HEADERS = Item("libbpf's headers", "libbpf-dev", ("bookworm-backports",))
_FLAGS = ("-g", "-O2", "-mcpu=v3", "-target", "bpf", "-Wall", "-Wno-missing-declarations", "-Werror", "-c")
_SUFFIX, _OBJECT = ".bpf.c", ".bpf.o"
#: Suffix of an object, and what its form is compiled with (ops.h).
_FORMS = {_OBJECT: (), SUFFIX: ("-DSUB",)}
_COMPILED = "sched_ext-"
_LIBRARIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "usr/lib/llvm-19/lib")
_PATIENCE_S = 120
_PROGRAM_NAME = re.compile(r"scx_([A-Za-z0-9][A-Za-z0-9_.-]{0,63})")
_LOADER = f"""#!/bin/sh
exec python3 -P -m schedtel.schedulers.object_loader {OBJECTS}/{{name}}.bpf.o
"""
#: The libbpf that qemu depends on. The host's may be older, and not know .struct_ops.link.
_LIBBPF = ("libbpf.so.1", "libelf.so.1", "libz.so.1", "libzstd.so.1")


def own_names() -> list[str]:
    """The lab's own schedulers."""
    return sorted(path.name.removesuffix(_SUFFIX) for path in SOURCES.glob(f"*{_SUFFIX}"))


def guest_files(
    names: Iterable[str], programs: Iterable[Path] = (), tell: Callable[[str], object] = lambda _: None
) -> dict[str, bytes]:
    """Files by their paths in the guest: for each scheduler a program ``scx_NAME``, and what it needs.

    :param names: of schedulers, as behind ``scx:``; with an @ those for a cgroup, whose path is not needed.
    :param programs: of others, each called ``scx_NAME``; their shared objects are taken along.
    :param tell: called with a line before something is fetched.

    Raises :class:`UsageError` for a scheduler that is neither, :class:`CapabilityError` where one cannot be compiled.
    """
    found: dict[str, bytes] = {}
    theirs = {_name_of(path): path for path in programs}
    for path in theirs.values():
        found |= _program_files(path)
    for text in names:
        name, at, _ = text.partition("@")
        if name in theirs and not at:
            continue
        if name not in own_names():
            raise UsageError(
                f"cannot use scx:{text[:40]} in the lab: it has {', '.join(own_names())} (or give the path of scx_NAME)"
            )
        found |= _libbpf(packages.fetched(packages.QEMU, tell))
        found |= _sub_files(name, tell) if at else _program(name, tell)
    return found


def _program(name: str, tell: Callable[[str], object]) -> dict[str, bytes]:
    files = object_file(SOURCES / f"{name}{_SUFFIX}", tell)
    return files | {f"/usr/bin/scx_{name}": _LOADER.format(name=name).encode()}


def _sub_files(name: str, tell: Callable[[str], object]) -> dict[str, bytes]:
    """The objects of a scheduler for a cgroup, and of the one above it."""
    sources = {name: SOURCES / f"{name}{_SUFFIX}", LENDER: SOURCES / f"{LENDER}.sub.c"}
    return {f"{OBJECTS}/{one}{SUFFIX}": compiled(path, tell, SUFFIX).read_bytes() for one, path in sources.items()}


def object_file(source: Path, tell: Callable[[str], object] = lambda _: None) -> dict[str, bytes]:
    """The object of a scheduler's source, by its path in the guest, where the arm of its name finds it."""
    name = source.name.removesuffix(_SUFFIX)
    return {f"{OBJECTS}/{name}{_OBJECT}": compiled(source, tell).read_bytes()}


def _libbpf(qemu: Path) -> dict[str, bytes]:
    places = {name: next((qemu / place / name for place in _LIBRARIES if (qemu / place / name).exists()), None)
              for name in _LIBBPF}  # fmt: skip
    absent = [name for name, place in places.items() if place is None]
    if absent:
        raise CapabilityError(f"cannot attach schedulers in the guest: {qemu} has no {absent[0]} (remove it)")
    return {f"{OBJECTS}/{name}": place.read_bytes() for name, place in places.items() if place}


def _name_of(program: Path) -> str:
    match = _PROGRAM_NAME.fullmatch(program.name)
    if match is None or not program.is_file():
        raise UsageError(f"cannot use {program} as a scheduler: it is no file of the name scx_NAME (name its program)")
    return match.group(1)


def _program_files(program: Path) -> dict[str, bytes]:
    """A program and its shared objects, these where the guest's loader finds them."""
    done = subprocess.run(["ldd", str(program.resolve())], check=False, capture_output=True, text=True)
    if "not found" in done.stdout:
        missing = next(line.split()[0] for line in done.stdout.splitlines() if "not found" in line)
        raise UsageError(f"cannot use {program}: its {missing} is not installed (install it)")
    libraries = [line.split()[2] for line in done.stdout.splitlines() if "=> /" in line]
    files = {f"/usr/lib/x86_64-linux-gnu/{Path(path).name}": Path(path).read_bytes() for path in libraries}
    return files | {f"/usr/bin/{program.name}": program.read_bytes()}


def compiled(source: Path, tell: Callable[[str], object] = lambda _: None, suffix: str = _OBJECT) -> Path:
    """The object of a scheduler's source, from the cache or compiled now, with the headers of the lab's own.

    :param suffix: of the object's name, which says its form.
    """
    name = source.name.partition(".")[0]
    target = packages.opened_cache() / f"{_COMPILED}{_digest(source)}-{name}{suffix}"
    if not target.exists():
        places = [packages.fetched(item, tell) for item in (_CLANG, _KERNEL_TYPES, _HEADERS)]
        with packages.scratch() as scratch:
            _compile(source, scratch / "object", _FORMS[suffix], *places)
            (scratch / "object").rename(target)
    return target


def _digest(source: Path) -> str:
    digest = hashlib.sha256(" ".join(_FLAGS).encode())
    for path in (source, *sorted(SOURCES.glob("*.h"))):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def _compile(source: Path, target: Path, form: Sequence[str], clang: Path, kernel_types: Path, headers: Path) -> None:
    types = next(iter(sorted(kernel_types.rglob("vmlinux.h"))), None)
    if types is None:
        raise CapabilityError(f"cannot compile {source.name}: {kernel_types} has no vmlinux.h (remove it)")
    # The loader cuts its list of places at colons, and the cache's path may have one.
    libraries = ":".join(_LIBRARIES)
    loader = [f"{_LIBRARIES[0]}/ld-linux-x86-64.so.2", "--library-path", libraries, "usr/lib/llvm-19/bin/clang"]
    places = ["-resource-dir", "usr/lib/llvm-19/lib/clang/19", f"-I{types.parent}", f"-I{headers / 'usr/include'}"]
    places += [f"-I{SOURCES}", "-Iusr/include", "-Iusr/include/x86_64-linux-gnu"]
    command = [*loader, *_FLAGS, *form, *places, str(source), "-o", str(target)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=clang, timeout=_PATIENCE_S)
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if "error" in line), "no message")[:300]
        raise CapabilityError(f"cannot compile {source.name}: {said} (remove {clang.parent}, and try again)")
