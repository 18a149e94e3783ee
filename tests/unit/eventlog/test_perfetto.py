"""A recording as a trace for Perfetto, parsed by the descriptors that Perfetto publishes."""

import io

import pytest
from event_samples import BOOT, NAMES, START, WALL, everything
from event_words import pieces, recorded, switch
from perfetto.protos.perfetto.trace.perfetto_trace_pb2 import FtraceEventBundle, Trace

from schedtel.eventlog import protobuf
from schedtel.eventlog.lookup import Tasks
from schedtel.eventlog.perfetto import write_perfetto
from schedtel.eventlog.recording import EventRecording
from schedtel.foreign_text import bytes_of, utf8

#: As sched_switch prints them (include/trace/events/sched.h): the bits of prev_state.
BITS = {"R": 0, "S": 1, "D": 2, "T": 4, "t": 8, "X": 16, "Z": 32, "P": 64, "I": 128, "R+": 256}


def exported(where):
    recording = EventRecording(where)
    sink = io.BytesIO()
    number = write_perfetto(recording, Tasks(recording.tasks()), sink)
    return recording, number, Trace.FromString(sink.getvalue())


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return exported(everything(tmp_path_factory.mktemp("perfetto") / "rec"))


def bundles(trace):
    return [packet.ftrace_events for packet in trace.packet if packet.HasField("ftrace_events")]


def times(deltas):
    """Times of which the first is whole and the others are told by the difference."""
    found, now = [], 0
    for delta in deltas:
        now += delta
        found.append(now - BOOT)
    return found


def compact(trace):
    """Rows of all switches and wakeups: (time, cpu, …)."""
    switches, wakeups = [], []
    for bundle in bundles(trace):
        own = bundle.compact_sched
        names = [own.intern_table[at] for at in own.switch_next_comm_index]
        fields = (own.switch_next_pid, own.switch_next_prio, own.switch_prev_state, names)
        switches += zip(times(own.switch_timestamp), [bundle.cpu] * len(names), *fields, strict=True)
        names = [own.intern_table[at] for at in own.waking_comm_index]
        fields = (own.waking_pid, own.waking_prio, own.waking_target_cpu, names)
        wakeups += zip(times(own.waking_timestamp), [bundle.cpu] * len(names), *fields, strict=True)
    return switches, wakeups


def plain(trace, name):
    """(cpu, event) of all events of ftrace of a kind."""
    return [(bundle.cpu, event) for bundle in bundles(trace) for event in bundle.event if event.HasField(name)]


def named(tid):
    return "swapper" if tid == 0 else utf8(NAMES[tid])


def test_every_switch_and_wakeup_is_there_with_its_fields(both):
    recording, number, trace = both
    rows = recording.events().to_pylist()
    switches, wakeups = compact(trace)
    assert number == len(rows) > 1_500
    assert sorted(switches) == sorted(
        (row["time_ns"], row["cpu"], row["tid"], row["prio"], BITS[row["prev_state"]], named(row["tid"]))
        for row in rows
        if row["event"] == "switch"
    )
    assert sorted(wakeups) == sorted(
        (row["time_ns"], row["cpu"], row["tid"], row["prio"], row["target_cpu"], named(row["tid"]))
        for row in rows
        if row["event"] == "wakeup"
    )


def test_what_is_neither_is_an_event_of_ftrace_by_the_thread_that_is_on_the_cpu(both):
    recording, _, trace = both
    rows = recording.events().to_pylist()
    moved = [row for row in rows if row["event"] == "migrate"]
    told = plain(trace, "sched_migrate_task")
    assert sorted((event.timestamp - BOOT, cpu, event.pid) for cpu, event in told) == sorted(
        (row["time_ns"], row["cpu"], row["tid"]) for row in moved
    )
    assert {
        (one.pid, one.comm, one.orig_cpu, one.dest_cpu, one.prio)
        for one in (event.sched_migrate_task for _, event in told)
    } == {(row["tid"], named(row["tid"]), row["source_cpu"], row["target_cpu"], row["prio"]) for row in moved}
    born = [row for row in rows if row["event"] == "wakeup_new"]
    told = plain(trace, "sched_wakeup_new")
    assert sorted((event.timestamp - BOOT, cpu, event.sched_wakeup_new.pid) for cpu, event in told) == sorted(
        (row["time_ns"], row["cpu"], row["tid"]) for row in born
    )
    assert {(event.pid, event.sched_wakeup_new.comm) for _, event in told} == {(0, named(row["tid"])) for row in born}


def test_lives_are_told(both):
    _, _, trace = both
    births = {event.task_newtask.pid: event for _, event in plain(trace, "task_newtask")}
    assert {tid: (event.pid, event.task_newtask.comm) for tid, event in births.items()} == {
        12: (7, "child"),
        13: (8, "twin"),
    }
    assert [births[tid].task_newtask.clone_flags for tid in (12, 13)] == [0, 0x10000]
    ((_, name),) = plain(trace, "task_rename")
    assert (name.pid, name.task_rename.pid, name.task_rename.newcomm) == (12, 12, "renamed")
    ((_, run),) = plain(trace, "sched_process_exec")
    assert (run.sched_process_exec.filename, run.sched_process_exec.pid, run.sched_process_exec.old_pid) == (
        "exec",
        12,
        13,
    )
    ((_, end),) = plain(trace, "sched_process_exit")
    assert (end.timestamp - BOOT, end.sched_process_exit.pid) == (START + 12_000_000, 12)


def test_who_was_there_at_the_begin_is_the_process_tree(both):
    recording, _, trace = both
    (tree,) = [packet.process_tree for packet in trace.packet if packet.HasField("process_tree")]
    assert {process.pid: list(process.cmdline) for process in tree.processes} == {
        tid: [named(tid)] for tid in NAMES if tid != 8
    }
    assert [(thread.tid, thread.tgid, thread.name) for thread in tree.threads] == [(8, 7, named(8))]
    assert {bytes_of(row["comm"]) for row in recording.tasks().to_pylist()} >= set(NAMES.values())


def test_a_loss_is_told_by_the_bundle_behind_it(both):
    _, _, trace = both
    told = [bundle for bundle in bundles(trace) if bundle.lost_events]
    assert [bundle.cpu for bundle in told] == [1, 0]
    assert min(event.timestamp - BOOT for event in told[0].event) == START + 10_000_001
    assert times(told[0].compact_sched.switch_timestamp)[0] == START + 10_000_701
    assert not told[1].compact_sched.switch_timestamp


def test_the_clocks_say_what_the_times_are(both):
    _, _, trace = both
    (snapshot,) = [packet.clock_snapshot for packet in trace.packet if packet.HasField("clock_snapshot")]
    clocks = {clock.clock_id: clock.timestamp for clock in snapshot.clocks}
    assert clocks == {6: START + BOOT, 3: START, 1: START + WALL}
    assert snapshot.primary_trace_clock == 6
    (system,) = [packet.system_info for packet in trace.packet if packet.HasField("system_info")]
    assert system.utsname.release == "6.18"


def test_an_empty_recording_is_a_trace(tmp_path):
    _, number, trace = exported(recorded(tmp_path / "rec", pieces({})))
    assert (number, bundles(trace)) == (0, [])


def test_a_long_stretch_is_cut_into_bundles_and_nothing_is_lost(tmp_path):
    words = [switch(1_000 + 10 * number, number % 2, 1 - number % 2) for number in range(150_000)]
    _, number, trace = exported(recorded(tmp_path / "rec", pieces({0: words})))
    assert [len(bundle.compact_sched.switch_timestamp) for bundle in bundles(trace)] == [65_536, 65_536, 18_928]
    switches = [when for bundle in bundles(trace) for when in times(bundle.compact_sched.switch_timestamp)]
    assert [when + BOOT for when in switches] == [1_000 + 10 * at for at in range(150_000)]
    assert number == 150_000


# ---- the writer ----


@pytest.mark.parametrize("value", [0, 1, 127, 128, 300, 2**31 - 1, 2**32, 2**63 - 1, -1, -(2**63)])
def test_a_number_is_what_the_official_library_reads(value):
    text = protobuf.number(2, value)
    parsed = FtraceEventBundle.CompactSched.FromString(protobuf.block(2, protobuf.varints(_array(value)).tobytes()))
    assert list(parsed.switch_prev_state) == [value]
    assert len(text) == 1 + len(protobuf.varints(_array(value)).tobytes())


def _array(*values):
    import numpy as np  # noqa: PLC0415

    return np.array(values, np.int64)
