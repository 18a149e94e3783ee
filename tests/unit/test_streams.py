"""Streams over Arrow Flight: the same numbers from afar, and a slow, rude or vanished subscriber is no harm."""

import concurrent.futures
import itertools
import json
import os
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from serving import (
    PATIENCE_S,
    TABLES,
    Reader,
    assert_bit_identical,
    descriptors,
    eventually,
    served,
    subscribers,
    threads,
)

import schedtel
from schedtel.flight import feeds, wire
from schedtel.flight.feeds import LiveFeed, Subscriber
from schedtel.flight.wire import Request
from schedtel.host.counters import resident_bytes


@pytest.fixture
def recording(windows, tmp_path):
    recorder = schedtel.Recorder(tmp_path / "recording", window="100ms")
    for window in windows:
        recorder.write(window)
    return schedtel.read(tmp_path / "recording")


@pytest.fixture
def replayed(recording):
    """The server of a recording."""
    with schedtel.serve(recording, "grpc://127.0.0.1:0") as server:
        yield server


# ---- the same numbers ----


@pytest.mark.parametrize("transport", ["tcp", "unix"])
def test_a_subscriber_gets_the_windows_of_the_live_run_bit_for_bit(windows, tmp_path, transport):
    uri = "grpc://127.0.0.1:0" if transport == "tcp" else f"grpc+unix://{tmp_path}/run/socket"
    with served(uri) as server:
        reader = Reader(schedtel.subscribe(server.uri))
        eventually(lambda: subscribers(server))
        server.source.feed(*windows)
        server.source.end()
        assert_bit_identical(reader.join().windows, windows)
    assert reader.subscription.ended == "end"
    assert reader.subscription.windows_missed == 0
    assert reader.error is None


def test_every_subscriber_of_a_recording_gets_it_from_its_beginning(replayed, recording):
    for _ in range(2):
        with schedtel.subscribe(replayed.uri) as subscription:
            assert_bit_identical(list(subscription), list(recording))
            assert subscription.metadata.items() >= {"window": "100ms", "kernel": "6.18.0"}.items()


def test_a_stream_is_a_source_like_any_other(replayed, recording):
    with schedtel.subscribe(replayed.uri) as subscription:
        assert subscription.table("cpus").reader().read_all().num_rows == sum(w.cpus.num_rows for w in recording)


def test_who_comes_late_begins_with_the_next_window_or_with_what_is_remembered(windows):
    with served(history=2) as server:
        server.source.feed(*windows)
        eventually(lambda: server.feed.oldest == 2)
        now, history = (Reader(schedtel.subscribe(server.uri, history=h)) for h in (False, True))
        eventually(lambda: subscribers(server) == 2)
        server.source.feed(windows[0])
        server.source.end()
        assert [w.window_id for w in now.join().windows] == [1]
        assert [w.window_id for w in history.join().windows] == [2, 3, 1]


@pytest.mark.parametrize("table", [*TABLES, "groups"])
def test_any_flight_client_reads_one_table(replayed, windows, table):
    client = fl.connect(replayed.uri)
    info = client.get_flight_info(fl.FlightDescriptor.for_path(table))
    chunks = list(client.do_get(info.endpoints[0].ticket))
    client.close()
    batches = [chunk.data for chunk in chunks if chunk.data.num_rows]
    expected = [w.groups("cgroup") if table == "groups" else getattr(w, table) for w in windows]
    assert [batch.to_pylist() for batch in batches] == [batch.to_pylist() for batch in expected if batch.num_rows]
    assert not any(pa.types.is_dictionary(kind) for kind in batches[0].schema.types)
    assert batches[0].schema.equals(info.schema, check_metadata=True)
    markers = [json.loads(chunk.app_metadata.to_pybytes()) for chunk in chunks]
    assert [(m["event"], m["sequence"]) for m in markers] == [("window", 1), ("window", 2), ("window", 3), ("end", 3)]


def test_what_is_to_be_had_is_listed(replayed):
    client = fl.connect(replayed.uri)
    assert [info.descriptor.path for info in client.list_flights()] == [[name.encode()] for name in wire.STREAMS]
    client.close()


# ---- the slow ----


def take(feed, subscriber, request, count):
    events = feed.events(request, subscriber, lambda: False)
    return [next(events) for _ in range(count)], events


def test_thinning_goes_on_with_the_newest_window_and_says_how_many_were_missed(windows):
    feed, subscriber = LiveFeed({}, history=3, slow="thin"), Subscriber("")
    feed.publish(windows[0])
    _, events = take(feed, subscriber, Request(start="history"), 1)
    for _ in range(10):
        feed.publish(windows[1])
    event = next(events)
    assert (event.sequence, event.windows_missed) == (11, 9)
    feed.publish(windows[2])
    event = next(events)
    assert (event.sequence, event.windows_missed) == (12, 0)
    assert subscriber.windows_missed == 9


def test_dropping_ends_the_stream_and_says_how_many_were_missed(windows):
    feed, subscriber = LiveFeed({}, history=3, slow="drop"), Subscriber("")
    feed.publish(windows[0])
    _, events = take(feed, subscriber, Request(start="history"), 1)
    for _ in range(10):
        feed.publish(windows[1])
    with pytest.raises(schedtel.StreamError, match="too slow: 9 windows missed"):
        next(events)


def test_who_resumes_gets_what_is_remembered_and_is_told_of_the_rest(windows):
    feed = LiveFeed({}, history=3)
    for _ in range(10):
        feed.publish(windows[0])
    (event,), _ = take(feed, Subscriber(""), Request(run=feed.run, after=4), 1)
    assert (event.sequence, event.windows_missed) == (8, 3)
    (event,), _ = take(feed, Subscriber(""), Request(run=feed.run, after=9), 1)
    assert (event.sequence, event.windows_missed) == (10, 0)
    (event,), _ = take(feed, Subscriber(""), Request(start="history", run="another", after=9), 1)
    assert (event.sequence, event.windows_missed) == (8, 0)


def test_the_history_is_bounded_in_bytes_and_keeps_the_newest(windows):
    one = feeds.size_of(windows[0])
    feed = LiveFeed({}, history=1000, history_bytes=3 * one)
    for _ in range(50):
        feed.publish(windows[0])
    assert feed.oldest == 48
    small = LiveFeed({}, history=1000, history_bytes=1)
    for _ in range(3):
        small.publish(windows[0])
    assert small.oldest == 3


def test_who_waits_hears_that_the_server_lives(windows, monkeypatch):
    monkeypatch.setattr(feeds, "HEARTBEAT_S", 0.1)
    monkeypatch.setattr(feeds, "_LOOK_S", 0.05)
    (event,), _ = take(LiveFeed({}), Subscriber(""), Request(), 1)
    assert event.kind == wire.ALIVE
    with served() as server:
        reader = Reader(schedtel.subscribe(server.uri))
        time.sleep(0.3)
        server.source.feed(windows[0])
        eventually(lambda: reader.windows)
    assert_bit_identical(reader.join().windows, windows[:1])


def wide(window, rows=4000):
    """A window large enough that a few fill every buffer between server and subscriber."""
    indices = pa.array([0] * rows, pa.int32())
    return replace(window, tasks=window.tasks.take(indices))


@pytest.mark.parametrize("slow", ["thin", "drop"])
def test_a_subscriber_that_never_reads_delays_neither_publishing_nor_others_nor_the_end(windows, slow, monkeypatch):
    from schedtel.flight import server as flight_server  # noqa: PLC0415

    monkeypatch.setattr(flight_server, "STALLED_S", 0.5)
    big = wide(windows[0])
    with served(slow=slow, history=8) as server:
        idle = schedtel.subscribe(server.uri, history=True)
        frozen = iter(idle)
        server.source.feed(big)
        next(frozen)
        reader = Reader(schedtel.subscribe(server.uri))
        eventually(lambda: subscribers(server) == 2)
        taken = []
        for count in range(40):
            begin = time.perf_counter()
            server.feed.publish(big)
            taken.append(time.perf_counter() - begin)
            eventually(lambda n=count: len(reader.windows) + sum(reader.gaps) > n)
        assert sorted(taken)[20] < 0.25, "publishing waits for nobody, who may be stalled for half a second"
        assert reader.error is None
        if slow == "drop":
            eventually(lambda: subscribers(server) == 1)
            with pytest.raises(schedtel.StreamError, match=r"lost .*(too slow|has gone)"):
                list(frozen)
        else:
            rest = list(itertools.takewhile(lambda _: idle.sequence < 41, frozen))
            assert 1 + len(rest) + 1 + idle.windows_missed == 41, "what did not come is counted"
            assert idle.windows_missed > 0
        begin = time.monotonic()
    assert time.monotonic() - begin < PATIENCE_S / 2, "the end waits for nobody"
    idle.close()


def test_the_end_does_not_wait_for_who_does_not_read(windows):
    with served(history=50) as server:
        idle = schedtel.subscribe(server.uri, history=True)
        for _ in range(40):
            server.feed.publish(wide(windows[0]))
        frozen = iter(idle)
        next(frozen)
        begin = time.monotonic()
    assert time.monotonic() - begin < PATIENCE_S / 2
    with pytest.raises(schedtel.StreamError, match="lost"):
        list(frozen)
    idle.close()


def test_who_leaves_before_the_first_window_is_not_counted_for_ever(windows):
    with served(max_subscribers=2) as server:
        for _ in range(20):
            client = fl.connect(server.uri)
            client.do_get(fl.Ticket(Request().ticket())).cancel()
            client.close()
        server.source.feed(windows[0])
        eventually(lambda: server.feed.oldest == 1 and subscribers(server) == 0)
        with schedtel.subscribe(server.uri, history=True) as subscription:
            assert next(iter(subscription)).window_id == 1


# ---- many, malformed, half-open ----


def test_a_thousand_subscribers_come_and_go_and_leave_nothing_behind(windows):
    def visit(_):
        client = fl.connect(server.uri)
        reader = client.do_get(fl.Ticket(Request("tasks", start="history").ticket()))
        rows = reader.read_chunk().data.num_rows
        client.close()  # in the middle of the stream
        return rows

    with served() as server, concurrent.futures.ThreadPoolExecutor(8) as pool:
        server.source.feed(windows[0])
        assert set(pool.map(visit, range(50))) == {windows[0].tasks.num_rows}  # what gRPC makes once
        eventually(lambda: subscribers(server) == 0)
        before = descriptors(), threads(), resident_bytes()
        assert len(list(pool.map(visit, range(1000)))) == 1000
        eventually(lambda: subscribers(server) == 0)
        eventually(lambda: descriptors() <= before[0] + 4)
        eventually(lambda: threads() <= before[1] + 8)
        assert resident_bytes() - before[2] < 60 << 20
        assert server.subscribers.ever == 1050


BAD_TICKETS = [
    b"",
    b"tasks",
    b"\xff\xfe\x00",
    b"[]",
    b"null",
    b"[" * 1000,
    b'{"stream": "rows"}',
    b'{"stream": 1}',
    b'{"strange": 1}',
    b'{"after": -1}',
    b'{"after": true}',
    b'{"after": 1e400}',
    b'{"start": "yesterday"}',
    b'{"stream": "groups", "by": "colour"}',
    b"x" * 1025,
    b"x" * (8 << 20),
]


@pytest.mark.parametrize("ticket", BAD_TICKETS, ids=lambda ticket: repr(ticket[:24]))
def test_a_bad_ticket_gets_one_line_and_no_traceback(replayed, ticket):
    client = fl.connect(replayed.uri)
    with pytest.raises(fl.FlightServerError, match="cannot ") as caught:
        list(client.do_get(fl.Ticket(ticket)))
    assert "Traceback" not in str(caught.value)
    client.close()
    assert subscribers(replayed) == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get_flight_info(fl.FlightDescriptor.for_path("nothing")),
        lambda client: client.get_flight_info(fl.FlightDescriptor.for_path("tasks", "more")),
        lambda client: client.get_flight_info(fl.FlightDescriptor.for_command(b"select")),
        lambda client: list(client.do_action(fl.Action("shutdown", b""))),
        lambda client: client.do_put(fl.FlightDescriptor.for_path("tasks"), pa.schema([]))[0].close(),
        lambda client: client.do_exchange(fl.FlightDescriptor.for_path("tasks"))[1].read_chunk(),
    ],
)
def test_whatever_else_is_asked_gets_one_line_and_no_traceback(replayed, ask):
    client = fl.connect(replayed.uri)
    with pytest.raises(fl.FlightServerError, match="cannot ") as caught:
        ask(client)
    assert "Traceback" not in str(caught.value)
    assert list(client.list_actions()) == []
    client.close()


@pytest.mark.parametrize("said", [b"", b"PRI * HTTP/2.0\r\n", b"GET / HTTP/1.1\r\n\r\n", os.urandom(512)])
def test_connections_that_say_nothing_sensible_are_no_harm(replayed, recording, said):
    port = int(replayed.uri.rpartition(":")[2])
    before = descriptors()
    strangers = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
    for stranger in strangers:
        stranger.sendall(said)
    with schedtel.subscribe(replayed.uri) as subscription:
        assert_bit_identical(list(subscription), list(recording))
    for stranger in strangers:
        stranger.close()
    eventually(lambda: descriptors() <= before + 4)


def test_a_peer_that_vanishes_without_a_word_is_noticed_by_the_kernel(replayed):
    with schedtel.subscribe(replayed.uri):
        port = int(replayed.uri.rpartition(":")[2])
        inherited = []
        for number in os.listdir("/proc/self/fd"):
            try:
                with socket.socket(fileno=os.dup(int(number))) as found:
                    if found.getsockname()[1:2] == (port,) and not found.getsockopt(
                        socket.SOL_SOCKET, socket.SO_ACCEPTCONN
                    ):
                        inherited.append(found.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
            except OSError:
                continue
    assert inherited
    assert set(inherited) == {60_000}


def test_one_subscriber_too_many_is_refused_and_let_in_when_another_leaves(windows):
    with served(max_subscribers=1) as server:
        server.source.feed(windows[0])
        first = schedtel.subscribe(server.uri, history=True)
        next(iter_first := iter(first))
        second = schedtel.subscribe(server.uri, history=True)
        with pytest.raises(schedtel.StreamError, match="1 subscribers are served already"):
            next(iter(second))
        iter_first.close()
        eventually(lambda: subscribers(server) == 0)
        assert next(iter(second)).window_id == 1
        first.close()
        second.close()


# ---- what goes wrong for a subscriber ----


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
        batch = wire.pack(wire.Event(wire.WINDOW, 1, 0, window), wire.windows_schema({}))
        with pytest.raises(schedtel.StreamError, match="without what identifies it"):
            wire.unpack(batch)


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


def test_a_unix_socket_is_its_owners_alone_and_gone_afterwards(recording, tmp_path):
    path = tmp_path / "run" / "socket"
    with schedtel.serve(recording, f"grpc+unix://{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with pytest.raises(schedtel.UsageError, match="somebody serves there already"):
            schedtel.serve(recording, f"grpc+unix://{path}")
    assert not path.exists()


HEAVY = "[m for m in ('pyarrow._flight', 'pyarrow.flight', 'pyarrow._s3fs') if m in sys.modules]"


@pytest.mark.parametrize(
    "program", ["import schedtel", "import schedtel.cli.commands.live", "import schedtel.cli.commands.record"]
)
def test_who_does_not_stream_does_not_import_flight(program):
    command = [sys.executable, "-c", f"import sys\n{program}\nprint({HEAVY})"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
