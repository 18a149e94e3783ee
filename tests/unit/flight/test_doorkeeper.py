"""Connections to a server that prove nothing: how many stay, how long, and who goes first."""

import resource
import socket
import time

import pytest
from serving import TOKEN, assert_bit_identical, descriptors, no_descriptor_left, served
from waiting import eventually

import schedtel
from schedtel.access.places import OWN, Connection, holders, surplus
from schedtel.flight import doorkeeper


def port_of(server):
    return int(server.uri.rpartition(":")[2])


def connected(port, count):
    return [socket.create_connection(("127.0.0.1", port)) for _ in range(count)]


def gone(connection):
    connection.settimeout(0)
    try:
        return connection.recv(4096) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_a_connection_without_a_call_is_ended_whatever_it_sends(replayed, monkeypatch):
    """Also one that drips: the time-out is of all the time, and not of silence."""
    monkeypatch.setattr(doorkeeper, "UNPROVEN_S", 1.0)
    (silent, dripping), begin = connected(port_of(replayed), 2), time.monotonic()
    said = iter(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))

    def ended():
        dripping.settimeout(1)
        try:
            dripping.sendall(bytes([next(said, 0)]))
        except OSError:
            return True
        return False

    eventually(ended, every_s=0.1)
    eventually(lambda: gone(silent))
    assert time.monotonic() - begin > 0.9
    silent.close(), dripping.close()


def test_a_stream_stays_however_long_it_waits(windows, monkeypatch):
    monkeypatch.setattr(doorkeeper, "UNPROVEN_S", 0.5)
    monkeypatch.setattr(doorkeeper, "IDLE_S", 0.5)
    with served() as server, schedtel.subscribe(server.uri, history=True) as subscription:
        stream = iter(subscription)
        server.source.feed(windows[0])
        assert next(stream).window_id == 1
        time.sleep(2)
        server.source.feed(windows[1])
        assert next(stream).window_id == 2


def test_a_client_that_was_idle_for_long_connects_again(windows, monkeypatch):
    monkeypatch.setattr(doorkeeper, "IDLE_S", 0.5)
    with served() as server, schedtel.subscribe(server.uri, history=True) as subscription:
        server.source.feed(windows[0])
        eventually(lambda: server.door.closed)
        assert next(iter(subscription)).window_id == 1


def test_a_flood_leaves_a_stream_alone_and_new_ones_come_in(replayed, recording):
    before = descriptors()
    with schedtel.subscribe(replayed.uri) as first:
        assert_bit_identical(list(first), list(recording))
        flood = connected(port_of(replayed), 700)
        eventually(lambda: sum(map(gone, flood)) >= 700 - doorkeeper.MOST_CONNECTIONS)
        with schedtel.subscribe(replayed.uri) as second:
            assert_bit_identical(list(second), list(recording))
        assert_bit_identical(list(first), list(recording))
    for connection in flood:
        connection.close()
    eventually(lambda: descriptors() <= before + 8)


def test_without_a_descriptor_the_server_waits_and_goes_on(windows):
    with served(token=TOKEN) as server:
        server.source.feed(windows[0])
        with no_descriptor_left():
            time.sleep(1)
            server.source.feed(windows[1])
            time.sleep(0.5)
        with schedtel.subscribe(server.uri, token=TOKEN, history=True) as subscription:
            assert [window.window_id for _, window in zip(range(2), subscription, strict=False)] == [1, 2]


def test_the_limit_of_descriptors_is_raised(windows):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(512, hard), hard))
    try:
        with served():
            assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(hard, 65_536)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# ---- who goes first ----


def held(holder, count, *, proven=False, since=0.0):
    return [Connection(("", 0), since + at, proven, holder) for at in range(count)]


def test_who_has_the_most_loses_first_and_the_oldest_of_it():
    one, other = held("10.0.0.1", 30), held("10.0.0.2", 5)
    closed = surplus([*one, *other], most=20, share=20)
    assert closed == one[:15]


def test_a_share_is_kept_although_there_is_room():
    one = held("10.0.0.1", 30)
    assert surplus(one, most=100, share=10) == one[:20]


def test_the_own_user_has_no_share_but_a_limit():
    own = held(OWN, 30)
    assert surplus(own, most=100, share=10) == []
    assert surplus(own, most=25, share=10) == own[:5]


def test_what_has_proven_itself_goes_last_and_the_newest_first():
    proven, unproven = held("10.0.0.1", 6, proven=True), held("10.0.0.2", 3)
    assert surplus([*proven, *unproven], most=6, share=6) == unproven
    assert surplus(proven, most=4, share=6) == proven[:3:-1]


def test_ten_thousand_connections_are_sorted_out_at_once():
    many = [c for at in range(100) for c in held(f"10.0.0.{at}", 100)]
    begin = time.process_time()
    assert len(surplus(many, most=512, share=256)) == 10_000 - 512
    assert time.process_time() - begin < 2


@pytest.mark.parametrize(
    ("host", "holder"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", ""),
    ],
)
def test_a_peer_beyond_this_machine_is_its_address_or_network(host, holder):
    assert holders([(host, 1)]) == {(host, 1): holder}


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_peer_of_this_machine_is_its_user(address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        server = socket.create_server((address, 0), family=family)
    except OSError:
        pytest.skip(f"needs the address {address} (ip address add {address} dev lo)")
    with server, socket.create_connection(server.getsockname()[:2]) as client:
        peer = client.getsockname()[:2]
        assert holders([peer]) == {peer: OWN}
