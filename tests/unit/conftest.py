"""What the unit tests share: the kernel side compiled for the host, and windows made by it."""

import shutil
import subprocess
import tracemalloc  # noqa: F401  (pytest does so within a destructor, and fails a test if another interrupts that)
from pathlib import Path

import bcc_machine
import machine
import pytest
import samples
from hypothesis import HealthCheck, Phase, settings

HERE = Path(__file__).parent

# Deadlines measure the machine, not the code; the same examples on every run make a failure someone else's too.
settings.register_profile(
    "unit",
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unit")


def compiled(directory, name):
    """One of the C files here as a shared library."""
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


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """bpf/core/core.bpf.c for the host, with the helpers of host_machine.c."""
    return machine.load(compiled(tmp_path_factory.mktemp("host"), "host_machine"))


@pytest.fixture(scope="session")
def bcc_library(tmp_path_factory):
    """bpf/bcc/bcc.c for the host, with the helpers of host_bcc.c."""
    return bcc_machine.load(compiled(tmp_path_factory.mktemp("host"), "host_bcc"))


@pytest.fixture(scope="session")
def windows(library):
    """Three windows of a small simulated machine, through the real programs, backend and tables."""
    return samples.windows(library)
