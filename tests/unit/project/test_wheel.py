"""The wheel: what it holds, for which Pythons it is, and that it works where there is no compiler."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from small_traces import write_trace

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The project's wheel, built as a user would."""
    target = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir", target, ROOT]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode and "Could not find a version that satisfies the requirement setuptools" in built.stderr:
        pytest.skip("needs a package index to have setuptools from")
    assert built.returncode == 0, built.stderr
    (path,) = target.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A directory with the wheel's packages."""
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet", "--target", target, wheel]
    subprocess.run(command, check=True)
    return target


def test_it_is_for_any_python_on_this_kind_of_machine(wheel):
    platform = sysconfig.get_platform().replace("-", "_")
    assert wheel.name.endswith(f"-py3-none-{platform}.whl")


def test_it_has_the_texts_of_all_its_licences(wheel):
    with zipfile.ZipFile(wheel) as archive:
        licences = {Path(name).name: archive.read(name) for name in archive.namelist() if "/licenses/" in name}
    assert licences == {
        path.name: path.read_bytes() for path in (ROOT / "LICENSE", *sorted((ROOT / "LICENSES").iterdir()))
    }


def test_what_is_compiled_ships_compiled_and_what_bcc_compiles_as_source(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if "/_bpf/" in name or "/_native/" in name}
    assert {name for name in names if name.endswith(".o") or "/_native/" in name} == {
        "schedtel/_bpf/core.bpf.o",
        "schedtel/_bpf/core_walk.bpf.o",
        "schedtel/_bpf/counters.bpf.o",
        "schedtel/_bpf/books.bpf.o",
        "schedtel/_bpf/events.bpf.o",
        "schedtel/_native/ndjson.so",
        "schedtel/_native/replay.so",
        "schedtel/_native/workload",
    }
    assert "schedtel/_bpf/bcc/bcc.c" in names
    assert not any(
        name.startswith(("schedtel/_bpf/core/", "schedtel/_bpf/events/", "schedtel/_bpf/replay/")) for name in names
    )


def test_the_policy_that_ships_is_in_it_with_its_card_and_small(wheel):
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist() if "/pretrained/" in info.filename}
    folder = ROOT / "schedtel/agent/pretrained"
    assert sizes == {f"schedtel/agent/pretrained/{path.name}": path.stat().st_size for path in folder.iterdir()}
    assert len(sizes) == 2
    assert sum(sizes.values()) <= 1 << 20


def test_where_there_is_no_compiler_it_imports_shows_and_reports(installed, tmp_path):
    """live and record, which need root, do as much in tests/kernel: the objects are the same."""
    environment = {"PATH": str(tmp_path), "PYTHONPATH": str(installed), "HOME": str(tmp_path)}
    trace = write_trace(tmp_path / "trace.txt")

    def schedtel(*arguments):
        command = [sys.executable, "-P", "-m", "schedtel.cli", *map(str, arguments)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = [sys.executable, "-P", "-c", "import schedtel, sys; print(schedtel.__file__)"]
    found = subprocess.run(where, env=environment, capture_output=True, text=True, check=True).stdout.strip()
    assert Path(found).is_relative_to(installed), "the installed package is tried, and not this checkout"
    schedtel("import", trace, "-o", tmp_path / "recording")
    assert schedtel("show", tmp_path / "recording", "--format", "ndjson").count("\n") >= 1
    schedtel("report", tmp_path / "recording", "-o", tmp_path / "page.html")
    assert os.path.getsize(tmp_path / "page.html") > 10_000
