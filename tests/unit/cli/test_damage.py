"""Commands that are given a damaged recording: right output and a line on what is missing, or a line and status 2."""

import random
import threading

import pyarrow as pa
import pytest
from hostile import COLUMNS, values_for, with_other_bytes, with_value
from samples import LENGTH, moved

import schedtel
from schedtel.windows.schema import ARROW

#: What takes a recording; DIR and OUT are replaced.
COMMANDS = (
    "show DIR",
    "show DIR --format ndjson",
    "show DIR -o OUT/out.arrow --table tasks",
    "show DIR --by preemption",
    "show DIR --by wait",
    "report DIR -o OUT/page.html",
    "compare DIR DIR --resamples 100",
    "compare DIR DIR --resamples 100 --format json",
    "export otlp DIR --endpoint http://127.0.0.1:9 -q",
)


@pytest.fixture
def use(run, tmp_path):
    """Run a command on a recording that may be damaged; returns its status, stdout and stderr."""

    def use(command, recording):
        words = [word.replace("DIR", str(recording)).replace("OUT", str(tmp_path)) for word in command.split()]
        status, out, err = run(*words)
        assert "Traceback" not in err
        assert all(line.startswith(("schedtel: ", "wrote ")) and line.isprintable() for line in err.splitlines()), err
        if status:
            assert status == 2
            assert len(err.splitlines()) == 1 or words[0] == "export", err
        return status, out, err

    return use


@pytest.mark.parametrize(("table", "column"), COLUMNS)
def test_any_value_in_a_recording_is_right_output_or_one_line(use, recording, table, column):
    """The commands take turns, and so do the values; tests/unit/recordings/test_hostile.py tries all of them."""
    chance = random.Random(f"{table}.{column}")
    for row in range(3):  # in all windows: nothing is whole if the value is refused
        with_value(recording, table, column, chance.choice(values_for(ARROW[table].field(column).type)), row)
    use(chance.choice(COMMANDS[:-1]), recording)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_refuses_a_recording_in_which_nothing_is_whole(use, recording, command):
    for row in range(3):
        with_value(recording, "summary", "fairness_jain", float("inf"), row)
    status, out, err = use(command, recording)
    assert (status, out) == (2, "")
    assert "summary.fairness_jain is no number from 0 on" in err.splitlines()[-1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_reads_what_is_whole_and_tells_of_the_rest(use, recording, windows, command):
    with_value(recording, "summary", "wakeups", None, 1)
    status, _, err = use(command, recording)
    if command.startswith("export"):  # nothing listens there, which is an error of its own
        assert status == 2
    else:
        assert status == 0
    line = f"schedtel: cannot read {recording}/summary/part-000001.parquet: summary.wakeups is null; 1 of its windows"
    assert [told for told in err.splitlines() if told.startswith(line)]


@pytest.mark.parametrize("seed", range(40))
def test_any_byte_of_a_recording_may_be_another(use, recording, seed):
    with_other_bytes(recording, seed)
    use(COMMANDS[seed % (len(COMMANDS) - 1)], recording)


def test_many_damaged_parts_are_not_as_many_lines(use, tmp_path, windows):
    recorder = schedtel.Recorder(tmp_path / "parts", rotate_bytes=1)
    for number in range(1, 13):
        recorder.write(moved(windows[0], number, number * LENGTH))
    for number in range(1, 11):
        (tmp_path / "parts" / "cpus" / f"part-{number:06d}.parquet").write_bytes(b"")
    status, out, err = use("show DIR --format ndjson", tmp_path / "parts")
    assert (status, len(out.splitlines())) == (0, 2)
    assert len(err.splitlines()) == 6
    assert err.splitlines()[-1] == "schedtel: 5 parts more are damaged or missing"


def test_a_damaged_recording_is_served_without_what_is_damaged(recording):
    with_value(recording, "summary", "host", None, 0)
    with schedtel.serve(schedtel.read(recording), "grpc://127.0.0.1:0") as server:
        publisher = threading.Thread(target=server.run)
        with schedtel.subscribe(server.uri, history=True) as stream:
            publisher.start()
            assert [window.window_id for window in stream] == [2, 3]
        server.stop()
        publisher.join()


def test_the_arrow_file_has_the_windows_that_are_whole(use, recording, tmp_path):
    with_value(recording, "tasks", "comm", None, 0)
    assert use(COMMANDS[2], recording)[0] == 0
    with pa.ipc.open_stream(tmp_path / "out.arrow") as reader:
        ids = set(reader.read_all()["window_id"].to_pylist())
    assert ids == {2, 3}
