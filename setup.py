"""The build steps that setuptools does not know: clang compiles BPF objects, two small libraries and a program.

All of that ships. The sources of the bcc backend ship as well: bcc compiles them on the machine where they run.
"""

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SOURCES = ROOT / "bpf"
#: The folders whose programs ship compiled, and those of them whose programs are for the kernel.
COMPILED_NOW = ("core", "events", "replay")
OBJECTS = ("core", "events")
#: v3 has atomics with results (kernel 5.12); -g makes clang emit BTF.
BPF_FLAGS = ["-g", "-O2", "-mcpu=v3", "-target", "bpf", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
#: Without libc and its headers, so that the compiler of the BPF programs is enough.
LIBRARY_FLAGS = ["-O2", "-shared", "-fPIC", "-ffreestanding", "-nostdlib", "-fvisibility=hidden"]
LIBRARY_FLAGS += ["-Wall", "-Wextra", "-Werror"]
#: The libraries, and the flags that each needs besides: the replay is made of programs that are written for bcc.
LIBRARIES = {
    ROOT / "schedtel" / "windows" / "ndjson.c": [],
    SOURCES / "replay" / "replay.c": ["-Wno-unused-function", "-Wno-unused-parameter"],
}


#: The program that makes workloads, of several files. It needs libc's headers, which clang's package depends on.
GENERATOR = ROOT / "schedtel" / "workloads" / "generator"
PROGRAM_FLAGS = ["-O2", "-pthread", "-Wall", "-Wextra", "-Werror"]


def newest_tool(name: str) -> str | None:
    """The path of the tool, or of its newest versioned name (clang-19) where there is no plain one."""
    versioned = (found for number in range(30, 11, -1) if (found := shutil.which(f"{name}-{number}")))
    return shutil.which(name) or next(versioned, None)


def run_clang(flags: list[str], sources: list[Path], target: Path) -> None:
    clang = newest_tool("clang")
    if clang is None:
        sys.exit(f"cannot compile {target.name}: clang is missing (apt install clang libbpf-dev)")
    target.parent.mkdir(parents=True, exist_ok=True)
    result = subprocess.run([clang, *flags, *map(str, sources), "-o", str(target)], check=False)
    if result.returncode:
        needed = "libbpf-dev, linux-libc-dev, libc6-dev, binutils"
        sys.exit(f"cannot compile {target.name}: clang failed, see above (needs {needed})")


def compile_bpf(source: Path, target: Path) -> None:
    # -target bpf knows no host directories, and Debian keeps asm/types.h under the machine's own name.
    multiarch = sysconfig.get_config_var("MULTIARCH")
    includes = [f"-I/usr/include/{multiarch}"] if multiarch else []
    run_clang([*BPF_FLAGS, *includes, "-c"], [source], target)
    strip = newest_tool("llvm-strip")
    if strip:  # DWARF is of no use once there is BTF
        subprocess.run([strip, "-g", str(target)], check=True)


class build_with_clang(build_py):  # noqa: N801  (distutils names commands so)
    """build_py, then objects and sources in the package: the build tree's, or the source tree's if editable."""

    def run(self) -> None:
        super().run()
        package = ROOT / "schedtel" if self.editable_mode else Path(self.build_lib) / "schedtel"
        shutil.rmtree(package / "_bpf", ignore_errors=True)  # of an earlier build, whose files may have other names
        shutil.copytree(SOURCES, package / "_bpf", ignore=shutil.ignore_patterns(*COMPILED_NOW))
        for source in (path for folder in OBJECTS for path in (SOURCES / folder).glob("*.bpf.c")):
            compile_bpf(source, package / "_bpf" / source.name.replace(".bpf.c", ".bpf.o"))
        for source, flags in LIBRARIES.items():
            run_clang([*LIBRARY_FLAGS, *flags], [source], package / "_native" / f"{source.stem}.so")
        run_clang(PROGRAM_FLAGS, sorted(GENERATOR.glob("*.c")), package / "_native" / "workload")


class wheel_for_any_python(bdist_wheel):  # noqa: N801  (as above)
    """A wheel for this kind of machine, since it has machine code, and for any Python, which loads that by ctypes."""

    def get_tag(self) -> tuple[str, str, str]:
        return ("py3", "none", super().get_tag()[2])


class ForThisMachine(Distribution):
    """Has setuptools put the package where a machine's own code goes."""

    def has_ext_modules(self) -> bool:
        return True


setup(cmdclass={"build_py": build_with_clang, "bdist_wheel": wheel_for_any_python}, distclass=ForThisMachine)
