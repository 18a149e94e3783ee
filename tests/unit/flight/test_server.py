"""Streams over Arrow Flight: a subscriber gets the same numbers, and no caller harms the server."""

import concurrent.futures
import json
import os
import socket

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from serving import TABLES, Reader, assert_bit_identical, descriptors, served, subscribers, threads
from waiting import eventually

import schedtel
from schedtel.flight import wire
from schedtel.flight.wire import Request
from schedtel.host.counters import resident_bytes

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


# ---- many, malformed, half-open ----


def test_hundreds_of_subscribers_come_and_go_and_leave_nothing_behind(windows):
    def visit(_):
        client = fl.connect(server.uri)
        reader = client.do_get(fl.Ticket(Request("tasks", start="history").ticket()))
        rows = reader.read_chunk().data.num_rows
        client.close()  # in the middle of the stream
        return rows

    with served() as server, concurrent.futures.ThreadPoolExecutor(8) as pool:
        server.source.feed(windows[0])
        assert set(pool.map(visit, range(50))) == {
            windows[0].tasks.num_rows
        }  # gRPC makes its threads and descriptors now, once
        eventually(lambda: subscribers(server) == 0)
        before = descriptors(), threads(), resident_bytes()
        assert len(list(pool.map(visit, range(300)))) == 300
        eventually(lambda: subscribers(server) == 0)
        eventually(lambda: descriptors() <= before[0] + 4)
        eventually(lambda: threads() <= before[1] + 8)
        assert resident_bytes() - before[2] < 60 << 20
        assert server.subscribers.ever == 350


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
