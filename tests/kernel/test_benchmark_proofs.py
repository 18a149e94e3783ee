"""Peers of the benchmarks in the running kernel: one that watches, one that cannot."""

import pytest
from bcc_here import mounted_tracefs

from benchmarks import kernel, peers
from schedtel import tracepoints


@pytest.fixture
def by_bcc():
    with mounted_tracefs():
        yield next(peer for peer in peers._catalogue() if peer.name == "schedtel, bcc")


def test_the_process_that_is_measured_holds_the_programs_of_bcc(by_bcc):
    with by_bcc.watching() as pid:
        assert kernel.program_runs(pid).keys() == tracepoints.TRACEPOINTS.keys()
        identities = kernel.program_ids(pid)
    assert not identities & kernel.observer_ids(), "none is left behind"


def test_a_backend_that_cannot_run_says_why_in_its_own_words(by_bcc, monkeypatch, tmp_path):
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(tmp_path))
    reason = peers._tried(by_bcc).missing
    assert reason.startswith("cannot run here: schedtel live ended with 2: schedtel: cannot use the kernel headers in ")
