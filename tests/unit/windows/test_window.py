"""Windows of a simulated machine: metrics, groups and NDJSON; samples.py has the history."""

import itertools
import json
from dataclasses import replace

import jsonschema
import numpy as np
import pyarrow as pa
import pytest
import samples

from schedtel.errors import UsageError
from schedtel.windows import schema, tables
from schedtel.windows.invariants import check
from schedtel.windows.window import Window

MS = samples.MS


def summary(window: Window) -> dict[str, object]:
    return window.summary.to_pylist()[0]


def test_windows_tile_time_and_are_numbered(windows):
    assert [w.window_id for w in windows] == [1, 2, 3]
    assert [w.start_ns for w in windows] == [samples.START + i * samples.LENGTH for i in range(3)]
    assert all(a.end_ns == b.start_ns for a, b in itertools.pairwise(windows))


def test_the_laws_hold(windows):
    findings = [finding for a, b in zip([None, *windows], windows, strict=False) for finding in check(b, a)]
    assert len(findings) == 7 + 8 + 8
    assert [f for f in findings if not f.holds] == []


@pytest.mark.parametrize(
    ("table", "column", "laws"),
    [
        ("tasks", "cpu_ns", {"1", "2"}),
        ("tasks", "wait_ns", {"1"}),
        ("cpus", "idle_ns", {"2"}),
        ("cpus", "offline_ns", {"2"}),
        ("cpus", "busy_ns", {"2"}),
        ("preemptions", "wait_ns", {"8"}),
        ("preemptions", "count", {"8"}),
        ("cpus", "teardown_ns", {"2"}),
        ("cpus", "untracked_ns", {"2"}),
        ("tasks", "total_cpu_ns", {"3"}),
        ("tasks", "open_wait_ns", {"9", "10"}),
        ("waits", "wait_ns", {"10"}),
    ],
)
def test_a_law_that_does_not_hold_is_found(windows, table, column, laws):
    batch = getattr(windows[0], table)
    index = batch.schema.get_field_index(column)
    wrong = batch.set_column(index, batch.schema.field(index), pa.array(tables.column(batch, column) + 50 * MS))
    broken = replace(windows[0], **{table: wrong})
    assert {finding.law.split()[0] for finding in check(broken) if not finding.holds} == laws


def test_windows_that_do_not_tile_are_found(windows):
    assert [f.law[0] for f in check(windows[2], windows[0]) if not f.holds] == ["5"]


def test_a_life_within_the_window_worked_on_paper(windows):
    """short: arrived at 1 ms, first CPU at 2 ms, completed at 12 ms, off its CPU at 12.5 ms."""
    [short] = [row for row in windows[0].tasks.to_pylist() if row["comm"] == "short"]
    assert (short["tat_ns"], short["rt_ns"], short["cpu_ns"]) == (11 * MS, 1 * MS, 10 * MS)
    assert (short["alive_ns"], short["exit_code"]) == (11 * MS, 0)
    found = windows[0].metrics
    assert (found.tat.count, found.tat.p50_ns) == (1, 11 * MS)
    # First CPUs in the first window: web0 0 ms, short 1 ms, sleeper 11.5 ms, web1 12 ms, batch 50 ms after arrival.
    assert (found.rt.count, found.rt.p50_ns, found.rt.max_ns) == (5, 11_500_000, 50 * MS)


def test_the_averages_are_time_sums_over_the_window(windows):
    # On CPUs in the second window: cpu 0 web0 for 100 ms; cpu 1 web1 30 ms, batch 50 ms, web1 20 ms.
    found = summary(windows[1])
    assert found["running_avg"] == pytest.approx(2.0)
    # Waiting: batch from 110 to 130, web1 from 130 to 180: 70 ms of 100.
    assert found["runqueue_length_avg"] == pytest.approx(0.7)
    # Blocked: sleeper 100 ms; batch in iowait until 110, and blocked from 180 on: 130 ms, 10 of them iowait.
    assert (found["blocked_avg"], found["iowait_avg"]) == (pytest.approx(1.3), pytest.approx(0.1))


def test_counts_of_the_second_window(windows):
    found = summary(windows[1])
    # web1 is preempted at 130, batch blocks at 180; one wakeup; batch had been on cpu 0.
    counts = ("voluntary_switches", "involuntary_switches", "wakeups", "migrations")
    assert [found[name] for name in counts] == [1, 1, 1, 1]
    assert (found["tasks_active"], found["tasks_folded"], found["tasks_completed"]) == (3, 1, 0)


def test_idle_and_tasks_fill_the_cpus(windows):
    # cpu 0 idles until 1 ms, cpu 1 until 2 ms; in the third window cpu 0 from 250 ms on.
    assert [summary(w)["idle_ns"] for w in windows] == [3 * MS, 0, 50 * MS]


def test_what_runs_after_completion_is_the_cpus(windows):
    # short completes on cpu 1 at 12 ms and leaves it at 12.5 ms.
    assert [summary(w)["teardown_ns"] for w in windows] == [MS // 2, 0, 0]
    assert windows[0].cpus["teardown_ns"].to_pylist() == [0, MS // 2]
    assert windows[0].cpus["busy_ns"].to_pylist() == [99 * MS, 98 * MS]


def test_a_task_that_completed_is_counted_in_one_window(windows):
    assert [summary(w)["tasks_completed"] for w in windows] == [1, 0, 0]
    assert [summary(w)["tasks_arrived"] for w in windows] == [5, 0, 0]


def test_fairness_of_the_window_is_jains_index_of_the_shares(windows):
    # Shares in the second window: web0 100/100, web1 50/(50+50), batch 50/(50+20).
    x = np.array([1, 0.5, 50 / 70])
    assert windows[1].metrics.fairness.jain == pytest.approx(x.sum() ** 2 / (3 * (x**2).sum()))


def test_percentiles_of_the_summary_are_not_low_and_a_sixteenth_high_at_most(windows):
    found = windows[0].metrics.wakeup_wait
    exact = [0, MS, 11_500_000, 12 * MS, 50 * MS]
    assert (found.count, found.mean_ns, found.max_ns) == (5, round(sum(exact) / 5), 50 * MS)
    assert 11_500_000 <= found.p50_ns <= 11_500_000 * 1.0625


def test_no_loss_is_no_loss(windows):
    assert windows[0].losses == {"ring_dropped": 0, "state_failed": 0, "samples_discarded": 0, "programs_skipped": 0}


# ---- groups ----


def test_groups_by_command_sum_their_tasks(windows):
    groups = {group["comm"]: group for group in windows[0].groups("comm").to_pylist()}
    assert groups.keys() == {"web", "batch", "short", "sleeper"}
    # web0 ran 50 ms (1..51) and 9 ms (91..100); web1 87 ms (13..100).
    assert (groups["web"]["tasks"], groups["web"]["cpu_ns"]) == (2, (50 + 9 + 87) * MS)
    assert groups["web"]["max_wait_ns"] == 40 * MS
    assert (groups["short"]["tasks_completed"], groups["short"]["tat_ns"]) == (1, 11 * MS)
    assert (groups["web"]["tasks_completed"], groups["web"]["tat_ns"]) == (0, None)


def test_other_is_a_group_of_no_task_of_its_own(windows):
    groups = {group["comm"]: group for group in windows[1].groups("comm").to_pylist()}
    assert groups.keys() == {"web", "batch", None}
    assert (groups[None]["tasks"], groups[None]["blocked_ns"]) == (0, 100 * MS)


@pytest.mark.parametrize("by", ["comm", "cgroup"])
def test_a_task_that_calls_itself_other_or_has_no_cgroup_is_in_no_group_with_it(windows, by):
    window = windows[1]
    named = window.tasks.set_column(
        window.tasks.schema.get_field_index("comm"),
        window.tasks.schema.field("comm"),
        pa.array(["other"] * window.tasks.num_rows).dictionary_encode(),
    )
    groups = replace(window, tasks=named).groups(by).to_pylist()
    real = [group for group in groups if group["tasks"]]
    (folded,) = [group for group in groups if not group["tasks"]]
    assert folded[by] is None
    assert folded["blocked_ns"] == 100 * MS
    assert sum(group["tasks"] for group in real) == 3
    if by == "comm":
        assert [group["comm"] for group in real] == ["other"]


@pytest.mark.parametrize("by", ["cgroup", "comm", "process", "task", "uid", "kernel_thread", "nice", "tgid", "policy"])
def test_groups_of_every_kind_have_the_same_totals(windows, by):
    for window in windows:
        groups = window.groups(by)
        assert groups.schema.names[0] == by
        for name in schema.TASK_SUMS:
            assert tables.column(groups, name).sum() == tables.column(window.tasks, name).sum()
        assert tables.histograms(groups, "wait_histogram").sum(axis=0).tolist() == (
            tables.histograms(window.tasks, "wait_histogram").sum(axis=0).tolist()
        )
        assert tables.column(groups, "tasks").sum() == (~tables.is_other(window.tasks)).sum()


def test_a_group_of_one_task_is_as_fair_as_can_be(windows):
    fairness = windows[1].groups("task").filter(pa.array([True, True, True, False]))
    assert fairness["fairness_jain"].to_pylist() == [1.0] * 3


@pytest.mark.parametrize("by", ["", "colour", "wait_histogram", "COMM", "cgroup "])
def test_an_unknown_group_is_refused_in_one_line(windows, by):
    with pytest.raises(UsageError, match="cannot group by") as caught:
        windows[0].groups(by)
    assert "\n" not in str(caught.value)


# ---- other shapes ----


def test_ndjson_is_one_line_that_keeps_the_schema(windows):
    validator = jsonschema.Draft202012Validator(schema.ndjson_schema())
    validator.check_schema(schema.ndjson_schema())
    for window in windows:
        line = window.to_ndjson()
        assert "\n" not in line
        validator.validate(json.loads(line))


def test_ndjson_has_the_numbers_of_the_tables(windows):
    for window in windows:
        found = json.loads(window.to_ndjson())
        assert found["tasks"] == window.tasks.to_pylist()
        assert found["cpus"] == window.cpus.to_pylist()
        without_wall = {name: value for name, value in summary(window).items() if name != "wall_start"}
        assert found["summary"] | without_wall == found["summary"]


def test_ndjson_gives_wall_time_in_utc(windows):
    # 1 700 000 000 s after the epoch is 2023-11-14T22:13:20Z.
    assert json.loads(windows[0].to_ndjson())["summary"]["wall_start"].startswith("2023-11-14T22:13:20.123456")


def test_a_missing_or_additional_column_breaks_the_ndjson_schema(windows):
    validator = jsonschema.Draft202012Validator(schema.ndjson_schema())
    line = json.loads(windows[0].to_ndjson())
    del line["tasks"][0]["cpu_ns"]
    assert not validator.is_valid(line)
    assert not validator.is_valid(json.loads(windows[0].to_ndjson()) | {"more": 1})


def test_pandas_has_the_same_names_and_numbers(windows):
    frame = windows[0].to_pandas()
    assert list(frame.columns) == windows[0].tasks.schema.names
    assert frame["cpu_ns"].sum() == tables.column(windows[0].tasks, "cpu_ns").sum()


@pytest.mark.parametrize("table", sorted(schema.TABLES))
def test_every_column_says_its_unit_and_meaning(table):
    for column in schema.TABLES[table]:
        metadata = column.field().metadata
        assert metadata[b"meaning"]
        if column.name.endswith("_ns"):
            assert metadata[b"unit"] == b"ns"
        if column.name.endswith("_histogram"):
            assert len(metadata[b"bucket_edges_ns"].split()) == column.type.list_size + 1
