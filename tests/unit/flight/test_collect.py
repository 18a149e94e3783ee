"""Many servers collected into one dataset: reconnections, outages, and gaps that are noted."""

import itertools
import threading
import time

import duckdb
import pytest
from fleets import hosts
from samples import changed
from serving import TOKEN, Fed, assert_bit_identical, served, unused_port
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.access.tls import Tls
from schedtel.access.uri import parse_address
from schedtel.flight import collect, feeds
from schedtel.flight.client import Subscription
from schedtel.flight.collect import Collection, Delivery, Outage
from schedtel.recordings.dataset import Dataset, host_of
from schedtel.windows.gaps import wall_start


def subscribe(uri, request):
    return Subscription(uri, TOKEN, Tls(), request)


class CollectionReader:
    """A thread that reads a collection."""

    def __init__(self, *uris, connect=subscribe):
        self.collection = Collection(uris, connect)
        self.arrivals, self.troubles = [], []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for what in self.collection:
            (self.arrivals if isinstance(what, Delivery) else self.troubles).append(what)

    def close(self):
        self.collection.close()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    """Shorten the pauses between tries."""
    monkeypatch.setattr(collect, "_FIRST_DELAY_S", 0.05)
    monkeypatch.setattr(collect, "_LONGEST_DELAY_S", 0.2)


def test_many_servers_are_one_dataset_and_the_end_of_all_is_the_end(windows, tmp_path):
    dataset = Dataset(tmp_path)
    with served(token=TOKEN) as one, served(token=TOKEN) as two:
        for server, name in ((one, "web1"), (two, "web2")):
            server.source.feed(*hosts(windows, name))
            server.source.end()
        for arrival in Collection([one.uri, two.uri, one.uri], subscribe):
            assert arrival.gap is None
            dataset.write(arrival.window, arrival.run, arrival.facts)
    found = list(schedtel.read(tmp_path))
    assert [(host_of(w), w.window_id) for w in found] == [(h, n) for h in ("web1", "web2") for n in (1, 2, 3)]
    known = schedtel.read(tmp_path).metadata
    assert all(known[name] == Fed.metadata[name] for name in ("window", "filter", "preemptions"))


def test_a_lost_connection_takes_up_where_it_was_and_nothing_is_missing(windows):
    from schedtel.flight import sockets  # noqa: PLC0415

    with served(token=TOKEN) as server:
        collected = CollectionReader(server.uri)
        port = int(server.uri.rpartition(":")[2])
        for count, window in enumerate(windows, 1):
            server.source.feed(window)
            eventually(lambda n=count: len(collected.arrivals) == n)
            assert sockets.hang_up(parse_address(server.uri), port) == 1
        eventually(lambda: len(collected.troubles) == 3)
        collected.close()
    assert_bit_identical([arrival.window for arrival in collected.arrivals], windows)
    assert [arrival.gap for arrival in collected.arrivals] == [None] * 3
    assert not any(trouble.final for trouble in collected.troubles)


def test_windows_that_were_forgotten_meanwhile_are_a_gap(windows):
    from schedtel.flight import sockets  # noqa: PLC0415

    may_connect = threading.Event()
    may_connect.set()

    def connect(uri, request):
        assert may_connect.wait(PATIENCE_S)
        return subscribe(uri, request)

    with served(token=TOKEN, history=1) as server:
        collected = CollectionReader(server.uri, connect=connect)
        server.source.feed(windows[0])
        eventually(lambda: collected.arrivals)
        may_connect.clear()
        sockets.hang_up(parse_address(server.uri), int(server.uri.rpartition(":")[2]))
        eventually(lambda: collected.troubles)
        server.source.feed(windows[1], windows[2])
        eventually(lambda: server.feed.oldest == 3)
        may_connect.set()
        eventually(lambda: len(collected.arrivals) == 2)
        collected.close()
    gap = collected.arrivals[1].gap
    assert (gap.cause, gap.after_window_id, gap.before_window_id, gap.windows_missed) == ("disconnected", 1, 3, 1)
    assert (gap.gap_end - gap.gap_start).total_seconds() == pytest.approx(0.1)


def test_a_server_that_starts_again_is_another_run_and_a_gap_of_unknown_size(windows, tmp_path):
    with unused_port() as port:
        uri = f"grpc://127.0.0.1:{port}"
        collected = CollectionReader(uri)
        for count in (1, 2):
            with served(uri, token=TOKEN) as server:
                server.source.feed(changed(windows[0], wall_start=1_700_000_000_000_000 + count * 60_000_000))
                eventually(lambda n=count: len(collected.arrivals) == n)
                server.stop()
        eventually(lambda: len(collected.troubles) >= 2)
        collected.close()
    first, second = collected.arrivals
    assert first.gap is None
    assert first.run < second.run
    assert (second.gap.cause, second.gap.windows_missed) == ("restarted", None)
    dataset = Dataset(tmp_path)
    for arrival in collected.arrivals:
        dataset.write(arrival.window, arrival.run)
    dataset.write_gap(second.gap, second.window)
    [row] = duckdb.sql(
        f"select cause, windows_missed, gap_end - gap_start as lost, host "
        f"from read_parquet('{tmp_path}/gaps/**/*.parquet', hive_partitioning=true)"
    ).fetchall()
    assert (row[0], row[1], row[3]) == ("restarted", None, "testhost")
    assert row[2].total_seconds() == pytest.approx(60, abs=1)
    assert second.gap.gap_end == wall_start(second.window)


def test_a_server_that_refuses_us_is_given_up_and_the_others_go_on(windows):
    with served(token=TOKEN[::-1]) as closed, served(token=TOKEN) as open_one:
        open_one.source.feed(*windows)
        open_one.source.end()
        came = list(Collection([closed.uri, open_one.uri], subscribe))
    troubles = [what for what in came if isinstance(what, Outage)]
    assert [(trouble.uri, trouble.final) for trouble in troubles] == [(closed.uri, True)]
    assert "token is missing or wrong" in str(troubles[0].error)
    assert len(came) == 1 + len(windows)


def test_tries_become_rarer_and_are_not_all_at_once(monkeypatch):
    monkeypatch.setattr(collect, "_FIRST_DELAY_S", 1.0)
    monkeypatch.setattr(collect, "_LONGEST_DELAY_S", 8.0)
    waits = []

    def refuse(_uri, _request):
        raise schedtel.StreamError("cannot subscribe to it: no server answers there (start it)")

    collection = Collection(["grpc://127.0.0.1:1"], refuse)

    class Stopped:
        def wait(self, seconds):
            waits.append(seconds)

        def is_set(self):
            return len(waits) >= 7

        def set(self):
            pass

    collection._stopped = Stopped()
    troubles = list(collection)
    assert len(troubles) <= 1, "an outage is reported once"
    for wait, nominal in zip(waits, (1, 2, 4, 8, 8, 8, 8), strict=True):
        assert nominal / 2 <= wait <= nominal * 1.5
    assert len({wait / nominal for wait, nominal in zip(waits, (1, 2, 4, 8, 8, 8, 8), strict=True)}) > 1


def test_leaving_does_not_wait_for_servers_that_are_silent(windows, monkeypatch):
    monkeypatch.setattr(feeds, "HEARTBEAT_S", 3600)
    with served(token=TOKEN) as server:
        collected = CollectionReader(server.uri)
        server.source.feed(windows[0])
        eventually(lambda: collected.arrivals)
        begin = time.monotonic()
        collected.close()
        assert time.monotonic() - begin < PATIENCE_S / 2


def test_collected_windows_tile_but_for_the_gaps(windows):
    with served(token=TOKEN) as server:
        server.source.feed(*windows)
        server.source.end()
        arrivals = list(Collection([server.uri], subscribe))
    for before, after in itertools.pairwise(arrivals):
        assert after.gap or before.window.end_ns == after.window.start_ns
