"""What the unit tests share: the kernel side compiled for the host, and windows made by it."""

import sys
import tracemalloc  # noqa: F401  (pytest does so within a destructor, and fails a test if another interrupts that)

import bcc_machine
import browser
import machine
import pytest
import samples
from edges import started
from host_builds import compiled
from hypothesis import HealthCheck, Phase, settings

from schedtel.cli import main

# Deadlines measure the machine, not the code. The examples are the same on every run, so a failure can be repeated.
settings.register_profile(
    "unit",
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unit")


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """bpf/core/core.bpf.c for the host, with the functions of host_machine.c."""
    return machine.load(compiled(tmp_path_factory.mktemp("host"), "host_machine"))


@pytest.fixture(scope="session")
def bcc_library(tmp_path_factory):
    """bpf/bcc/bcc.c for the host, with the functions of host_bcc.c."""
    return bcc_machine.load(compiled(tmp_path_factory.mktemp("host"), "host_bcc"))


@pytest.fixture
def backend(library):
    """The core backend on one CPU, in its window from 1000 to 2000 ns; every task has a row."""
    return started(library)


@pytest.fixture(scope="session")
def windows(library):
    """Three windows of a small simulated machine, through the real programs, backend and tables."""
    return samples.windows(library)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """A browser for the pages of a module's tests."""
    if browser.found() is None:
        pytest.skip("no Chromium to look at the page with (chromium)")
    opened = browser.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def run(monkeypatch, capfd):
    """Run the command in this process; returns its status, stdout and stderr."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["schedtel", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capfd.readouterr()

    return command
