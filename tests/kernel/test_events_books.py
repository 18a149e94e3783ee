"""The scheduler's books of the running kernel, against what it prints of them in /proc/PID/sched, and against its table
of weights (kernel/sched/core.c: sched_prio_to_weight).
"""

import os
from contextlib import contextmanager
from pathlib import Path

import pyarrow.compute as pc
import pytest
from books_at_rest import child, printed, run_until_it_blocks
from kernel_programs import program_ids
from surroundings import made_cgroup
from traced_events import tracing
from waiting import PATIENCE_S, eventually

from schedtel.errors import CapabilityError
from schedtel.host.cgroups import cpu_hierarchy
from schedtel.kernel.events import tracer

pytestmark = pytest.mark.skipif(not Path("/proc/self/sched").exists(), reason="needs /proc/PID/sched (SCHED_DEBUG)")
#: Of nice -20 to 19; scaled by 1024 on kernels of 64 bits.
WEIGHTS = {-20: 88761, 0: 1024, 19: 15}


def books_of(process, **options):
    """The rows of a child that sleeps and then blocks; and what the kernel prints of it in the end."""
    with tracing(pid=process.pid, books=True, **options) as traced:
        run_until_it_blocks(process)
        at_rest = printed(process.pid)
    return traced, [row for row in traced.table("books").to_pylist() if row["tid"] == process.pid], at_rest


@pytest.mark.parametrize("nice", WEIGHTS)
def test_at_rest_the_books_are_what_the_kernel_prints(last_cpu, nice):
    with child(last_cpu, nice) as process:
        traced, rows, (vruntime, weight) = books_of(process)
    own = [row for row in rows if row["level"] == 0]
    assert traced.gaps("books_full") == []
    assert (own[-1]["role"], own[-1]["vruntime_ns"]) == ("leaves", vruntime)
    assert {row["weight"] for row in own} == {weight} == {WEIGHTS[nice] << 10}


def test_what_is_told_is_told_of_an_event_and_holds_by_itself(last_cpu):
    with child(last_cpu) as process:
        traced, rows, _ = books_of(process)
    own = [row for row in rows if row["level"] == 0]
    events = {(row["cpu"], row["time_ns"]): row for row in traced.rows("events")}
    for row in own:
        event = events[row["cpu"], row["time_ns"]]
        assert event["prev_tid" if row["role"] == "leaves" else "tid"] == process.pid
        assert event["event"] == {"wakes": "wakeup", "migrates": "migrate"}.get(row["role"], "switch")
    assert [row["role"] for row in own].count("comes") >= 20
    assert all(row["on_rq"] and row["is_current"] for row in own if row["role"] == "comes")
    assert all(row["on_rq"] and not row["sched_delayed"] for row in own if row["role"] == "wakes")
    # A deadline is a slice ahead when it is set, and a slice is worth slice * 1024 / 1024 at nice 0; what has run since
    # was taken off.
    assert all(0 < row["deadline_ns"] - row["vruntime_ns"] <= row["slice_ns"] for row in own if row["role"] == "wakes")


def weigh(group, percent):
    """Give a cgroup so much of the usual weight, in the words of cgroup v1 or of v2."""
    if (group / "cpu.shares").exists():
        (group / "cpu.shares").write_text(str(1024 * percent // 100))
    elif (group / "cpu.weight").exists():
        (group / "cpu.weight").write_text(str(percent))
    else:
        pytest.skip("needs the CPU controller in cgroups that are made at the root")


@contextmanager
def nested_groups():
    """A cgroup with half of the usual weight, and in it one with twice as much."""
    root = cpu_hierarchy()
    if root is None:
        pytest.skip("needs a cgroup hierarchy with the CPU controller")
    with made_cgroup(Path(root) / f"schedtel-{os.getpid()}-books") as outer:
        if (outer / "cgroup.subtree_control").exists():
            (outer / "cgroup.subtree_control").write_text("+cpu")
        with made_cgroup(outer / "inner") as inner:
            weigh(outer, 50)
            weigh(inner, 200)
            yield inner


def test_each_cgroup_is_a_level_with_its_weight(last_cpu):
    """A group whose only thread is here has its whole weight here: 1024 for the usual one, scaled by 1024."""
    with nested_groups() as group, child(last_cpu) as process:
        (group / "cgroup.procs").write_text(str(process.pid))
        _, rows, _ = books_of(process)
    by_level = {level: [row for row in rows if row["level"] == level] for level in range(4)}
    assert by_level[3] == []
    assert len({row["entity"] for row in by_level[1]}) == len({row["queue"] for row in by_level[0]}) == 1
    assert {row["parent"] for row in by_level[0]} == {row["entity"] for row in by_level[1]}
    assert {row["parent"] for row in by_level[1]} == {row["entity"] for row in by_level[2]}
    assert {row["parent"] for row in by_level[2]} == {None}
    assert {row["weight"] for row in by_level[1] if row["on_rq"]} == {2048 << 10}
    assert {row["weight"] for row in by_level[2] if row["on_rq"]} == {512 << 10}
    assert {row["queued"] for row in by_level[0] if row["role"] == "comes"} == {1}


def test_a_task_that_waits_at_the_begin_is_told_at_the_next_switch(start, last_cpu):
    """Two that spin on one CPU: one of them is not running when tracing begins."""
    spinners = [start("spin", 3, cpu=last_cpu) for _ in range(2)]
    eventually(lambda: all(printed(process.pid)[0] for process in spinners))
    with tracing(books=True) as traced:
        eventually(lambda: any(batch.books.num_rows for batch in list(traced.batches)))
    books = traced.table("books")
    told = books.filter(pc.equal(books["role"], "queued"))["tid"].to_pylist()
    assert {process.pid for process in spinners} & set(told)


def test_without_being_asked_for_no_books_are_loaded_or_told(last_cpu):
    before = program_ids("on_switch")
    with child(last_cpu) as process, tracing(pid=process.pid) as traced:
        assert len(program_ids("on_switch") - before) == 1
        run_until_it_blocks(process)
    assert traced.table("books").num_rows == 0
    assert traced.table("events").num_rows > 20


def test_what_finds_the_ring_of_books_full_is_told(start, last_cpu):
    """A ring of 256 events has room for 128 books, of which a round of the pipe has ten."""
    process = start("pingpong", 20_000, cpu=last_cpu, gated=True)
    with tracing(pid=process.pid, books=True, ring_bytes=4096) as traced:
        process.stdin.close()
        assert process.wait(PATIENCE_S) == 0
    gaps = [row for row in traced.gaps("books_full") if row["cpu"] == last_cpu]
    known = {row["time_ns"] for row in traced.table("books").to_pylist() if row["cpu"] == last_cpu}
    assert gaps
    assert all(row["to_ns"] in known for row in gaps[:-1])


def test_a_kernel_without_the_books_is_refused_in_a_line(monkeypatch):
    monkeypatch.setattr(tracer, "_BOOK_FIELDS", ("deadline", "lag_of_another_kernel"))
    with pytest.raises(CapabilityError, match="this kernel's sched_entity has no lag_of_another_kernel"):
        tracer.require_books()
