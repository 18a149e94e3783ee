"""The C files of the kernel side, compiled for the host: a directory in, the path of a shared library out."""

import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def compiled(directory: Path, name: str) -> str:
    """Compile ``name``.c of this directory; skips where there is no C compiler."""
    compiler = shutil.which("gcc") or shutil.which("clang") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (gcc or clang)")
    target = directory / f"{name}.so"
    # -w: the attributes and casts are meant for BPF, where the build checks them with -Wall -Werror.
    # -Bsymbolic: libc has an on_exit() as well.
    flags = ["-shared", "-fPIC", "-O1", "-w", "-Wl,-Bsymbolic", f"-I{HERE / 'host'}"]
    command = [compiler, *flags, "-o", target, HERE / f"{name}.c"]
    result = subprocess.run(command, check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return str(target)
