"""Whatever is asked of a server: an answer or an error of one line, no traceback, and the next caller is served."""

import contextlib
import json

import pyarrow as pa
import pyarrow.flight as fl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving import TOKEN, served, subscribers
from waiting import eventually

import schedtel
from schedtel.flight import wire

BOUNDED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ERRORS = (pa.ArrowException, OSError, StopIteration, UnicodeError, ValueError, TypeError)

_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from([*wire.STREAMS, "now", "history", "cgroup", "tid", "wait_histogram", "\ud800", "\x1b[2J"]),
    st.lists(st.none(), max_size=2),
)
_FIELDS = st.dictionaries(st.sampled_from(["stream", "start", "run", "after", "by", "x"]), _VALUES, max_size=6)
TICKETS = st.one_of(st.binary(max_size=1100), _FIELDS.map(lambda fields: json.dumps(fields).encode()))
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"authorization", b"x-bin", b"grpc-timeout", b"te", b"content-type", b"user-agent"]),
        st.one_of(st.binary(max_size=100), st.sampled_from([f"Bearer {TOKEN}".encode(), b"Bearer", b"Bearer \xff"])),
    ),
    max_size=3,
)


@pytest.fixture(scope="module")
def fuzzed(windows):
    """A client of a server with one window. In the end the server still serves."""
    with served(max_subscribers=4) as server:
        server.source.feed(windows[0])
        client = fl.connect(server.uri)
        yield client
        client.close()
        eventually(lambda: subscribers(server) == 0)
        with schedtel.subscribe(server.uri, history=True) as subscription:
            assert next(iter(subscription)).window_id == 1


def assert_quiet(capfd):
    """Protobuf and gRPC, whose client and server are both in this process, say a line of their own."""
    said = capfd.readouterr().err.splitlines()
    assert [line for line in said if not line.startswith(("E0000", "WARNING: All log messages before absl"))] == []


def one_line(error):
    """The server's own words are one line, whatever gRPC adds."""
    text = str(error).split(". Detail:")[0].split("gRPC client debug context")[0]
    assert "Traceback" not in str(error)
    assert "\n" not in text.strip()


@BOUNDED
@given(ticket=TICKETS)
def test_any_ticket(fuzzed, capfd, ticket):
    try:
        reader = fuzzed.do_get(fl.Ticket(ticket), fl.FlightCallOptions(timeout=0.2))
        reader.read_chunk()
        reader.cancel()
    except ERRORS as error:
        one_line(error)
    assert_quiet(capfd)


@BOUNDED
@given(path=st.lists(st.binary(max_size=60), max_size=3), command=st.booleans())
def test_any_descriptor(fuzzed, capfd, path, command):
    try:
        descriptor = fl.FlightDescriptor.for_command(b"".join(path)) if command else fl.FlightDescriptor.for_path(*path)
        fuzzed.get_flight_info(descriptor, fl.FlightCallOptions(timeout=5))
    except ERRORS as error:
        one_line(error)
    assert_quiet(capfd)


@BOUNDED
@given(kind=st.text(max_size=40), body=st.binary(max_size=2000), criteria=st.binary(max_size=200))
def test_any_action_and_criteria(fuzzed, capfd, kind, body, criteria):
    for ask in (lambda: fuzzed.do_action(fl.Action(kind, body)), lambda: fuzzed.list_flights(criteria)):
        try:
            list(ask())
        except ERRORS as error:
            one_line(error)
    assert_quiet(capfd)


@BOUNDED
@given(headers=HEADERS)
def test_any_headers_without_the_token_get_nothing(guarded, capfd, headers):
    with contextlib.suppress(*ERRORS):
        options = fl.FlightCallOptions(timeout=5, headers=headers)
        guarded.get_flight_info(fl.FlightDescriptor.for_path("tasks"), options)
        given_token = [value for name, value in headers if name == b"authorization"]
        assert given_token == [f"Bearer {TOKEN}".encode()], "it was let in without the token"
    assert_quiet(capfd)


@pytest.fixture(scope="module")
def guarded(windows):
    with served(token=TOKEN) as server:
        server.source.feed(windows[0])
        client = fl.connect(server.uri)
        yield client
        client.close()
        with schedtel.subscribe(server.uri, token=TOKEN, history=True) as subscription:
            assert next(iter(subscription)).window_id == 1
