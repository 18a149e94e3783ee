"""The command with bad input: one line on stderr, exit status 2, no traceback; and what needs no kernel at all."""

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import replace

import jsonschema
import pyarrow as pa
import pytest
from exporting import on_host, preempted
from samples import MS

import schedtel
from schedtel.cli import main
from schedtel.cli.output import FORMATS
from schedtel.recordings.dataset import Dataset
from schedtel.windows import tables
from schedtel.windows.schema import ARROW


@pytest.fixture
def run(monkeypatch, capfd):
    """Run the command in this process; returns its status, stdout and stderr."""

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["schedtel", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capfd.readouterr()

    return command


@pytest.fixture
def recording(tmp_path, windows):
    recorder = schedtel.Recorder(tmp_path / "recording", window="1s")
    for window in windows:
        recorder.write(window)
    return tmp_path / "recording"


WRONG = [
    ["live", "--window", "5"],
    ["live", "--window", "0s"],
    ["live", "--window", "1ns"],
    ["live", "--window", "25h"],
    ["live", "--window", "-5s"],
    ["live", "--window", "nan"],
    ["live", "--window", ""],
    ["live", "--duration", "soon"],
    ["live", "--duration", "0ms"],
    ["live", "--count", "0"],
    ["live", "--count", "-1"],
    ["live", "--count", "many"],
    ["live", "--pid", "0"],
    ["live", "--pid", "-3"],
    ["live", "--pid", "4999999"],
    ["live", "--pid", "init"],
    ["live", "--tid", "0"],
    ["live", "--tid", "4999999"],
    ["live", "--uid", "-1"],
    ["live", "--uid", "4294967296"],
    ["live", "--comm", ""],
    ["live", "--comm", "a-name-of-sixteen-bytes"],
    ["live", "--cgroup", "/no/such/cgroup"],
    ["live", "--cgroup", "../.."],
    ["live", "--kernel-threads", "some"],
    ["live", "--min-activity", "1"],
    ["live", "--min-activity", "1ms", "--all-tasks"],
    ["live", "--ring-size", "3"],
    ["live", "--ring-size", "0"],
    ["live", "--by", "colour"],
    ["live", "--sort", "colour"],
    ["live", "--by", "preemption", "--preemptions", "off"],
    ["live", "--top", "-1"],
    ["live", "--format", "xml"],
    ["live", "--table", "moon"],
    ["live", "-o", "out.xyz"],
    ["live", "-o", "/no/such/directory/out.ndjson"],
    ["live", "--no-such-option"],
    ["live", "--", "no-such-command-anywhere"],
    ["live", "--pid", "1", "--", "true"],
    ["record"],
    ["record", "-o", "/proc/nowhere"],
    ["record", "-o", "/dev/null"],
    ["record", "-o", "/dev/null/deeper", "--window", "1s"],
    ["record", "--window", "1s"],
    ["record", "-o", "unused", "--rotate-size", "0"],
    ["record", "-o", "unused", "--rotate-every", "never"],
    ["show"],
    ["show", "/no/such/recording"],
    ["show", "/"],
    ["show", "/etc/passwd"],
    ["show", "/", "--from", "0"],
    ["show", "grpc://127.0.0.1:1"],
    ["show", "moon://bucket/path"],
    ["record", "-o", "moon://bucket/path"],
    ["record", "-o", "file://relative/path", "--", "true"],
    ["record", "-o", "file://", "--", "true"],
    ["record", "-o", "-", "--", "true"],
    ["import", "/dev/null", "-o", "-"],
    ["show", "-"],
    ["serve", "--listen", "nowhere"],
    ["serve", "--listen", "grpc://0.0.0.0:0"],
    ["serve", "--listen", "grpc+tls://127.0.0.1:0"],
    ["serve", "--listen", "grpc+unix:///proc/no/socket"],
    ["serve", "--from", "/no/such/recording"],
    ["serve", "--from", "/", "--", "true"],
    ["serve", "--from", "/", "--window", "1s"],
    ["serve", "--token-file", "/no/such/token"],
    ["serve", "--tls-cert", "/no/such/certificate"],
    ["serve", "--slow", "never"],
    ["serve", "--history", "0"],
    ["serve", "--max-subscribers", "0"],
    ["serve", "--window", "1ns"],
    ["subscribe"],
    ["subscribe", "recording"],
    ["subscribe", "grpc://127.0.0.1:1"],
    ["subscribe", "grpc+unix:///no/such/socket"],
    ["subscribe", "grpc+tls://127.0.0.1:1", "--ca", "/no/such/authority"],
    ["subscribe", "grpc://127.0.0.1:1", "--token", "0123456789abcdef"],
    ["collect", "-o", "unused"],
    ["collect", "grpc://127.0.0.1:1"],
    ["collect", "recording", "-o", "unused"],
    ["collect", "grpc://127.0.0.1:1", "-o", "/dev/null/deeper"],
    ["export", "graphite"],
    ["export", "prometheus", "--listen", "9435"],
    ["export", "prometheus", "--listen", "127.0.0.1:99999"],
    ["export", "prometheus", "--listen", "0.0.0.0:0"],
    ["export", "prometheus", "--listen", "no.such.host.invalid:0", "--tls-cert", "/no/such/file"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "--tls-cert", "/no/such/file", "--tls-key", "/no/such/file"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "--token-file", "/no/such/token"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "/no/such/recording"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "grpc://127.0.0.1"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "grpc://127.0.0.1:1", "--duration", "1s"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "grpc://127.0.0.1:1", "--comm", "x"],
    ["export", "prometheus", "--max-cgroups", "-1"],
    ["export", "prometheus", "--listen", "127.0.0.1:0", "--window", "1ns"],
    ["export", "otlp"],
    ["export", "otlp", "--endpoint", "127.0.0.1:4318"],
    ["export", "otlp", "--endpoint", "http://127.0.0.1:4318", "--interval", "often"],
    ["export", "otlp", "--endpoint", "https://127.0.0.1:4318", "--ca", "/no/such/file"],
    ["export", "otlp", "--endpoint", "http://127.0.0.1:4318", "/no/such/recording"],
    ["export", "otlp", "--endpoint", "http://127.0.0.1:4318", "--max-hosts", "3"],
    ["report"],
    ["report", "/"],
    ["report", "/no/such/recording", "-o", "page.html"],
    ["report", "/etc/passwd", "-o", "page.html"],
    ["report", "grpc://127.0.0.1:1", "-o", "page.html"],
    ["compare", "/", "grpc://127.0.0.1:1"],
    ["compare", "/", "/", "--count", "0"],
    ["compare", "/", "/", "-o", "-"],
    ["compare"],
    ["compare", "/no/such/recording"],
    ["compare", "/no/such/recording", "/"],
    ["compare", "/", "/", "--format", "xml"],
    ["compare", "/", "/", "--resamples", "5"],
    ["compare", "/", "/", "--confidence", "95"],
    ["compare", "/", "/", "--seed", "-1"],
    ["schema", "--format", "yaml"],
    ["doctor", "--seconds", "0"],
    ["no-such-command"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_bad_input_is_one_line_and_status_2(run, arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*arguments)
    assert status == 2
    assert out == ""
    (line,) = err.splitlines()
    assert line.startswith("schedtel: ")
    assert len(line) > 30
    assert "Traceback" not in err


@pytest.mark.parametrize("option", ["--max-hosts", "--max-cgroups"])
def test_what_export_tells_apart_is_not_none(run, option):
    status, _, err = run("export", "prometheus", "/no/such/recording", option, 0)
    assert status == 2
    assert err.startswith(f"schedtel: Invalid value for '{option}': 0 is not in the range 1<=x")


OF_STREAMS = [
    ["show", "RECORDING"],
    ["report", "RECORDING", "-o", "page.html"],
    ["compare", "RECORDING", "RECORDING"],
    ["export", "otlp", "RECORDING", "--endpoint", "http://127.0.0.1:1"],
    ["export", "otlp", "--endpoint", "http://127.0.0.1:1"],
]


@pytest.mark.parametrize("option", ["token-file", "ca", "tls-cert", "tls-key"])
@pytest.mark.parametrize("arguments", OF_STREAMS, ids=" ".join)
def test_what_is_for_a_server_is_refused_where_there_is_none(run, recording, arguments, option):
    """A token or certificate that nobody is shown would be a promise that is not kept."""
    name = f"--source-{option}" if arguments[0] == "export" else f"--{option}"
    given = [str(recording) if argument == "RECORDING" else argument for argument in arguments]
    status, out, err = run(*given, name, "/no/such/file")
    assert (status, out) == (2, "")
    what = "a recording" if "RECORDING" in arguments else "this machine"
    assert err == f"schedtel: cannot use {name} with {what}: it is for what is served at a URI (drop one of the two)\n"


def test_recording_into_a_directory_with_something_in_it_is_refused(run, tmp_path):
    (tmp_path / "already").write_text("here")
    status, _, err = run("record", "-o", tmp_path)
    assert status == 2
    assert "not empty" in err


@pytest.mark.parametrize("uri", ["", "file://"])
def test_what_cannot_be_recorded_leaves_no_directory_behind(run, tmp_path, uri):
    there = tmp_path / "there"
    there.mkdir()
    for place in (tmp_path / "made" / "for it", there):
        assert run("record", "-o", f"{uri}{place}", "--", "/no/such/command")[0] == 2
    assert list(tmp_path.iterdir()) == [there]


def test_a_directory_that_cannot_be_looked_for_is_named(run, tmp_path):
    status, _, err = run("record", "-o", tmp_path / ("long" * 100))
    assert status == 2
    assert err.startswith(f"schedtel: cannot write {tmp_path}")


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


@pytest.mark.parametrize("name", ["out.ndjson", "out.arrow", "out.txt"])
def test_windows_that_a_recording_does_not_have_replace_no_file(run, recording, tmp_path, name):
    output = tmp_path / name
    assert run("show", recording, "--from", 4, "-o", output)[0] == 2
    assert not output.exists()
    output.write_text("kept")
    assert run("show", recording, "--from", 4, "-o", output)[0] == 2
    assert output.read_text() == "kept"


@pytest.mark.parametrize("wrong", ["--cgroup=/no/such/cgroup", "--window=1ns", "--pid=4999999", "--ring-size=3"])
def test_what_cannot_be_watched_empties_no_file(run, tmp_path, wrong):
    output = tmp_path / "out.ndjson"
    assert run("live", wrong, "-o", output)[0] == 2
    assert not output.exists()
    output.write_text("kept")
    assert run("live", wrong, "-o", output)[0] == 2
    assert output.read_text() == "kept"


def run_buffered(*arguments, stdout):
    """Run the command in a process of its own, whose output is no terminal's and so kept back by Python."""
    command = [sys.executable, "-m", "schedtel.cli", *arguments]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(command, check=False, stdout=stdout, stderr=subprocess.PIPE, text=True, env=buffered)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_full_disk_is_one_line(recording, kind):
    with open("/dev/full", "wb") as full:
        done = run_buffered("show", recording, "--format", kind, stdout=full)
    said = "schedtel: cannot write the output: No space left on device (check the disk and the path)\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.parametrize(
    "written",
    [
        [],
        ["--help"],
        ["schema"],
        *(["report", "RECORDING", "-o", place] for place in ("-", "/dev/stdout")),
        *(["show", "RECORDING", "--format", kind] for kind in FORMATS),
    ],
    ids=" ".join,
)
def test_a_reader_that_has_gone_ends_it_as_sigpipe_does(recording, written):
    """In silence, and whatever Python holds back until its end."""
    arguments = [recording if argument == "RECORDING" else argument for argument in written]
    reader, output = os.pipe()
    os.close(reader)
    try:
        done = run_buffered(*arguments, stdout=output)
    finally:
        os.close(output)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


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


def test_show_tells_who_preempted_whom_and_who_was_throttled(run, recording):
    """Of task 2: batch takes the CPU from one web at 51 ms, and gives it back at 91 ms."""
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
    """Waits of 100 ms in 2, 60 ms in 1 and 50 ms in 10: 50, 60 and 5 ms each."""
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


COMMANDS = ["live", "record", "show", "report", "compare", "serve", "subscribe", "collect", "doctor", "schema"]
COMMANDS += ["export", "export prometheus", "export otlp"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(run, name):
    status, out, _ = run(*name.split(), "--help")
    assert status == 0
    assert out.startswith(f"Usage: schedtel {name}")


@pytest.mark.parametrize("command", ["show", "subscribe"])
@pytest.mark.parametrize("kind", ["ndjson", "arrow"])
def test_a_served_recording_gives_the_bytes_of_the_recording(run, recording, command, kind):
    with schedtel.serve(schedtel.read(recording), "grpc://127.0.0.1:0") as server:
        status, out, err = run(command, server.uri, "--format", kind)
    assert (status, err) == (0, "")
    assert out
    assert out == run("show", recording, "--format", kind)[1]


def test_a_token_from_a_file_lets_in_and_is_never_printed(run, recording, tmp_path):
    token = "0123456789abcdef-from-a-file"
    (tmp_path / "token").write_text(token)
    (tmp_path / "token").chmod(0o600)
    with schedtel.serve(schedtel.read(recording), "grpc://127.0.0.1:0", token=token) as server:
        status, out, err = run("subscribe", server.uri, "--token-file", tmp_path / "token")
        refused = run("subscribe", server.uri)
    assert status == 0
    assert refused[0] == 2
    assert "SCHEDTEL_TOKEN" in refused[2]
    assert not any(token in text for text in (out, err, *refused[1:]))


def test_collect_writes_a_dataset_that_show_reads(run, recording, tmp_path):
    with schedtel.serve(schedtel.read(recording), "grpc://127.0.0.1:0") as server:
        status, _, err = run("collect", server.uri, "-o", tmp_path / "fleet")
    assert status == 0
    assert err == f"collected 3 windows of 1 server to {tmp_path / 'fleet'}: no gaps\n"
    assert run("show", tmp_path / "fleet", "--format", "ndjson") == run("show", recording, "--format", "ndjson")


@pytest.mark.parametrize(("host", "status", "told"), [(None, 2, "choose one: --host db"), ("db", 0, ": 2 windows, ")])
def test_a_page_is_of_one_host(run, windows, tmp_path, host, status, told):
    dataset = Dataset(tmp_path / "fleet")
    for window, name in zip(windows, ("web", "db", "db"), strict=True):
        dataset.write(on_host(window, name))
    chosen = ("--host", host) if host else ()
    found, _, err = run("report", tmp_path / "fleet", "-o", tmp_path / "page.html", *chosen)
    assert (found, told in err) == (status, True)
    assert (tmp_path / "page.html").exists() == (status == 0)


def test_collect_says_which_server_refused_for_good(run, recording, tmp_path):
    with schedtel.serve(schedtel.read(recording), "grpc://127.0.0.1:0", token="0123456789abcdef") as server:
        status, _, err = run("collect", server.uri, "-o", tmp_path / "fleet")
    assert status == 1
    assert "the token is missing or wrong" in err.splitlines()[0]


@pytest.mark.parametrize("name", ["report", "compare"])
def test_a_page_that_cannot_be_written_is_one_line(run, recording, tmp_path, name):
    directories = [recording] * (2 if name == "compare" else 1)
    for place in (tmp_path, tmp_path / "missing" / "page.html", "/dev/null/page.html"):
        status, out, err = run(name, *directories, "-o", place)
        assert (status, out) == (2, "")
        (line,) = err.splitlines()
        assert line.startswith(f"schedtel: cannot write {place}")


def test_a_damaged_recording_makes_no_page(run, recording, tmp_path):
    (recording / "cpus" / "part-000001.parquet").write_bytes(b"PAR1")
    status, _, err = run("report", recording, "-o", tmp_path / "page.html")
    assert status == 2
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


def test_report_writes_a_page_and_says_so(run, recording, tmp_path):
    status, out, err = run("report", recording, "-o", tmp_path / "page.html")
    assert (status, out) == (0, "")
    assert "3 windows" in err
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


def test_report_writes_a_page_to_stdout(run, recording, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run("report", recording, "-o", "-")
    assert status == 0
    assert out.startswith("<!doctype html>")
    assert err.startswith("wrote stdout: 3 windows, ")
    assert list(tmp_path.iterdir()) == [recording]


def test_a_stream_is_drawn_and_compared_like_the_recording_it_is_of(run, recording, long_recording, tmp_path):
    def figures(*arguments):
        status, out, err = run("compare", *arguments, "--format", "json", "--resamples", "100")
        assert (status, err) == (0, "")
        document = json.loads(out)
        return document["metrics"], [document[letter]["windows"] for letter in "ab"]

    with schedtel.serve(schedtel.read(long_recording), "grpc://127.0.0.1:0") as server:
        for bound, windows in (((), 15), (("-n", "5"), 5), (("-d", "150ms"), 2)):
            found = figures(server.uri, server.uri, *bound)
            assert found == figures(long_recording, server.uri, *bound)
            assert found == figures(long_recording, long_recording, *bound)
            assert found[1] == [windows, windows]
        status, _, err = run("report", server.uri, "-n", "5", "-o", tmp_path / "page.html")
        refused = run("report", server.uri, "-d", "soon", "-o", tmp_path / "other.html")
    assert status == 0
    assert "5 windows" in err
    assert server.uri in (tmp_path / "page.html").read_text()
    assert refused[0] == 2
    assert len(refused[2].splitlines()) == 1


def test_compare_says_that_three_windows_tell_nothing(run, recording):
    status, out, err = run("compare", recording, recording)
    assert (status, err) == (0, "")
    assert "cannot tell" in out
    assert "Fewer than 8 windows" in out
    assert "\x1b" not in out


@pytest.fixture
def long_recording(tmp_path, windows):
    """The three windows, five times."""
    recorder = schedtel.Recorder(tmp_path / "long", window="100ms")
    for number, window in enumerate(windows * 5, 1):
        tables = {name: renumbered(getattr(window, name), number) for name in ARROW}
        recorder.write(schedtel.Window(**tables))
    return tmp_path / "long"


def renumbered(batch, number):
    return batch.set_column(0, batch.schema.field(0), pa.array([number] * batch.num_rows, pa.int64()))


def test_compare_of_a_recording_with_itself_shows_no_difference(run, long_recording, tmp_path):
    options = ["--resamples", "100", "-o", tmp_path / "page.html"]
    status, out, _ = run("compare", long_recording, long_recording, *options)
    assert status == 0
    assert "no difference shown" in out
    assert "better in 0, worse in 0, and differs in 0" in out
    assert (tmp_path / "page.html").exists()
    assert "fairness J" not in run("compare", long_recording, long_recording, "--resamples", "100", "--differences")[1]


def test_compare_as_json_is_the_same_for_the_same_seed(run, recording, long_recording):
    arguments = ["compare", long_recording, recording, "--format", "json", "--resamples", "100", "--seed", "3"]
    first, again = (json.loads(run(*arguments)[1]) for _ in range(2))
    assert first == again
    assert first["a"]["windows"] == 15
    assert (first["seed"], first["resamples"]) == (3, 100)
    assert {metric["name"] for metric in first["metrics"]} >= {"wait_p99_ns", "tat_mean_ns", "fairness_jain"}


def test_version(run):
    status, out, _ = run("--version")
    assert status == 0
    assert schedtel.__version__ in out
