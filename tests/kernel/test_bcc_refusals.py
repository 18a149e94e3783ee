"""Refusals of the kernel, made to happen: each is one line that says what failed, why, and what to do."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bcc_here import in_private_mounts, mounted_tracefs
from waiting import PATIENCE_S

from schedtel.kernel.privileges import missing_capabilities

SCHEDTEL = [sys.executable, "-m", "schedtel.cli", "live", "-n", "1", "-w", "50ms", "--format", "ndjson"]
REFUSE = Path(__file__).parents[1] / "support" / "refuse.py"
BTF = Path("/sys/kernel/btf/vmlinux")


@pytest.fixture(autouse=True, scope="module")
def _tracefs():
    with mounted_tracefs():
        yield


@pytest.fixture(autouse=True, scope="module")
def _private_mounts(_tracefs):
    result = in_private_mounts("true")
    if result.returncode:
        pytest.skip(f"needs mount namespaces: {result.stderr.strip()}")


def run(*options, under=(), **environment):
    command = [*under, *SCHEDTEL, *options]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=PATIENCE_S, env=os.environ | environment
    )


def run_with_mount(source, target, *options):
    """Run the command where a file or directory lies over another."""
    return in_private_mounts(f"mount --bind {source} {target}; exec {' '.join([*SCHEDTEL, *options])}")


def assert_one_line(result, *words):
    assert result.returncode == 2, result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith("schedtel: cannot ")
    assert line.endswith(")"), "what to do stands at the end"
    for word in words:
        assert word in line


def assert_fell_back(result, *words):
    assert result.returncode == 0, result.stderr
    [line] = result.stderr.splitlines()
    assert line.startswith("schedtel: using backend bcc, because core: cannot ")
    for word in words:
        assert word in line
    assert json.loads(result.stdout)["summary"]["window_id"] == 1


def test_no_btf():
    assert_one_line(run_with_mount("/dev/null", BTF, "--backend", "core"), "BTF", "CONFIG_DEBUG_INFO_BTF")
    assert_fell_back(run_with_mount("/dev/null", BTF), "CONFIG_DEBUG_INFO_BTF")


def test_btf_without_a_field_that_core_reads(tmp_path):
    """The kernel's own BTF, in which the field has another name."""
    image = BTF.read_bytes()
    assert image.count(b"\0start_boottime\0") == 1
    older = tmp_path / "vmlinux"
    older.write_bytes(image.replace(b"\0start_boottime\0", b"\0start_of_task_\0"))
    assert_one_line(run_with_mount(older, BTF, "--backend", "core"), "load the BPF programs")
    assert_fell_back(run_with_mount(older, BTF), "load the BPF programs")


@pytest.mark.parametrize("backend", ["core", "bcc"])
def test_a_kernel_without_the_program_type(backend):
    result = run("--backend", backend, under=[sys.executable, REFUSE, str(errno.EINVAL)])
    assert_one_line(result, "load", "Invalid argument", "lacks a program type")


@pytest.mark.parametrize("backend", ["core", "bcc"])
def test_a_refusal_to_a_user_who_has_the_capabilities(backend):
    assert missing_capabilities() == []
    result = run("--backend", backend, under=[sys.executable, REFUSE, str(errno.EPERM)])
    assert_one_line(result, "load", "Operation not permitted", "security module", "though this user has")


def test_when_neither_backend_works_both_reasons_are_given():
    result = run(under=[sys.executable, REFUSE, str(errno.EPERM)])
    assert_one_line(result, "by either backend", "core: cannot load", "bcc: cannot load")


def test_no_tracefs(tmp_path):
    roots = [root for root in ("/sys/kernel/tracing", "/sys/kernel/debug") if os.path.isdir(root)]
    mounts = "; ".join(f"mount --bind {tmp_path} {root}" for root in roots)
    result = in_private_mounts(f"{mounts}; exec {' '.join([*SCHEDTEL, '--backend', 'bcc'])}")
    assert_one_line(result, "tracefs", "mount -t tracefs")


def test_no_headers(tmp_path):
    release = Path("/lib/modules") / os.uname().release
    if release.exists():
        pytest.skip("the running kernel's own headers are installed")
    result = run_with_mount(tmp_path, "/usr/src", "--backend", "bcc")
    assert_one_line(result, "kernel headers", "linux-headers")


def test_no_bcc(tmp_path):
    result = run_with_mount(tmp_path, "/usr/lib/python3/dist-packages", "--backend", "bcc")
    assert_one_line(result, "bcc", "python3-bpfcc")


def test_headers_that_are_none(tmp_path):
    result = run("--backend", "bcc", BCC_KERNEL_SOURCE=str(tmp_path))
    assert_one_line(result, "kernel headers", str(tmp_path), "BCC_KERNEL_SOURCE")


def test_the_doctor_tells_of_both_backends():
    result = in_private_mounts(f"mount --bind /dev/null {BTF}; exec {sys.executable} -m schedtel.cli doctor")
    assert result.returncode == 0, result.stdout
    lines = result.stdout.splitlines()
    assert lines[-1] == "ready: backend bcc"
    assert any(line.startswith("no   core: kernel BTF: cannot find") for line in lines)
    assert any(line.startswith("yes  bcc: mapped arrays, compile, attach") for line in lines)
