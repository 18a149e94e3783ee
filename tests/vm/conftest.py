"""Guests with other kernels: `make test-vm`. Left out of `make test`, since they take minutes."""

from pathlib import Path

import pytest
from report import Report

_REPORT = pytest.StashKey[Report]()


def pytest_configure(config):
    config.stash[_REPORT] = Report()


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in Path(item.path).parents:
            item.add_marker(pytest.mark.vm)


@pytest.fixture
def report(request):
    """The table at the end of the run."""
    return request.config.stash[_REPORT]


def pytest_terminal_summary(terminalreporter, config):
    if config.stash[_REPORT].rows:
        terminalreporter.section("kernels")
        terminalreporter.write_line("\n".join(config.stash[_REPORT].lines()))
