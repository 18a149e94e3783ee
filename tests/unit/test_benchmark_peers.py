"""Who is measured, and what is taken for a proof that they watched."""

import pytest

from benchmarks import peers, programs
from benchmarks.failures import PeerError
from benchmarks.kernel import Runs
from benchmarks.peers import Peer
from schedtel import slots, tracepoints


def by_bcc():
    return next(peer for peer in peers._catalogue() if peer.name == "schedtel, bcc")


def test_the_bcc_backend_is_measured_by_its_own_programs():
    named = {program for names in by_bcc().programs.values() for program in names}
    assert named == set(tracepoints.TRACEPOINTS) - {"on_exec"}, "the threads of this load exec nothing"


def test_the_bcc_backend_has_room_for_every_birth_it_is_measured_by_on_any_cpu():
    assert programs._lives(by_bcc()) + programs.WARM_UP_LIVES <= slots.FREE_SLOTS
    assert programs._lives(peers.schedtel()) == programs.LIVES


def test_a_peer_whose_programs_did_not_run_at_every_life_did_not_watch():
    peer = Peer("p", watching=None, programs={"fork": ("first", "second")}, most_births=10)
    grown = {"first": Runs(10, 1000), "second": Runs(12, 600)}
    assert programs._mean_ns(peer, "fork", grown) == 150
    for bad in ({**grown, "second": Runs(9, 600)}, {}):
        with pytest.raises(PeerError, match=r"p did not watch: at each fork.* expected 10 runs"):
            programs._mean_ns(peer, "fork", bad)
