"""A subscriber that does not read delays neither the publisher nor the other subscribers."""

import itertools
import time
from dataclasses import replace

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from serving import Reader, assert_bit_identical, served, subscribers, take
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.flight import feeds, wire
from schedtel.flight.feeds import LiveFeed, Subscriber
from schedtel.flight.wire import Request


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
    """The window with so many tasks that a few windows fill all buffers between server and subscriber."""
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
        assert sorted(taken)[20] < 0.25, (
            "publishing waits for no subscriber; a stalled one is waited for up to half a second"
        )
        assert reader.error is None
        if slow == "drop":
            eventually(lambda: subscribers(server) == 1)
            with pytest.raises(schedtel.StreamError, match=r"lost .*(too slow|has gone)"):
                list(frozen)
        else:
            rest = list(itertools.takewhile(lambda _: idle.sequence < 41, frozen))
            assert 1 + len(rest) + 1 + idle.windows_missed == 41, "the client counts the windows that did not come"
            assert idle.windows_missed > 0
        begin = time.monotonic()
    assert time.monotonic() - begin < PATIENCE_S / 2, "the end waits for no subscriber"
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
