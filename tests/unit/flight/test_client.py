"""What goes wrong for a subscriber, and how it stops."""

import subprocess
import sys

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from serving import Reader, assert_bit_identical, served
from waiting import eventually

import schedtel
from schedtel.flight import wire
from schedtel.flight.assembly import Assembly


def test_a_server_killed_in_the_middle_of_a_stream_is_one_line(recording, tmp_path):
    program = (
        "import sys, time, schedtel\n"
        "class Slow(schedtel.Source):\n"
        "    def __iter__(self):\n"
        "        for window in schedtel.read(sys.argv[1]): yield window\n"
        "        time.sleep(60)\n"
        "with schedtel.serve(Slow(), 'grpc://127.0.0.1:0') as server:\n"
        "    print(server.uri, flush=True)\n"
        "    server.run()\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "recording")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            subscription = schedtel.subscribe(server.stdout.readline().strip(), history=True)
            stream = iter(subscription)
            assert_bit_identical([next(stream) for _ in range(3)], list(recording))
        finally:
            server.kill()
        with pytest.raises(schedtel.StreamError, match=r"^lost grpc://.*the server has gone") as caught:
            next(stream)
        assert "\n" not in str(caught.value)
        subscription.close()


def test_a_server_with_other_definitions_is_refused(replayed, monkeypatch):
    monkeypatch.setattr(wire, "metadata", lambda _facts: {"schedtel.definitions_version": "99"})
    with pytest.raises(schedtel.StreamError, match="definitions have version 99, this schedtel has 1"):
        schedtel.subscribe(replayed.uri)


@pytest.mark.parametrize("column", ["window_id", "wall_start", "host"])
def test_a_window_without_its_identity_is_refused(windows, column):
    summary = windows[0].summary
    nothing = [pa.nulls(1, f.type) if f.name == column else summary.column(f.name) for f in summary.schema]
    hollow = schedtel.Window(pa.RecordBatch.from_arrays(nothing, schema=summary.schema), *_tables(windows[0]))
    empty = schedtel.Window(summary.slice(0, 0), *_tables(windows[0]))
    for window in (hollow, empty):
        (batch,) = wire.pack(wire.Event(wire.WINDOW, 1, 0, window), wire.windows_schema({}))
        with pytest.raises(schedtel.StreamError, match=f"summary.{column} is null|summary has 0 rows"):
            Assembly().add(batch)


def _tables(window):
    return window.tasks, window.cpus


def test_a_server_of_something_else_is_refused():
    class Other(fl.FlightServerBase):
        def get_flight_info(self, _context, descriptor):
            return fl.FlightInfo(pa.schema([("x", pa.int64())]), descriptor, [], 0, 0)

    with (
        Other("grpc://127.0.0.1:0") as other,
        pytest.raises(schedtel.StreamError, match="definitions have version none"),
    ):
        schedtel.subscribe(f"grpc://127.0.0.1:{other.port}")


def test_stop_ends_a_stream_that_waits(windows):
    with served() as server:
        server.source.feed(windows[0])
        subscription = schedtel.subscribe(server.uri, history=True)
        reader = Reader(subscription)
        eventually(lambda: reader.windows)
        subscription.stop()
        assert reader.join().error is None
        assert subscription.ended == "stop"


HEAVY = "[m for m in ('pyarrow._flight', 'pyarrow.flight', 'pyarrow._s3fs') if m in sys.modules]"


@pytest.mark.parametrize(
    "program", ["import schedtel", "import schedtel.cli.commands.live", "import schedtel.cli.commands.record"]
)
def test_who_does_not_stream_does_not_import_flight(program):
    command = [sys.executable, "-c", f"import sys\n{program}\nprint({HEAVY})"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
