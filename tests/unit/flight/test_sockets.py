"""Connections and sockets of a server, as the kernel has them."""

import os
import socket
import stat

import pytest

import schedtel


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


def test_a_unix_socket_is_its_owners_alone_and_gone_afterwards(recording, tmp_path):
    path = tmp_path / "run" / "socket"
    with schedtel.serve(recording, f"grpc+unix://{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        with pytest.raises(schedtel.UsageError, match="a server is there already"):
            schedtel.serve(recording, f"grpc+unix://{path}")
    assert not path.exists()
