"""The replay library: bpf/replay/replay.c in; a loaded library out, compiled on first use and kept in the user's cache.

A file in the cache is code that runs as this user. So it is used only if no other user can have written it. Where there
is no such cache (root with another user's home directory), the library is compiled for this process alone.
"""

import ctypes
import functools
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from schedtel.errors import CapabilityError
from schedtel.kernel.bcc import slots
from schedtel.kernel.bcc.sources import source_path, with_includes
from schedtel.traces.events import EVENT

_COMPILERS = ("cc", "gcc", "clang")
#: Without libc and its headers, so that a compiler alone is enough.
_FLAGS = ("-shared", "-fPIC", "-O2", "-w", "-nostdlib", "-ffreestanding", "-fvisibility=hidden")


class ReplayState(ctypes.Structure):
    """``struct replay`` of bpf/replay/event.h."""

    _fields_ = (
        ("controls", ctypes.c_void_p),
        ("cpus", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("tids", ctypes.c_void_p),
        ("preemptions", ctypes.c_void_p),
        ("cpu_count", ctypes.c_uint32),
        ("slot_count", ctypes.c_uint32),
        ("tid_count", ctypes.c_uint32),
        ("wakeups_traced", ctypes.c_uint32),
        ("exits_seen", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("event", ctypes.c_void_p),
    )


@functools.cache
def replay_library() -> ctypes.CDLL:
    """The loaded library. Raises :class:`CapabilityError` where it cannot be compiled."""
    source, compiler = source_path("replay/replay.c"), find_compiler()
    name = f"replay-{_fingerprint(source, compiler)}.so"
    cache = _private_cache()
    if cache is None:
        with tempfile.TemporaryDirectory(prefix="schedtel-") as made:
            return _load(_compile(compiler, source, Path(made) / name))
    target = cache / name
    if not _is_ours(target):
        with tempfile.TemporaryDirectory(dir=cache) as made:
            _compile(compiler, source, Path(made) / name).rename(target)
    return _load(target)


def find_compiler() -> str:
    """A C compiler's path. Raises :class:`CapabilityError` where there is none."""
    found = next((path for name in _COMPILERS if (path := shutil.which(name))), None)
    if found is None:
        raise CapabilityError("cannot import a trace: there is no C compiler (apt install gcc, or clang)")
    return found


def _fingerprint(source: Path, compiler: str) -> str:
    import hashlib  # noqa: PLC0415  (it loads OpenSSL, 3.6 MB, for a trace's import alone)

    texts = [path.read_bytes() for path in with_includes(source)]
    how = " ".join((compiler, *_FLAGS, platform.machine())).encode()
    return hashlib.sha256(b"\0".join([how, *texts])).hexdigest()[:16]


def _private_cache() -> Path | None:
    """The user's cache directory, made if needed; None where another user can write to it, or this one cannot."""
    directory = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "schedtel" / "compiled"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return directory if _is_ours(directory) and os.access(directory, os.W_OK) else None


def _is_ours(path: Path) -> bool:
    """Whether the path exists, is this user's, and no other user can write to it."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _compile(compiler: str, source: Path, target: Path) -> Path:
    command = [compiler, *_FLAGS, "-o", str(target), str(source)]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    if result.returncode:
        cause = next((line for line in result.stderr.splitlines() if "error" in line), f"status {result.returncode}")
        raise CapabilityError(f"cannot import a trace: {compiler} failed: {cause.strip()} (is the compiler complete?)")
    target.chmod(0o700)
    return target


def _load(path: Path) -> ctypes.CDLL:
    library = ctypes.CDLL(str(path))
    library.replay.restype = ctypes.c_uint64
    library.replay.argtypes = [ctypes.POINTER(ReplayState), ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32]
    expected = {
        "replay_size": ctypes.sizeof(ReplayState),
        "replay_event_size": EVENT.itemsize,
        "replay_slot_size": slots.SLOT.itemsize,
        "replay_cpu_size": slots.SLOT_CPU.itemsize,
    }
    for name, size in expected.items():
        getattr(library, name).restype = ctypes.c_uint64
        found = getattr(library, name)()
        if found != size:
            raise CapabilityError(
                f"cannot import a trace: {name}() is {found} and not {size} bytes (build schedtel again: make build)"
            )
    return library
