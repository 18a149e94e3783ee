"""Where the output goes: files that stay as they were, full disks, readers that have gone."""

import os
import signal
import subprocess
import sys

import pytest

from schedtel.cli.output import FORMATS


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
    """Run the command in a process of its own; Python buffers its output, which is no terminal."""
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
    """The command prints no error, even where Python writes its buffer only at the end."""
    arguments = [recording if argument == "RECORDING" else argument for argument in written]
    reader, output = os.pipe()
    os.close(reader)
    try:
        done = run_buffered(*arguments, stdout=output)
    finally:
        os.close(output)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_on_a_full_disk_is_named(run, recording, kind):
    said = "schedtel: cannot write /dev/full: No space left on device (check the disk and the path)\n"
    assert run("show", recording, "--format", kind, "-o", "/dev/full")[::2] == (2, said)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("written", [["schema"], ["--help"]])
def test_text_that_a_full_disk_refuses_is_one_line(written, unbuffered):
    command = [sys.executable, "-m", "schedtel.cli", *written]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, check=False, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    said = "schedtel: cannot write the output: No space left on device (check the disk and the path)\n"
    assert (done.returncode, done.stderr) == (2, said)


@pytest.mark.parametrize("command", [["show"], ["report", "-o", "page.html"], ["compare", "/"]])
def test_what_cannot_be_read_is_not_said_to_be_written(tmp_path, command):
    """Root without the right to pass by permissions, in a process of its own."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    drop = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.getuid() == 0 else []
    words = [*drop, sys.executable, "-m", "schedtel.cli", *command, str(closed)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 2
    assert "cannot write" not in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_page_beside_a_removed_working_directory_is_one_line(recording, tmp_path):
    command = f"mkdir gone && cd gone && rmdir ../gone && {sys.executable} -m schedtel.cli report {recording} -o p.html"
    done = subprocess.run(["sh", "-c", command], check=False, capture_output=True, text=True, cwd=tmp_path)
    said = "schedtel: cannot write p.html: No such file or directory (choose another file)\n"
    assert (done.returncode, done.stderr) == (2, said)


def test_a_pipe_without_a_reader_is_not_waited_for_without_an_end(run, recording, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    status, _, err = run("show", recording, "-o", tmp_path / "pipe", "--format", "ndjson")
    assert (status, "no program reads this pipe" in err) == (2, True)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_at_the_start_is_no_file_later(recording, tmp_path, closed):
    """No message is written to the output, which would get the number of stderr."""
    show = f"{sys.executable} -m schedtel.cli show {recording} --format ndjson"
    subprocess.run(["sh", "-c", f"{show} -o whole.ndjson"], check=True, cwd=tmp_path)
    subprocess.run(["sh", "-c", f"exec {show} -o out.ndjson {closed}"], check=True, cwd=tmp_path)
    assert (tmp_path / "out.ndjson").read_bytes() == (tmp_path / "whole.ndjson").read_bytes()
    done = subprocess.run(["sh", "-c", f"exec {show} {closed}"], check=False, capture_output=True, cwd=tmp_path)
    missing = b"schedtel: cannot write the output: Bad file descriptor (check the disk and the path)\n"
    assert done.returncode == (2 if ">&-" in closed.replace("2>&-", "") else 0)
    assert done.stderr == (missing if done.returncode and "2>&-" not in closed else b"")
