"""The file of a trace: refused, cut into pieces, read to its end."""

import io
import os
import subprocess
import sys
import time
from contextlib import suppress

import pytest
from small_traces import IDLE, A, switch

import schedtel
from schedtel.errors import RecordingError, UsageError
from schedtel.traces.text import wall_clock


def test_the_wall_clock_is_the_users_word(trace):
    [window, _] = schedtel.import_trace(trace, "1s", wall_start=wall_clock("2026-01-31T12:00"))
    assert window.to_ndjson().startswith('{"summary":{"window_id":1,')
    assert window.summary["wall_start"][0].as_py().isoformat() == "2026-01-31T12:00:00+00:00"


def test_a_file_that_is_refused_is_closed(tmp_path):
    path = tmp_path / "no-trace"
    path.write_bytes(b"garbage\n")
    with pytest.raises(RecordingError) as refused:
        schedtel.import_trace(path)
    assert str(path) not in {os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")}, refused


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"window": "1ns"}, UsageError),
        ({"form": "dtrace"}, UsageError),
        ({"wall_start": wall_clock("9999-12-31T23:59:59")}, UsageError),
        ({"wall_start": wall_clock("0001-01-01T00:00:00+14:00")}, UsageError),
    ],
)
def test_wrong_arguments(options, error, trace):
    with pytest.raises(error):
        schedtel.import_trace(trace, **options)


def test_a_file_that_is_not_there():
    with pytest.raises(RecordingError, match="No such file"):
        schedtel.import_trace("/nonexistent/trace")


def test_progress_is_known_of_a_file_and_not_of_a_stream(trace):
    with schedtel.import_trace(trace) as source:
        assert source.progress == 0.0
        assert list(source)
        assert source.progress == 1.0
    stream = schedtel.import_trace(io.BytesIO(trace.read_bytes()))
    assert stream.progress is None


def test_a_trace_whose_last_line_has_no_end_and_whose_lines_are_cut_by_chunks(trace, monkeypatch):
    whole = [window.tasks.to_pylist() for window in schedtel.import_trace(trace, "1s")]
    monkeypatch.setattr("schedtel.traces.file._CHUNK_BYTES", 200)
    cut = schedtel.import_trace(io.BytesIO(trace.read_bytes().rstrip(b"\n")), "1s")
    assert [window.tasks.to_pylist() for window in cut] == whole
    assert cut.reading.not_understood == 1


def ends_within(text: bytes, seconds: float, *options: str) -> str:
    """The one line by which the command refuses a text without end on its standard input."""
    command = [sys.executable, "-m", "schedtel.cli", "import", "-", "-o", "/nonexistent/rec", *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        begin = time.monotonic()
        with suppress(BrokenPipeError):
            while process.poll() is None and time.monotonic() - begin < seconds:
                process.stdin.write(text)
        with suppress(subprocess.TimeoutExpired):
            process.wait(1)
        process.kill()
        error = process.stderr.read().decode()
    assert (process.returncode, error.count("\n"), error[:10]) == (2, 1, "schedtel: "), error
    return error


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        (bytes(1 << 20), (), "no line is an event"),
        (bytes(1 << 20), ("--format", "ftrace"), "no line is an event"),
        (b"y\n" * 100_000, ("--format", "perf"), "no line is an event"),
        (b" " * (1 << 20) + b"\n", (), "no line is an event"),
        (b"  a 1 [000] 1.000000: irq:x: y\n" * 10_000, (), "no event of the scheduler in its"),
        (f"{switch(0, 0, IDLE, A)}\n".encode() + bytes(4 << 20), (), "longer than 1 MiB"),
    ],
)
def test_a_text_without_end_is_refused_before_long(text, options, reason):
    assert reason in ends_within(text, 30, *options)


def test_a_device_without_end(tmp_path):
    command = [sys.executable, "-m", "schedtel.cli", "import", "/dev/zero", "-o", str(tmp_path / "rec")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert (ended.returncode, ended.stderr.count("\n"), ended.stdout) == (2, 1, "")
    assert not (tmp_path / "rec").exists()


def test_a_format_that_the_text_has_not(trace):
    with pytest.raises(RecordingError, match="it is text of perf"):
        schedtel.import_trace(trace, form="ftrace")


@pytest.mark.parametrize("place", [1, 5, 9])
def test_a_loss_is_in_a_window_wherever_the_text_is_cut(place, monkeypatch):
    """The text is read by pieces, and all that some of them say is that so much was lost: the last, too."""
    monkeypatch.setattr("schedtel.traces.file._CHUNK_BYTES", 400)
    events = [switch(10 * n, 0, *((A, IDLE) if n % 2 else (IDLE, A))) for n in range(9)]
    comments = ["#" + 99 * "-"] * 12
    lost = [*comments, "LOST 5 events!", *comments]

    def skipped(*lines):
        with schedtel.import_trace(io.BytesIO("".join(f"{line}\n" for line in lines).encode()), "20ms") as source:
            return sum(window.losses["programs_skipped"] for window in source)

    assert skipped(*events[:place], *lost, *events[place:]) == skipped(*events) + 5
