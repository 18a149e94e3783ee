"""`schedtel show`: windows of a recording as text, NDJSON and Arrow."""

import csv
import json
import re
from dataclasses import replace

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from exporting import preempted
from samples import MS, replaced

import schedtel
from schedtel.cli.output import FORMATS
from schedtel.windows import tables
from schedtel.windows.schema import ARROW


@pytest.mark.parametrize("damage", [b"", b"PAR1", b"no parquet at all" * 100])
def test_a_damaged_recording_is_named(run, recording, damage):
    (recording / "tasks" / "part-000001.parquet").write_bytes(damage)
    status, _, err = run("show", recording)
    assert status == 2
    (line,) = err.splitlines()
    assert "part-000001.parquet" in line


def test_a_truncated_recording_is_named(run, recording):
    path = recording / "summary" / "part-000001.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    status, _, err = run("show", recording)
    assert status == 2
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_windows_that_a_recording_does_not_have_are_not_shown_in_silence(run, recording, kind):
    assert len(run("show", recording, "--from", 3, "--format", "ndjson")[1].splitlines()) == 1
    status, _, err = run("show", recording, "--from", 4, "--format", kind)
    assert status == 2
    assert err == "schedtel: cannot show window 4 and what follows: the last is 3 (give a smaller --from)\n"


def test_show_prints_every_window_without_escape_codes(run, recording):
    status, out, err = run("show", recording)
    assert (status, err) == (0, "")
    assert out.count("schedtel ") >= len(list(schedtel.read(recording)))
    assert "\x1b" not in out
    assert "turnaround (TAT)" in out


@pytest.mark.parametrize("by", ["task", "process", "cgroup", "comm"])
def test_show_groups(run, recording, by):
    status, out, _ = run("show", recording, "--by", by, "--count", 1)
    assert status == 0
    assert "other" in out


def test_show_has_a_column_for_each_perf_event(run, recording):
    """Of the two events, the second had a counter for half of the time: its counts are estimates."""
    window = next(iter(schedtel.read(recording)))
    _, out, _ = run("show", recording, "--count", 1)
    table = out.splitlines()
    (head,) = [line for line in table if line.startswith("tid ")]
    assert head.split()[-2:] == ["cycles", "page-faults"]
    counted = window.counters.to_pylist()
    for cycles, faults in zip(counted[:-2:2], counted[1:-2:2], strict=True):
        (row,) = [line.split() for line in table if line.startswith(f"{cycles['tid']} ")]
        assert row[-2:] == [str(cycles["count"]), f"~{faults['count']}"]


@pytest.mark.parametrize(("by", "column"), [("comm", "comm"), ("process", "tgid"), ("cgroup", "cgroup")])
def test_the_counts_of_a_group_are_summed(run, recording, by, column):
    window = next(iter(schedtel.read(recording)))
    _, out, _ = run("show", recording, "--count", 1, "--by", by)
    sums = {}
    for row in window.counters.to_pylist():
        if row["tid"] and row["event"] == "cycles":
            sums[row[column]] = sums.get(row[column], 0) + row["count"]
    for key, count in sums.items():
        (line,) = [line.split() for line in out.splitlines() if line.startswith(f"{key} ")]
        assert line[-2] == str(count)


def test_show_tells_who_preempted_whom_and_who_was_throttled(run, recording):
    """Task 2, named batch, takes the CPU from a task named web at 51 ms, and gives it back at 91 ms."""
    status, out, _ = run("show", recording, "--by", "preemption", "--count", 1)
    assert status == 0
    [pair] = [line.split() for line in out.splitlines() if line.startswith("web")]
    assert pair == ["web", "batch", "1", "40.0", "ms", "40.0", "ms", "40.0", "ms"]
    [limit] = [line for line in out.splitlines() if line.startswith("/batch.slice")]
    assert limit.split() == ["/batch.slice", "throttled", "in", "1", "of", "2", "periods", "20.0", "ms"]


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"preemptions": "off"}, "traced with --preemptions off (trace with cgroup or comm)"),
        ({"preemptions": "cgroup"}, "there were none"),
        ({}, "there were none, or they were not traced"),
    ],
)
def test_why_there_are_no_preemptions_to_show_is_said(run, windows, tmp_path, facts, why):
    recorder = schedtel.Recorder(tmp_path / "none")
    recorder.facts = facts
    recorder.write(replace(windows[0], preemptions=tables.empty("preemptions")))
    status, out, err = run("show", tmp_path / "none", "--by", "preemption")
    assert (status, err) == (0, f"schedtel: no preemptions to show: {why}\n")
    assert "throttled in 1 of 2 periods" in out
    for other in (["--by", "cgroup"], ["--by", "preemption", "--format", "ndjson"]):
        assert run("show", tmp_path / "none", *other)[2] == ""


@pytest.mark.parametrize("command", ["show", "subscribe"])
def test_a_stream_says_that_preemptions_were_not_traced(run, windows, tmp_path, command):
    recorder = schedtel.Recorder(tmp_path / "off")
    recorder.facts = {"preemptions": "off"}
    recorder.write(replace(windows[0], preemptions=tables.empty("preemptions")))
    with schedtel.serve(schedtel.read(tmp_path / "off"), "grpc://127.0.0.1:0") as server:
        status, _, err = run(command, server.uri, "--by", "preemption")
    assert status == 0
    assert err.startswith("schedtel: no preemptions to show: traced with --preemptions off (")


@pytest.mark.parametrize(
    ("sort", "order"),
    [
        (None, "abc"),
        ("wait", "abc"),
        ("max-wait", "abc"),
        ("count", "cab"),
        ("mean-wait", "bac"),
        ("mean_wait_ns", "bac"),
    ],
)
def test_who_preempted_whom_is_sorted_by_what_is_asked_for(run, windows, tmp_path, sort, order):
    """The pairs have 2 waits of 50 ms, 1 wait of 60 ms, and 10 waits of 5 ms."""
    pairs = ("/c", "/", 10, 50 * MS), ("/a", "/", 2, 100 * MS), ("/b", "/", 1, 60 * MS)
    schedtel.Recorder(tmp_path / "pairs").write(preempted(windows[0], *pairs))
    status, out, _ = run("show", tmp_path / "pairs", "--by", "preemption", *(["--sort", sort] if sort else []))
    assert status == 0
    assert re.findall(r"^/([abc]) ", out, re.MULTILINE) == list(order)
    assert out.count("▾") == 1


@pytest.mark.parametrize("arguments", [("--sort", "count"), ("--by", "preemption", "--sort", "cpu")])
def test_what_has_no_such_column_is_not_sorted_by_it(run, recording, arguments):
    status, _, err = run("show", recording, *arguments)
    assert status == 2
    assert re.fullmatch(r"schedtel: cannot sort by '\w+': no such column \(use one of .*\)\n", err)


#: What the history of tests/support/samples.py has in its first window, which begins at 22:13:20.123 on the wall clock.
LONGEST_WAITS = [
    ["102", "batch", "0", "wakeup", "50.0 ms", "ended", "22:13:20.124", "web 100"],
    ["100", "web", "0", "preempt", "40.0 ms", "ended", "22:13:20.174", "batch 102"],
    ["101", "web", "1", "wakeup", "12.0 ms", "ended", "22:13:20.124", "sleeper 104"],
    ["104", "sleeper", "1", "wakeup", "11.5 ms", "ended", "22:13:20.124", "short 103"],
    ["103", "short", "1", "wakeup", "1.00 ms", "ended", "22:13:20.124", "(idle)"],
]


def rows_of_waits(out):
    head, *rows = out[out.index("tid ") :].split("\n\n", 1)[0].splitlines()
    assert head.split() == ["tid", "comm", "cpu", "after", "wait▾", "since", "behind"]
    return [re.split(r" {2,}", row.strip()) for row in rows]


def test_show_names_the_longest_waits(run, recording):
    status, out, err = run("show", recording, "--by", "wait", "--count", 1)
    assert (status, err) == (0, "")
    assert rows_of_waits(out) == LONGEST_WAITS
    _, out, _ = run("show", recording, "--by", "wait", "--count", 1, "--top", 2, "--sort", "wait")
    assert rows_of_waits(out) == LONGEST_WAITS[:2]


def test_show_tells_what_is_not_known_of_a_wait(run, windows, tmp_path):
    none = [None]
    open_ = replaced(windows[0].waits.slice(0, 1), goes_on=[True], cpu=none, wait_start_ns=none, behind_tid=none)
    window = replace(windows[0], waits=open_)
    schedtel.Recorder(tmp_path / "open").write(window)
    _, out, _ = run("show", tmp_path / "open", "--by", "wait")
    assert rows_of_waits(out) == [["102", "batch", "?", "wakeup", "≥ 50.0 ms", "goes on", "before tracing", "?"]]
    schedtel.Recorder(tmp_path / "none").write(replace(window, waits=tables.empty("waits")))
    status, _, err = run("show", tmp_path / "none", "--by", "wait")
    assert status == 0
    assert err == "schedtel: no waits to show: there were none, or an earlier schedtel recorded this\n"


def test_waits_have_no_other_order(run, recording):
    status, _, err = run("show", recording, "--by", "wait", "--sort", "cpu")
    assert (status, err) == (2, "schedtel: cannot sort by 'cpu': no such column (use one of wait)\n")


def test_ndjson_lines_fit_the_schema_the_command_prints(run, recording):
    schema = json.loads(run("schema")[1])
    lines = run("show", recording, "--format", "ndjson")[1].splitlines()
    assert len(lines) == len(list(schedtel.read(recording)))
    for line in lines:
        jsonschema.validate(json.loads(line), schema)


@pytest.mark.parametrize("table", list(ARROW))
def test_arrow_is_an_ipc_stream_of_one_table(run, recording, table, tmp_path):
    target = tmp_path / "out.arrow"
    assert run("show", recording, "-o", target, "--table", table)[0] == 0
    with pa.ipc.open_stream(target) as reader:
        rows = reader.read_all().num_rows
    assert rows == sum(getattr(window, table).num_rows for window in schedtel.read(recording))


def test_from_and_count_choose_windows(run, recording):
    lines = run("show", recording, "--format", "ndjson", "--from", 2, "--count", 1)[1].splitlines()
    assert [json.loads(line)["summary"]["window_id"] for line in lines] == [2]


# ---- lives ----


def test_lives_are_a_table_in_seconds_and_milliseconds(run, recording):
    status, out, err = run("show", recording, "--lifetimes")
    assert (status, err) == (0, "")
    head, *rows = out.splitlines()
    assert head.split("  ")[-1] == "life"
    units = [("PID", ""), ("T_Arrival", "s"), ("T_First_CPU", "s"), ("T_Completion", "s")]
    units += [("TAT", "ms"), ("RT", "ms"), ("Total_CPU_Time", "ms")]
    assert all(f"{name} {unit}".strip() in head for name, unit in units)
    [short] = [row.split()[1:] for row in rows if " short " in row]
    assert short == ["short", "0.001000", "0.002000", "0.012000", "11.000", "1.000", "10.000", "whole"]
    [sleeper] = [row.split()[1:6] for row in rows if " sleeper " in row]
    assert sleeper[3:] == ["-", "-"], "what is not known is no 0"
    assert rows[-1].startswith("5 lives: 1 whole, 4 go on;")


def test_lives_are_the_same_in_all_formats(run, recording, tmp_path):
    _, text, _ = run("show", recording, "--lifetimes", "--format", "ndjson")
    rows = [json.loads(line) for line in text.splitlines()]
    assert run("show", recording, "--lifetimes", "-o", tmp_path / "x.parquet")[0] == 0
    assert pq.read_table(tmp_path / "x.parquet").to_pylist() == rows
    assert run("show", recording, "--lifetimes", "-o", tmp_path / "x.arrow")[0] == 0
    assert pa.ipc.open_stream(tmp_path / "x.arrow").read_all().to_pylist() == rows
    _, text, _ = run("show", recording, "--lifetimes", "--format", "csv")
    printed = list(csv.DictReader(text.splitlines()))
    assert printed == [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


def test_a_life_that_is_not_possible_is_shown_and_told_by_the_status(run, windows, tmp_path):
    cpu_ns = [10**12 if comm == "short" else known for comm, known in _cpu_times(windows[0])]
    impossible = replace(windows[0], tasks=replaced(windows[0].tasks, total_cpu_ns=cpu_ns))
    schedtel.Recorder(tmp_path / "bad").write(impossible)
    status, out, err = run("show", tmp_path / "bad", "--lifetimes")
    assert (status, err) == (1, "schedtel: 1 of 5 lives are not possible (column broken says why)\n")
    assert [row.rpartition("  ")[2] for row in out.splitlines() if " short " in row] == ["not CPU <= TAT"]


def _cpu_times(window):
    return [(row["comm"], row["total_cpu_ns"]) for row in window.tasks.to_pylist()]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--lifetimes", "--top", "3"), "cannot use --top with --lifetimes"),
        (("--lifetimes", "--by", "comm"), "cannot use --by with --lifetimes"),
        (("--lifetimes", "--table", "cpus"), "cannot use --table with --lifetimes"),
        (("--format", "csv"), "cannot write windows as csv"),
        (("-o", "x.parquet"), "cannot tell the format of 'x.parquet'"),
    ],
)
def test_options_for_lives_and_for_windows_are_not_mixed(run, recording, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    status, out, err = run("show", recording, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith(f"schedtel: {said}")
    assert not (tmp_path / "x.parquet").exists()
