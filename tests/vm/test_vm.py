"""Other kernels: each boots once, and runs schedtel's own checks (guest.py). The table is printed at the end."""

import functools
import shutil
import subprocess

import pytest
from boot import boot, missing
from initramfs import HERE, pack
from kernels import KERNELS, UnavailableError, fetch
from report import Report

BACKENDS = ("core",)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """Packs the guests' archive when first called."""
    scratch = tmp_path_factory.mktemp("guest")

    @functools.cache
    def packed():
        reason = missing()
        if reason:
            raise UnavailableError(reason)
        workload = scratch / "schedtel-load"
        source = HERE.parent / "kernel" / "workloads.c"
        compiler = shutil.which("gcc") or "clang"
        subprocess.run([compiler, "-O2", "-Wall", "-pthread", str(source), "-o", str(workload)], check=True)
        return pack(scratch / "tree", str(workload))

    yield packed
    shutil.rmtree(scratch)  # a quarter of a gigabyte


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)
def test_schedtel_on(kernel, archive, tmp_path, report):
    try:
        outcome = boot(fetch(kernel), archive(), BACKENDS, tmp_path)
    except UnavailableError as reason:
        report.skipped(kernel, str(reason))
        pytest.skip(str(reason))
    for backend in BACKENDS:
        report.add(kernel, backend, outcome)
    assert outcome.finished, f"the guest ended before its checks did, {outcome.ending}:\n{outcome.console}"
    wrong = [text for backend in BACKENDS for text in Report.wrong(kernel, backend, outcome)]
    assert not wrong, "\n".join([*wrong, outcome.console])
