"""The build steps that setuptools does not know: clang compiles bpf/core/*.bpf.c and schedtel/windows/ndjson.c.

The BPF objects ship, and with them all other sources of bpf/: those are compiled on the machine where they run, by bcc
or for `schedtel import`.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SOURCES = ROOT / "bpf"
#: The folder whose programs ship as objects.
COMPILED_NOW = "core"
#: v3 has atomics with results (kernel 5.12); -g makes clang emit BTF.
BPF_FLAGS = ["-g", "-O2", "-mcpu=v3", "-target", "bpf", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
#: Without libc and its headers, so that the compiler of the BPF programs is enough.
LIBRARY_FLAGS = ["-O2", "-shared", "-fPIC", "-ffreestanding", "-nostdlib", "-fvisibility=hidden"]
LIBRARY_FLAGS += ["-Wall", "-Wextra", "-Werror"]


def newest_tool(name: str) -> str | None:
    """The path of the tool, or of its newest versioned name (clang-19) where there is no plain one."""
    versioned = (found for number in range(30, 11, -1) if (found := shutil.which(f"{name}-{number}")))
    return shutil.which(name) or next(versioned, None)


def run_clang(flags: list[str], source: Path, target: Path) -> None:
    clang = newest_tool("clang")
    if clang is None:
        sys.exit(f"cannot compile {source.name}: clang is missing (apt install clang libbpf-dev)")
    target.parent.mkdir(parents=True, exist_ok=True)
    result = subprocess.run([clang, *flags, str(source), "-o", str(target)], check=False)
    if result.returncode:
        sys.exit(f"cannot compile {source.name}: clang failed, see above (needs libbpf-dev, linux-libc-dev, binutils)")


def compile_bpf(source: Path, target: Path) -> None:
    # -target bpf knows no host directories, and Debian keeps asm/types.h under the machine's own name.
    multiarch = sysconfig.get_config_var("MULTIARCH")
    includes = [f"-I/usr/include/{multiarch}"] if multiarch else []
    run_clang([*BPF_FLAGS, *includes, "-c"], source, target)
    strip = newest_tool("llvm-strip")
    if strip:  # DWARF is of no use once there is BTF
        subprocess.run([strip, "-g", str(target)], check=True)


class build_with_clang(build_py):  # noqa: N801  (distutils names commands so)
    """build_py, then objects and sources in the package: the build tree's, or the source tree's if editable."""

    def run(self) -> None:
        super().run()
        package = ROOT / "schedtel" if self.editable_mode else Path(self.build_lib) / "schedtel"
        shutil.rmtree(package / "_bpf", ignore_errors=True)  # of an earlier build, whose files may have other names
        shutil.copytree(SOURCES, package / "_bpf", ignore=shutil.ignore_patterns(COMPILED_NOW))
        for source in (SOURCES / COMPILED_NOW).glob("*.bpf.c"):
            compile_bpf(source, package / "_bpf" / source.name.replace(".bpf.c", ".bpf.o"))
        run_clang(LIBRARY_FLAGS, ROOT / "schedtel" / "windows" / "ndjson.c", package / "_native" / "ndjson.so")


class ForThisMachine(Distribution):
    """Marks the wheel as one for this kind of machine, since it has machine code."""

    def has_ext_modules(self) -> bool:
        return True


setup(cmdclass={"build_py": build_with_clang}, distclass=ForThisMachine)
