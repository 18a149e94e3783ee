"""Sources of the benchmarks in; compiled BPF objects and the load generator out, deleted when the process ends."""

import atexit
import shutil
import subprocess
import sysconfig
import tempfile
from functools import cache
from pathlib import Path

from benchmarks.failures import BenchmarkError

_HERE = Path(__file__).parent
#: The flags with which setup.py compiles the package's own programs.
_BPF_FLAGS = ["-g", "-O2", "-mcpu=v3", "-target", "bpf", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]


@cache
def scratch() -> Path:
    """A temporary directory, removed when the process ends."""
    directory = tempfile.mkdtemp(prefix="schedtel-bench-")
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    return Path(directory)


@cache
def bpf_object(name: str, **defines: int) -> bytes:
    """``bpf/<name>.bpf.c``, compiled with these macros.

    Raises :class:`BenchmarkError` when it cannot be compiled.
    """
    target = scratch() / f"{name}-{'-'.join(map(str, defines.values()))}.bpf.o"
    macros = [f"-D{macro}={value}" for macro, value in defines.items()]
    multiarch = sysconfig.get_config_var("MULTIARCH")
    includes = [f"-I/usr/include/{multiarch}"] if multiarch else []
    source = _HERE / "bpf" / f"{name}.bpf.c"
    _compile([_compiler("clang"), *_BPF_FLAGS, *includes, *macros, "-c", str(source), "-o", str(target)])
    return target.read_bytes()


@cache
def load_program() -> Path:
    """Path of the compiled load generator, ``load/load.c``.

    Raises :class:`BenchmarkError` when it cannot be compiled.
    """
    target = scratch() / "schedtel-load"
    _compile([*load_command(), "-o", str(target)])
    return target


def load_command() -> list[str]:
    """The command that compiles the load generator, but for where to."""
    return [_compiler("gcc", "clang", "cc"), "-O2", "-pthread", str(_HERE / "load" / "load.c")]


def _compiler(*names: str) -> str:
    versioned = [f"clang-{number}" for number in range(30, 11, -1)]
    path = next((path for name in (*names, *versioned) if (path := shutil.which(name))), None)
    if path is None:
        raise BenchmarkError(f"cannot compile: {' or '.join(names)} is missing (apt install {names[0]})")
    return path


def _compile(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchmarkError(f"cannot compile: {' '.join(command)}: {done.stderr.strip()}")
