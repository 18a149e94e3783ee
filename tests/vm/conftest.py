"""Guests with other kernels: `make test-vm`. `make test` leaves them out, since they take minutes."""

import functools
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from boot import missing
from initramfs import SUPPORT, pack
from kernels import UnavailableError
from report import Report

_REPORT = pytest.StashKey[Report]()


def pytest_configure(config):
    """Processes that run tests side by side have a CPU each: the lab gives the first guest of each the first CPU."""
    config.stash[_REPORT] = Report()
    if hasattr(config, "workerinput"):
        cpus = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cpus[int(config.workerinput["workerid"][2:]) % len(cpus)]})


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.vm)
            item.add_marker(pytest.mark.timeout(0))  # boot and download have limits of their own


@pytest.fixture(scope="session")
def archive(tmp_path_factory):
    """Packs the guests' archive when first called."""
    scratch = tmp_path_factory.mktemp("guest")

    @functools.cache
    def packed():
        reason = missing()
        if reason:
            raise UnavailableError(reason)
        workload = scratch / "schedtel-load"
        source = SUPPORT / "workloads.c"
        compiler = shutil.which("gcc") or "clang"
        subprocess.run([compiler, "-O2", "-Wall", "-pthread", str(source), "-o", str(workload)], check=True)
        return pack(scratch / "tree", str(workload))

    yield packed
    shutil.rmtree(scratch)  # a quarter of a gigabyte


@pytest.fixture
def report(request):
    """The table at the end of the run."""
    return request.config.stash[_REPORT]


def pytest_sessionfinish(session):
    """Where guests run side by side, each process hands over its rows."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["kernels"] = session.config.stash[_REPORT].packed()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    node.config.stash[_REPORT].add_packed(getattr(node, "workeroutput", {}).get("kernels", ([], [])))  # none if it died


def pytest_terminal_summary(terminalreporter, config):
    lines = config.stash[_REPORT].lines()
    if lines:
        terminalreporter.section("kernels")
        terminalreporter.write_line("\n".join(lines))
