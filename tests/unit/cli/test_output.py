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
