"""Addresses of streams: what is one, and what is refused."""

import pytest
from refusals import refused
from serving import TOKEN

from schedtel.access.uri import is_uri, parse_address
from schedtel.errors import UsageError


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "127.0.0.1:8815",
        "http://127.0.0.1:8815",
        "grpc://127.0.0.1",
        "grpc://:8815",
        "grpc://127.0.0.1:99999",
        "grpc://127.0.0.1:8815/path",
        "grpc://127.0.0.1:port",
        "grpc://[::1",
        "grpc+unix://relative/path",
        "grpc+unix:///",
        "grpc+unix:///" + "x" * 110,
        f"grpc://{TOKEN}@127.0.0.1:8815",
        "grpc://127.0.0.1:8815?token=x",
        "grpc://@127.0.0.1:8815",
        "grpc://ünïcode:8815",
        "grpc://ünïcode",
        "grpc://127.0.0.1 :8815",
        "grpc://127.0.0.1: 8815",
        "grpc://127.0.0.1:٨٨١٥",
        "grpc://127.0.0.1:-1",
        "grpc://127.0.0.1\t:8815",
        "grpc://127.0.0.1:8815\n",
        "grpc://[::g]:8815",
        "grpc://" + "a" * 300 + ":8815",
        "grpc+unix:///a\0b",
    ],
)
def test_what_is_no_address_is_refused(uri):
    refused(UsageError, parse_address, uri)


def test_uris_of_streams_are_told_from_recordings():
    assert all(map(is_uri, ["grpc://h:1", "grpc+unix:///s", "grpc+tls://h:1", "grpc+tcp://h:1"]))
    assert not any(map(is_uri, ["recording", "/grpc", "s3://bucket/path", "grpc", "file:///x"]))


@pytest.mark.parametrize(
    ("uri", "host", "port"),
    [
        ("grpc://localhost:1/", "localhost", 1),
        ("grpc+tls://web-1.example_net.org:443", "web-1.example_net.org", 443),
        ("grpc://[::1]:65535", "::1", 65535),
        ("grpc://[fe80::1%eth0]:80", "fe80::1%eth0", 80),
    ],
)
def test_a_host_is_a_name_or_an_ip_address(uri, host, port):
    address = parse_address(uri)
    assert (address.host, address.port) == (host, port)
