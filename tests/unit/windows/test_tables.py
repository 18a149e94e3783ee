"""Records in, Arrow columns out."""

import numpy as np
import pyarrow as pa
import pytest

from schedtel.records import layout
from schedtel.windows import tables
from schedtel.windows.schema import ARROW, TASK_SUMS

PATHS = {1: "/", 2: "/user.slice"}


def records(count: int = 1, **columns) -> np.ndarray:
    made = np.zeros(count, layout.TASK_RECORD)
    made["tid"], made["tgid"], made["comm"], made["cgroup_id"] = np.arange(1, count + 1), 1, b"task", 1
    for name, values in columns.items():
        made[name] = values
    return made


def folded(count: int = 1, tasks: int = 1) -> np.ndarray:
    made = np.zeros(count, layout.FOLDED)
    made["tasks"] = tasks
    return made


def batch(made: np.ndarray, other: np.ndarray | None = None) -> pa.RecordBatch:
    return tables.tasks_batch(7, made, folded() if other is None else other, PATHS.get)


def row(**columns) -> dict[str, object]:
    return batch(records(**columns)).to_pylist()[0]


def test_the_schema_is_that_of_the_contract():
    assert batch(records(3)).schema.equals(ARROW["tasks"], check_metadata=True)


def test_times_come_from_their_phases():
    # running 1, wakeup wait 2, preempt wait 4, blocked 8, iowait 16; no column counts unknown and not alive.
    made = records()
    made["bank"]["time_ns"] = [1_000, 1, 2, 4, 8, 16, 1_000, 0]
    found = batch(made).to_pylist()[0]
    assert (found["cpu_ns"], found["iowait_ns"]) == (1, 16)
    assert (found["wakeup_wait_ns"], found["preempt_wait_ns"], found["wait_ns"]) == (2, 4, 2 + 4)
    assert found["blocked_ns"] == 8 + 16


def test_what_has_not_happened_is_null():
    found = row(fork_ns=5, arrival_ns=10)
    unknown = ("first_cpu_ns", "completion_ns", "tat_ns", "rt_ns", "exit_code", "previous_tid", "folded_tasks")
    assert [found[name] for name in unknown] == [None] * len(unknown)
    assert (found["fork_ns"], found["arrival_ns"]) == (5, 10)


def test_turnaround_and_response_time_begin_at_arrival():
    found = row(fork_ns=5, arrival_ns=10, first_cpu_ns=14, completion_ns=110)
    assert (found["tat_ns"], found["rt_ns"]) == (100, 4)


@pytest.mark.parametrize(
    ("status", "code"),
    [(0, 0), (1 << 8, 1), (255 << 8, 255), (9, -9), (11 | 0x80, -11)],  # exit(0), exit(1), exit(255), kill, core dump
)
def test_exit_codes_are_those_of_wait(status, code):
    assert row(arrival_ns=1, completion_ns=2, exit_code=status)["exit_code"] == code


def test_an_exit_code_of_a_living_task_is_none():
    assert row(arrival_ns=1, exit_code=0)["exit_code"] is None


@pytest.mark.parametrize(
    ("comm", "text"),
    [
        (b"plain", "plain"),
        (b"exactly15bytes!", "exactly15bytes!"),
        ("zażółć".encode(), "zażółć"),
        (b"bad\xff\xfe", "bad\\xff\\xfe"),
        ("zażółć gęś".encode()[:15], "zażółć gę\\xc5"),  # the kernel cuts between two bytes of a letter
        (b"", ""),
    ],
)
def test_any_command_name_becomes_text(comm, text):
    assert row(comm=comm)["comm"] == text


def test_what_a_longer_name_has_left_behind_the_end_is_no_part_of_it():
    comm = batch(records(4, comm=[b"ab\0cdef", b"ab", b"b", b"ab\0x"])).column("comm").slice(0, 4)
    assert comm.to_pylist() == ["ab", "ab", "b", "ab"]
    assert comm.dictionary.to_pylist().count("ab") == 1


def test_a_cgroup_that_has_gone_is_null_and_its_id_stays():
    found = batch(records(3, cgroup_id=[2, 99, 1])).to_pylist()[:3]
    assert [r["cgroup"] for r in found] == ["/user.slice", None, "/"]
    assert [r["cgroup_id"] for r in found] == [2, 99, 1]


def test_large_times_survive():
    """Two hundred years of uptime and the largest ids."""
    found = row(arrival_ns=6 * 10**18, completion_ns=6 * 10**18 + 1, tid=2**22, uid=2**32 - 2, cgroup_id=1)
    assert (found["tat_ns"], found["tid"], found["uid"]) == (1, 2**22, 2**32 - 2)


def other_row(other: np.ndarray) -> dict[str, object]:
    found = batch(records(2), other)
    assert tables.is_other(found).tolist() == [False, False, True]
    return found.to_pylist()[-1]


def test_other_is_the_sum_of_everything_folded_and_the_largest_of_the_largest():
    other = folded(3)
    other["alive_ns"], other["tasks"] = [10, 20, 30], [1, 2, 3]
    other["bank"]["time_ns"][:, layout.RUNNING] = [1, 2, 3]
    other["bank"]["max_wait_ns"], other["bank"]["wakeups"] = [5, 9, 7], [1, 1, 1]
    other["bank"]["wait_histogram"][:, 3] = [1, 0, 2]
    found = other_row(other)
    assert (found["alive_ns"], found["folded_tasks"], found["cpu_ns"]) == (60, 6, 6)
    assert (found["max_wait_ns"], found["wakeups"], found["wait_histogram"][3]) == (9, 3, 3)


def test_other_has_sums_and_no_identity():
    found = other_row(folded())
    assert (found["tid"], found["comm"]) == (tables.OTHER_TID, tables.OTHER_COMM)
    assert all(found[name] is not None for name in TASK_SUMS)
    nobody = ("start_boottime_ns", "cgroup", "cgroup_id", "uid", "nice", "arrival_ns", "completion_ns", "tat_ns")
    assert [found[name] for name in nobody] == [None] * len(nobody)


def test_a_task_named_other_is_not_the_row_other():
    assert tables.is_other(batch(records(comm=b"other"))).tolist() == [False, True]


def test_a_burst_of_a_life_that_ended_on_the_edge_has_a_row_or_a_histogram_would_miss_it():
    """The burst ends in the next window, in which the task lived no nanosecond: its row has counts, and no task."""
    other = folded(tasks=0)
    other["bank"]["bursts"] = 1
    found = other_row(other)
    assert (found["bursts"], found["folded_tasks"]) == (1, 0)


def test_a_window_without_an_active_task_has_the_row_other_alone():
    found = batch(records(0))
    assert (found.num_rows, tables.is_other(found).tolist()) == (1, [True])
    assert found.schema.equals(ARROW["tasks"])


def test_a_window_in_which_nothing_was_folded_has_no_row_other():
    assert tables.is_other(batch(records(2), folded(tasks=0))).tolist() == [False, False]
    empty = batch(records(0), folded(tasks=0))
    assert (empty.num_rows, empty.schema) == (0, ARROW["tasks"])


def test_cpus_count_what_is_hidden_and_what_is_torn_down_as_busy():
    banks = np.zeros(2, layout.CPU_BANK)
    banks["time_ns"][:, :5] = [[0, 1, 2, 4, 8], [0, 16, 32, 64, 128]]  # unknown, busy, idle, untracked, teardown
    banks["switches"] = [3, 5]
    banks["samples"]["histogram"][1, :, :, 9] = [[1, 2, 64], [4, 8, 128]]  # wakeup waits, preempt waits, bursts
    found = tables.cpus_batch(7, np.array([0, 3]), banks).to_pylist()
    assert [r["cpu"] for r in found] == [0, 3]
    assert [(r["busy_ns"], r["idle_ns"]) for r in found] == [(1 + 4 + 8, 2), (16 + 64 + 128, 32)]
    assert [(r["untracked_ns"], r["teardown_ns"]) for r in found] == [(4, 8), (64, 128)]
    assert found[1]["wait_histogram"][9] == 1 + 2 + 4 + 8


def test_columns_with_nulls_are_read_as_zeros():
    found = batch(records(2, arrival_ns=[1, 1], completion_ns=[4, 0]))
    assert tables.column(found, "tat_ns").tolist() == [3, 0, 0]


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_concatenated_batches_keep_every_row(rows):
    parts = [batch(records(rows, comm=name)) for name in (b"one", b"two")]
    whole = tables.concatenate(parts, ARROW["tasks"])
    assert whole.to_pylist() == [row for part in parts for row in part.to_pylist()]
    assert tables.concatenate([], ARROW["tasks"]).num_rows == 0
