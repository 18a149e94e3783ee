"""`schedtel features`: windows of a recording or a stream as rows, in each format; readers that know nothing of us."""

import csv
import io
import json
import threading

import pandas as pd
import pyarrow as pa
import pytest
from samples import changed

import schedtel
from schedtel import features
from schedtel.cli.output import ROW_FORMATS

IDENTITY = list(features.IDENTITY)


@pytest.mark.parametrize("view", features.VIEWS)
def test_ndjson_is_a_line_a_window_with_null_for_what_is_missing(run, recording, windows, view):
    status, out, err = run("features", recording, "--view", view)
    assert (status, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == len(windows)
    for row, window in zip(rows, windows, strict=True):
        assert list(row) == [*IDENTITY, *window.features(view).names]
        assert {name: row[name] for name in row if name not in IDENTITY} == window.features(view).as_dict()


def test_csv_is_a_head_and_a_record_a_window_and_nothing_for_what_is_missing(run, recording, windows):
    out = run("features", recording, "--format", "csv")[1]
    rows = list(csv.DictReader(io.StringIO(out)))
    for row, window in zip(rows, windows, strict=True):
        assert row["host"] == "testhost"
        for name, value in window.features().as_dict().items():
            assert row[name] == "" if value is None else float(row[name]) == value


def test_csv_has_the_times_that_ndjson_has(run, recording):
    table = pd.read_csv(io.StringIO(run("features", recording, "--format", "csv")[1]))
    line = json.loads(run("features", recording, "-n", 1)[1])
    assert table["wall_start"][0] == line["wall_start"]
    assert table["window_start_ns"][0] == line["window_start_ns"]


def test_arrow_is_a_stream_with_the_schema_of_the_library(run, recording, tmp_path):
    output = tmp_path / "out.arrow"
    assert run("features", recording, "-o", output)[0] == 0
    with pa.ipc.open_stream(output) as reader:
        assert reader.schema.equals(features.schema(), check_metadata=True)
        table = reader.read_all()
    pd.testing.assert_frame_equal(table.to_pandas(), features.frame(schedtel.read(recording)))


@pytest.mark.parametrize(("name", "first"), [("o.csv", "window_id,"), ("o.ndjson", '{"window_id":1'), ("o.json", "{")])
def test_the_extension_chooses_the_format(run, recording, tmp_path, name, first):
    assert run("features", recording, "-o", tmp_path / name)[0] == 0
    assert (tmp_path / name).read_text().startswith(first)


def test_an_unknown_extension_names_those_of_rows(run, recording, tmp_path):
    status, _, err = run("features", recording, "-o", tmp_path / "o.txt")
    assert status == 2
    assert err.endswith("(give --format, or one of .ndjson .jsonl .json .arrow .arrows .csv)\n")
    assert not (tmp_path / "o.txt").exists()


@pytest.mark.parametrize("bound", [("-n", "2"), ("-d", "200ms")])
def test_a_bound_ends_a_recording(run, recording, bound):
    assert len(run("features", recording, *bound)[1].splitlines()) == 2


def test_a_stream_has_the_rows_of_its_windows(run, recording):
    with schedtel.serve(schedtel.read(recording), "grpc://127.0.0.1:0") as server:
        threading.Thread(target=server.run, daemon=True).start()
        assert run("features", server.uri)[1] == run("features", recording)[1]
        server.stop()


@pytest.mark.parametrize(
    ("option", "why"),
    [
        (("--window", "1s"), "cannot use --window with RECORDING: it is for watching this machine"),
        (("--cgroup", "/"), "cannot use --cgroup with RECORDING: it is for watching this machine"),
        (("--ca", "x"), "cannot use --ca with a recording: it is for what is served at a URI"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(run, recording, option, why):
    status, out, err = run("features", recording, *option)
    assert (status, out) == (2, "")
    assert err == f"schedtel: {why.replace('RECORDING', str(recording))} (drop one of the two)\n"


def test_on_this_machine_what_is_for_streams_is_refused(run):
    status, _, err = run("features", "--ca", "x")
    assert status == 2
    assert err.startswith("schedtel: cannot use --ca with this machine")


@pytest.mark.parametrize("wrong", ["--cgroup=/no/such/cgroup", "--window=1ns", "--pid=4999999"])
def test_what_cannot_be_watched_empties_no_file(run, tmp_path, wrong):
    output = tmp_path / "out.csv"
    output.write_text("kept")
    assert run("features", wrong, "-o", output)[0] == 2
    assert output.read_text() == "kept"


@pytest.mark.parametrize("kind", ROW_FORMATS)
def test_a_recording_that_is_none_replaces_no_file(run, tmp_path, kind):
    output = tmp_path / "out"
    output.write_text("kept")
    status, _, err = run("features", tmp_path / "none", "--format", kind, "-o", output)
    assert status == 2
    assert err.startswith("schedtel: cannot read")
    assert output.read_text() == "kept"


def test_a_host_with_a_comma_and_a_newline_is_one_cell(run, tmp_path, windows):
    with schedtel.Recorder(tmp_path / "odd", window="100ms") as recorder:
        recorder.write(changed(windows[0], host='a,"b"\nc'))
    out = run("features", tmp_path / "odd", "--format", "csv")[1]
    head, row = csv.reader(io.StringIO(out))
    assert len(head) == len(row)
    assert row[head.index("host")] == r'a,"b"\nc'


def test_schema_prints_every_feature(run):
    assert run("schema", "--format", "features")[1] == features.markdown()


def test_the_table_that_record_adds_is_a_table_of_show(run, recording, windows):
    out = json.loads(run("show", recording, "-n", 1, "--format", "ndjson")[1])
    (row,) = out["machine"]
    assert row["machine_samples"] == windows[0].machine["machine_samples"][0].as_py()
