"""The programs that the benchmarks measure, and what proves that they watched."""

import os
import time
from contextlib import nullcontext

import pytest

from benchmarks import control, kernel, loads, peers, pipe, programs, slowdown, workloads
from benchmarks.failures import PeerError
from benchmarks.kernel import Runs
from benchmarks.loads import Load, Sample
from benchmarks.measures import Plan
from benchmarks.peers import Peer
from benchmarks.workloads import Chunk
from schedtel.kernel.bcc import slots, tracepoints


def by_bcc():
    return next(peer for peer in peers._catalogue(1) if peer.name == "schedtel, bcc")


def test_the_bcc_backend_is_measured_by_its_own_programs():
    named = {program for names in by_bcc().programs.values() for program in names}
    assert named == set(tracepoints.TRACEPOINTS) - {"on_exec"}, "the threads of this load exec nothing"


def test_the_bcc_backend_has_room_for_every_birth_it_is_measured_by_on_any_cpu():
    assert programs._births(by_bcc(), programs.LIVES) + programs.WARM_UP_LIVES <= slots.FREE_SLOTS
    assert programs._births(peers.schedtel(), programs.LIVES) == programs.LIVES


def test_a_peer_whose_programs_did_not_run_at_every_life_did_not_watch():
    peer = Peer("p", watching=None, programs={"fork": ("first", "second")}, most_births=10)
    grown = {"first": Runs(10, 1000), "second": Runs(12, 600)}
    assert programs._mean_ns(peer, "fork", grown) == 150
    for bad in ({**grown, "second": Runs(9, 600)}, {}):
        with pytest.raises(PeerError, match=r"p did not watch: at each fork.* expected 10 runs"):
            programs._mean_ns(peer, "fork", bad)


@pytest.mark.parametrize(
    ("switches", "wakeups", "accepted"),
    [(60, 30, True), (2, 30, False), (60, 2, False), (60, None, False)],
    ids=["both run", "a run or two by chance", "one of two", "one is not there"],
)
def test_who_watches_runs_at_every_switch_and_every_wakeup(monkeypatch, switches, wakeups, accepted):
    grown = {"on_switch": switches, "on_wakeup": wakeups, "flush": 1000}
    before = {name: Runs(5, 0) for name, runs in grown.items() if runs is not None}
    after = {name: Runs(5 + runs, 0) for name, runs in grown.items() if runs is not None}
    seen = iter([before, after])
    monkeypatch.setattr(kernel, "counting", nullcontext)
    monkeypatch.setattr(kernel, "program_runs", lambda _: next(seen))
    with nullcontext() if accepted else pytest.raises(PeerError, match="process 1 does not watch"):
        peers.prove(1, peers.schedtel().programs)


def test_what_somebody_adds_is_told_from_the_load_alone_around_it():
    """The machine is half as fast in the second round; what each watcher adds to a round trip is the same."""
    samples = {"schedtel": [Sample(150.0, 100.0), Sample(250.0, 200.0)]}
    samples["runqlat"] = [Sample(200.0, 100.0), Sample(300.0, 200.0)]
    assert told(pipe._rows(samples)) == {
        ("round trip", "schedtel"): 200,
        ("round trip", "runqlat"): 250,
        ("added", "schedtel"): 50,
        ("added", "runqlat"): 100,
        ("added", "schedtel / runqlat"): 0.5,
    }


def chunks(calm: int, crowded: int, adds: int = 0) -> list[Chunk]:
    """Round trips of 4 and 5 µs: a watcher adds ``adds`` ns to a calm one, and half as much again to a crowded one."""
    return [Chunk((4_000 + adds) * 500, 52_000)] * calm + [Chunk((5_000 + adds * 3 // 2) * 500, 62_000)] * crowded


@pytest.mark.parametrize(
    ("watched", "alone", "added"),
    [
        (chunks(200, 0, adds=600), chunks(400, 0), 600),
        (chunks(60, 140, adds=600), chunks(20, 380), 600),
        (chunks(0, 200, adds=600), chunks(350, 50), 900),
    ],
    ids=["nobody else", "somebody else for most of the time", "somebody beside the watched one throughout"],
)
def test_a_watched_round_trip_is_compared_with_what_was_as_calm(watched, alone, added):
    sample = pipe.like_with_like(watched, alone)
    assert sample.added == added
    assert sample.alone == (4_000 if added == 600 else 5_000)


def test_a_slowdown_is_in_times_of_the_load_alone():
    samples = {("messaging", "schedtel"): [Sample(150.0, 100.0), Sample(300.0, 200.0)]}
    samples["messaging", "runqlat"] = [Sample(200.0, 100.0), Sample(400.0, 200.0)]
    rows = slowdown._rows("messaging", samples, ["schedtel", "runqlat"])
    assert told(rows) == {
        ("messaging", "schedtel"): 225,
        ("messaging", "runqlat"): 300,
        ("messaging, slowdown", "schedtel"): 1.5,
        ("messaging, slowdown", "runqlat"): 2.0,
        ("messaging, slowdown", "schedtel / runqlat"): 0.75,
    }


def test_what_a_collector_does_now_and_then_is_added_as_its_part_of_the_cpus(monkeypatch):
    """The collector takes half of one of two CPUs; the runs need not have noticed it."""
    clock, spent, slept = iter([1_000, 2_000]), iter([500, 1_000]), []
    monkeypatch.setattr(loads.time, "monotonic_ns", lambda: next(clock))
    monkeypatch.setattr(loads.time, "sleep", slept.append)
    monkeypatch.setattr(loads.process, "cpu_ns", lambda _: next(spent))
    monkeypatch.setattr(loads.os, "sched_getaffinity", lambda _: {0, 1})
    assert loads._share_of_cpus(4711, 5) == 0.25
    assert slept == [5]
    alone = [loads.Run(7.0, 100.0), loads.Run(9.0, 100.0)]
    assert loads.compared([loads.Run(8.0, 100.0)], 0.25, alone) == Sample(watched=10.0, alone=8.0)


@pytest.mark.parametrize("collector", [0, os.getpid()], ids=["nobody", "the ladder, attached here"])
def test_nobody_collects_where_nobody_watches_or_only_programs_do(monkeypatch, collector):
    monkeypatch.setattr(loads.process, "cpu_ns", lambda _: time.monotonic_ns())
    assert loads._share_of_cpus(collector, 0.01) == 0.0


def told(rows):
    return {(row.measure, row.subject): row.value for row in rows}


def test_a_load_under_a_watcher_is_compared_with_the_load_alone_at_the_same_pace(monkeypatch):
    """In those turns the machine takes half as long again for everything, and the watcher adds a tenth."""
    took, paces = iter([100.0, 160.0, 165.0, 102.0]), iter([[10, 99], [15, 99], [15, 99], [10, 99]])
    monkeypatch.setattr(loads, "_WATCHED_S", 0)
    monkeypatch.setattr(loads, "_ALONE_S", 0)
    monkeypatch.setattr(loads.workloads, "yardstick", lambda: nullcontext(next(paces)))
    peer = Peer("one", lambda: nullcontext(0), settle_s=0)
    sample = loads.between(Load("ms", lambda: next(took), by_yardstick=True), peer)
    assert sample == Sample(watched=165.0, alone=pytest.approx(1.5 * 101.0))
    assert next(took, None) is None


def test_the_control_sets_what_is_told_beside_what_the_kernel_counted_while_it_watched(monkeypatch):
    """In two runs of 100 ns under the control, the kernel counts 40 ns of its programs: 200 ns instead of 160 ns."""
    counted = iter([0, 0, 0, 15, 15, 40])

    def three_runs(load, _):
        assert [load.run() for _ in range(3)] == [100] * 3
        return Sample(watched=130, alone=100)

    monkeypatch.setattr(control, "between", three_runs)
    monkeypatch.setattr(control, "_counted_ns", lambda: next(counted))
    monkeypatch.setattr(control.workloads, "cpu_ns", lambda _: 100)
    sample = control._sample(control.Controlled(lambda: None, steps=1))
    assert sample == (1.3, 1.25)
    values = told(control._rows("storm", [sample]))
    assert values == {
        ("storm, slowdown", "as told"): 1.3,
        ("storm, slowdown", "by the kernel's count"): 1.25,
        ("storm, time added", "told / counted"): pytest.approx(1.2),
    }


def may_be_first() -> bool:
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return True


@pytest.mark.skipif(not may_be_first(), reason="needs real-time priority (CAP_SYS_NICE)")
def test_the_yardstick_is_there_for_as_long_as_a_load_and_ends_with_it():
    with workloads.yardstick() as pieces:
        time.sleep(0.2)
        assert not pieces
    assert len(pieces) > 10, "on each CPU one every 4 ms"
    assert sorted(pieces) == pieces
    assert 0 < pieces[0] < 1e8


def test_the_slowdown_tells_of_nobody_what_the_machine_makes_of_nothing(monkeypatch):
    def one_is_left_out(takers, rounds, _, turns):
        assert set(turns) == set(takers)
        sampled = dict.fromkeys(slowdown._LOADS, Sample(1.0, 1.0))
        return {name: [sampled] * rounds for name in takers if name != "empty"}, ["empty left out"]

    monkeypatch.setattr(loads, "interleaved", one_is_left_out)
    monkeypatch.setattr(slowdown.workloads, "has_perf", lambda: True)
    monkeypatch.setattr(loads.kernel, "counts", lambda: False)
    monkeypatch.setattr(
        peers, "everybody", lambda _: (by_bcc(), Peer("absent", watching=None, missing="not installed"))
    )
    rows, notes = slowdown.measure(Plan(repeats=2))
    slowed = [row.subject for row in rows if row.measure == "messaging, slowdown"]
    rungs = ["+ timestamp", "+ task storage", "+ books", "+ histograms"]
    assert slowed == ["nobody", *rungs, "schedtel", "schedtel, bcc", peers.FROM_10_MS]
    assert notes == ["empty left out"]
