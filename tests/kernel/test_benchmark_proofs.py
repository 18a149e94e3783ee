"""Peers of the benchmarks on the running kernel: one that watches, one that cannot, one that sees other events."""

import os
import subprocess

import pytest
from bcc_here import mounted_tracefs

from benchmarks import builds, control, kernel, peers, rungs
from benchmarks.failures import BenchmarkError, PeerError
from schedtel.kernel.bcc import tracepoints
from schedtel.kernel.libbpf import BpfObject
from schedtel.records import layout

#: The kernel keeps no more of a program's name (BPF_OBJ_NAME_LEN).
_NAME_BYTES = 15


@pytest.fixture
def by_bcc():
    with mounted_tracefs():
        yield next(peer for peer in peers._catalogue(1) if peer.name == "schedtel, bcc")


def test_the_process_that_is_measured_holds_the_programs_of_bcc(by_bcc):
    with by_bcc.watching() as pid:
        names = {*tracepoints.TRACEPOINTS, *tracepoints.HOTPLUG}
        assert kernel.program_runs(pid).keys() == {name[:_NAME_BYTES] for name in names}
        identities = kernel.program_ids(pid)
    assert not identities & kernel.observer_ids(), "no program is left loaded"


def test_a_backend_that_cannot_run_says_why_in_its_own_words(by_bcc, monkeypatch, tmp_path):
    monkeypatch.setenv("BCC_KERNEL_SOURCE", str(tmp_path))
    reason = peers._tried(by_bcc).missing
    assert reason.startswith("cannot run here: schedtel live ended with 2: schedtel: cannot use the kernel headers in ")


def test_a_program_that_runs_at_something_else_is_no_proof():
    try:
        sizes = {"RECORD_BYTES": layout.TASK_RECORD.itemsize, "STATE_BYTES": rungs.STATE_BYTES}
        ladder = BpfObject(builds.bpf_object("ladder", RUNG=1, **sizes))
    except BenchmarkError as error:
        pytest.skip(str(error))
    try:
        ladder.load()
        ladder.attach("rung_exit")
        with pytest.raises(PeerError, match="does not watch"):
            peers.prove(os.getpid(), rungs.PROGRAMS)
        ladder.attach("rung_switch")
        with pytest.raises(PeerError, match="does not watch: rung_wakeup ran 0 times"):
            peers.prove(os.getpid(), rungs.PROGRAMS)
        ladder.attach("rung_wakeup")
        peers.prove(os.getpid(), rungs.PROGRAMS)
    finally:
        ladder.close()


def test_the_control_runs_at_every_birth_and_exit_and_the_kernel_counts_what_it_takes():
    controlled = control.Controlled(lambda: None, steps=1_000)
    try:
        builds.bpf_object("control", STEPS=controlled.steps)
    except BenchmarkError as error:
        pytest.skip(str(error))
    with control._watching(controlled):
        before, counted_ns = kernel.program_runs(os.getpid()), control._counted_ns()
        subprocess.run(["true"], check=True)
        after = kernel.program_runs(os.getpid())
        assert all(after[name].since(before[name]).runs > 0 for name in control._PROGRAMS)
        assert control._counted_ns() > counted_ns
    assert control._counted_ns() == 0
