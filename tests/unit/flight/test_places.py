"""Places of subscribers: half of them are the most that one peer gets."""

import threading
import time

import pytest
from waiting import PATIENCE_S, eventually

from schedtel.errors import StreamError
from schedtel.flight import collect, feeds
from schedtel.flight.collect import Collection, Delivery
from schedtel.flight.feeds import Subscribers
from schedtel.flight.slices import size_of


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(feeds, "_LOOK_S", 0.05)


def test_one_address_gets_half_of_the_places_and_the_others_the_rest():
    places = Subscribers(4)
    mine = [places.join(f"ipv4:192.0.2.1:{port}") for port in (1, 2)]
    with pytest.raises(StreamError, match=r"^2 subscribers of 192\.0\.2\.1 are served already \(serve with more"):
        places.join("ipv4:192.0.2.1:3")
    places.join("ipv6:%5B2001:db8::1%5D:1")
    places.leave(mine[0])
    places.join("ipv4:192.0.2.1:3")
    places.join("ipv4:192.0.2.2:1")
    with pytest.raises(StreamError, match=r"^4 subscribers are served already"):
        places.join("ipv4:192.0.2.3:1")


@pytest.mark.parametrize("peer", ["unix:", "unix:/run/schedtel/socket"])
def test_who_may_open_the_unix_socket_has_no_share(peer):
    places = Subscribers(4)
    for _ in range(4):
        places.join(peer)


def test_a_crowd_that_waits_for_a_place_is_no_larger_than_the_places(monkeypatch):
    """The others are refused at once, so that calls hold no more threads than that for long."""
    monkeypatch.setattr(feeds, "_LOOK_S", 5.0)
    places = Subscribers(2)
    present = [places.join("ipv4:192.0.2.1:1"), places.join("ipv4:192.0.2.2:1")]
    waiting = [threading.Thread(target=places.join, args=(f"ipv4:192.0.2.{n}:1",), daemon=True) for n in (3, 4)]
    for thread in waiting:
        thread.start()
    eventually(lambda: places._waiting == 2)
    begin = time.monotonic()
    with pytest.raises(StreamError, match="served already"):
        places.join("ipv4:192.0.2.5:1")
    assert time.monotonic() - begin < 2
    for subscriber in present:
        places.leave(subscriber)
    for thread in waiting:
        thread.join(PATIENCE_S)
    assert len(places.present()) == 2


def test_windows_that_wait_to_be_written_have_a_limit_of_bytes(windows, monkeypatch):
    """Except for one, which always may wait."""
    monkeypatch.setattr(collect, "MOST_BYTES", 2 * size_of(windows[0]) + 100)
    monkeypatch.setattr(collect, "_LOOK_S", 0.02)
    collection = Collection([], lambda *_: None)
    delivery = Delivery("grpc://127.0.0.1:1", "run", windows[0], {})
    putting = threading.Thread(target=lambda: [collection._put(delivery) for _ in range(6)], daemon=True)
    putting.start()
    eventually(lambda: collection._arrived.qsize() == 2)
    time.sleep(0.2)
    assert collection._arrived.qsize() == 2
    for _ in range(6):
        collection._make_room(collection._arrived.get(timeout=PATIENCE_S))
    putting.join(PATIENCE_S)
    assert collection._waiting_bytes == 0
