"""`schedtel import`: a trace becomes a recording, or one line says why it does not."""

import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from small_traces import write_trace

import schedtel
from schedtel.cli import group, main
from schedtel.errors import UsageError
from schedtel.traces.text import wall_clock


@pytest.fixture
def trace(tmp_path):
    return write_trace(tmp_path / "trace.txt")


def run(*arguments: object, **options) -> object:
    return CliRunner().invoke(group, [str(argument) for argument in arguments], **options)


def test_an_import_is_a_recording_like_any_other(trace, tmp_path):
    result = run("import", trace, "-o", tmp_path / "rec", "-w", "1s")
    assert result.exit_code == 0, result.output
    assert "imported 2 windows over 1.50 s" in result.output
    assert "1 lives completed" in result.output
    assert "1 lines were not understood" in result.output
    recording = schedtel.read(tmp_path / "rec")
    assert [window.losses["programs_skipped"] for window in recording] == [0, 0]
    assert {"imported_from": "perf", "imported_file": str(trace), "imported_events": "7", "host": "web1"}.items() <= (
        recording.metadata.items()
    )
    assert recording.metadata["imported_lines_not_understood"] == "1"
    for command in (["show", tmp_path / "rec"], ["show", tmp_path / "rec", "--by", "comm", "--format", "ndjson"]):
        shown = run(*command)
        assert (shown.exit_code, "task-a" in shown.output) == (0, True)
    assert run("report", tmp_path / "rec", "-o", tmp_path / "rec.html").exit_code == 0
    assert run("compare", tmp_path / "rec", tmp_path / "rec").exit_code == 0


def test_a_trace_on_standard_input(trace, tmp_path):
    command = [sys.executable, "-m", "schedtel.cli", "import", "-", "-o", str(tmp_path / "rec")]
    result = subprocess.run(command, input=trace.read_bytes(), capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert b"imported 1 window" in result.stderr


def test_an_import_without_host_or_wall_clock_is_not_served_and_one_with_both_is(trace, tmp_path):
    assert run("import", trace, "-o", tmp_path / "without").exit_code == 0
    assert run("import", trace, "-o", tmp_path / "with", "--wall-start", "2026-01-31T12:00").exit_code == 0
    with pytest.raises(UsageError, match="--wall-start"):
        schedtel.serve(schedtel.read(tmp_path / "without"), "grpc://127.0.0.1:0")
    with schedtel.serve(schedtel.read(tmp_path / "with"), "grpc://127.0.0.1:0") as server:
        assert server.uri.startswith("grpc://")


def test_a_group_of_tasks_whose_process_is_not_known_says_so(trace, tmp_path):
    run("import", trace, "-o", tmp_path / "rec")
    shown = run("show", tmp_path / "rec", "--by", "process", "-n", "1").output
    assert "unknown" in shown
    run("report", tmp_path / "rec", "-o", tmp_path / "rec.html")
    assert "(process not known)" in (tmp_path / "rec.html").read_text()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "no line is an event"),
        (b"garbage\n" * 1_000, "no line is an event"),
        (b"PERFILE2" + b"\0" * 100, "perf script --ns"),
        (b"\x17\x08\x44tracing" + b"\0" * 100, "trace-cmd report"),
        (b"  a 1 [000] 1.000000: irq:irq_handler_entry: irq=1 name=x\n", "no event of the scheduler"),
        (b"\xff\xfe\x00" * 100_000, "no line is an event"),
    ],
)
def test_what_is_no_trace_is_one_line(content, complaint, tmp_path, monkeypatch, capsys):
    path = tmp_path / "no-trace"
    path.write_bytes(content)
    monkeypatch.setattr("sys.argv", ["schedtel", "import", str(path), "-o", str(tmp_path / "rec")])
    with pytest.raises(SystemExit) as ended:
        main()
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n"), complaint in error) == (2, 1, True), error


def test_at_a_uri_a_trace_is_a_dataset_as_what_is_recorded_there(trace, tmp_path):
    place = f"file://{tmp_path}/the%20fleet"
    command = [sys.executable, "-m", "schedtel.cli", "import", str(trace), "-w", "10ms", "-o", place]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert re.fullmatch(r"schedtel: cannot write to .*: .* no host or no wall clock \(.*\)\n", ended.stderr)
    assert not any(tmp_path.glob("*fleet"))
    command += ["--host", "vm", "--wall-start", "2026-01-31T12:00:00"]
    for _ in range(2):  # several runs may share the dataset
        subprocess.run(command, check=True, timeout=60)
    runs = list((tmp_path / "the fleet" / "summary" / "host=vm" / "day=2026-01-31").iterdir())
    assert len(runs) == 2
    with schedtel.import_trace(trace, "10ms", host="vm", wall_start=wall_clock("2026-01-31T12:00")) as source:
        expected = [window.to_ndjson() for window in source]
    recording = schedtel.read(tmp_path / "the fleet")
    assert [window.to_ndjson() for window in recording] == 2 * expected
    assert recording.metadata["imported_file"] == str(trace)


def test_an_import_without_host_and_clock_is_not_exported(trace, tmp_path):
    """Series are told apart by their host, and a sum has a time."""
    pytest.importorskip("prometheus_client", reason="needs prometheus-client (pip install)")
    command = [sys.executable, "-m", "schedtel.cli"]
    subprocess.run([*command, "import", str(trace), "-o", str(tmp_path / "rec")], check=True, timeout=60)
    command += ["export", "prometheus", str(tmp_path / "rec"), "-l", "127.0.0.1:0"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 2
    assert re.fullmatch(r"schedtel: cannot export .*: it was imported, and knows no host .*\)\n", ended.stderr)
