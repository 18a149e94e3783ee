"""Calls of a target: who may call, what is understood, and that one controller acts at a time."""

import itertools
import json
import signal
import threading
import time
from collections import Counter

import pyarrow.flight as fl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from target_here import running
from targets import TOKEN
from waiting import eventually

from schedtel.access.tls import Tls
from schedtel.access.uri import parse_address
from schedtel.durations import NS_PER_S
from schedtel.errors import StreamError, UsageError
from schedtel.experiments.design import cells
from schedtel.experiments.spec import spec_of
from schedtel.flight.connection import call_options
from schedtel.flight.server import LARGEST_BODY
from schedtel.target import bench, lease, server
from schedtel.target.client import Connection, Session
from schedtel.target.rules import Rules
from schedtel.target.server import Target

SPEC = {"workloads": ["web"], "schedulers": ["eevdf"], "duration": "1s", "repeats": 2}
#: Values of the wrong kind, for every field of every call.
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
NAMES = ("spec", "files", "agent", "session", "cell", "loops_per_us", "classes", "arm", "x")
FIELDS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
ACTIONS = ("describe", "survey", "check", "begin", "renew", "end", "run", "result")
ACTIONS += ("open", "tell", "switch", "rescan", "restore", "look")


def raw(target, action, body, token=TOKEN):
    with fl.connect(target.uri) as client:
        return [bytes(result.body) for result in client.do_action(fl.Action(action, body), call_options(token, 10))]


def test_without_a_token_no_target_is_served_and_none_is_called(served):
    address = parse_address("grpc://127.0.0.1:0")
    with pytest.raises(UsageError, match="without a token"):
        Target(Rules((0,), ("web",)), address, Tls(), None)
    with pytest.raises(UsageError, match="at least 16"):
        Target(Rules((0,), ("web",)), address, Tls(), "short")
    with pytest.raises(UsageError, match="without a token"):
        Connection(served.uri, None, Tls())


def test_beyond_this_machine_only_tls_is_served():
    with pytest.raises(UsageError, match="only TLS"):
        Target(Rules((0,), ("web",)), parse_address("grpc://0.0.0.0:0"), Tls(), TOKEN)


@pytest.mark.parametrize("action", [*ACTIONS, "no such"])
def test_a_wrong_token_is_refused_by_every_action(served, action):
    wrong = pytest.raises(StreamError, match=r"cannot use target .*: the token is missing or wrong")
    with Connection(served.uri, TOKEN + "x", Tls()) as connection, wrong:
        connection.call(action)
    with pytest.raises(fl.FlightUnauthenticatedError):
        raw(served, action, b"{}", token=None)


def test_a_target_says_what_it_is_and_allows(served, connection):
    said = connection.describe()
    assert said["workloads"] == ["web"]
    assert said["cpus"] == [0]
    assert said["machine"].startswith("target ")
    with fl.connect(served.uri) as client:
        assert [action.type for action in client.list_actions(call_options(TOKEN))] == list(ACTIONS)


def test_one_controller_acts_at_a_time_and_the_next_one_after_its_end(connection):
    with Session(connection, spec=SPEC) as session:
        assert session.next_state()["state"] == "idle"
        with pytest.raises(UsageError, match=r"busy: another controller uses it \(try again later\)"):
            Session(connection, spec=SPEC)
        with pytest.raises(UsageError, match="the experiment has none of this name"):
            session.call("run", cell="../../etc")
        with pytest.raises(UsageError, match="cannot give the run: it is not there"):
            session.call("result")
    with Session(connection, spec=SPEC):
        pass


def test_a_controller_that_is_silent_loses_the_target(served, connection, monkeypatch):
    monkeypatch.setattr(served.lease, "_length_s", 0.2)
    key = connection.call("begin", spec=SPEC)["session"]
    eventually(lambda: served.lease.left_s() is None, seconds=2)
    for action in ("run", "renew", "result"):
        with pytest.raises(UsageError, match="this session is over"):
            connection.call(action, session=key, cell="x")
    assert connection.call("end", session=key) == {}, "which it has already"


def test_a_key_that_was_guessed_is_no_session(connection):
    with Session(connection, spec=SPEC):
        for key in ("", "0" * 32, "é", "x" * 10_000):
            with pytest.raises(UsageError, match=r"this session is over|session is ''|must be a text"):
                connection.call("renew", session=key)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(action=st.sampled_from(ACTIONS), fields=FIELDS)
def test_any_fields_are_understood_or_refused_in_one_line(served, action, fields):
    try:
        raw(served, action, json.dumps(fields).encode())
    except fl.FlightServerError as error:
        text = str(error).partition(". Detail:")[0]
        assert "\n" not in text
        assert "Traceback" not in text
        assert "in the server" not in text, "each is refused for its reason"


def test_a_storm_of_strangers_does_not_cost_the_controller_its_session(served, connection):
    """Wrong tokens, junk and other controllers, as fast as four threads can, for longer than a lease."""
    over, met = threading.Event(), Counter()

    def storm(number):
        token = TOKEN if number % 2 else TOKEN + "x"
        bodies = itertools.cycle([b"{", b"x" * 100_000, json.dumps({"spec": SPEC}).encode(), b'{"session": "x"}'])
        while not over.is_set():
            for action in ("begin", "renew", "end", "no such"):
                try:
                    raw(served, action, next(bodies), token)
                except (fl.FlightServerError, fl.FlightUnauthenticatedError) as error:
                    met[type(error)] += 1

    with Session(connection, spec=SPEC) as session:
        threads = [threading.Thread(target=storm, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        try:
            until = time.monotonic() + 1.5 * lease.LEASE_S
            while time.monotonic() < until:
                assert session.next_state()["state"] == "idle"
        finally:
            over.set()
            for thread in threads:
                thread.join()
    assert met[fl.FlightUnauthenticatedError] > 20
    assert met[fl.FlightServerError] > 20


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"\xff\xfe", b"{", b"[" * 100_000, b'{"session": NaN}', b'{"loops_per_us": 1e999}', b"0"],
)
def test_what_is_no_table_is_refused(served, body):
    with pytest.raises(fl.FlightServerError, match="cannot read the call"):
        raw(served, "renew", body)


def test_a_call_has_a_largest_size(served):
    with pytest.raises(fl.FlightServerError, match="the longest has 1048576"):
        raw(served, "begin", b" " * (LARGEST_BODY + 1))


def test_windows_are_sent_of_the_last_run_alone(served):
    with fl.connect(served.uri) as client:
        for ticket in (b"{}", b'{"run": "20260101T000000.000000Z-000000"}', b"x", b'{"stream": "tasks"}'):
            with pytest.raises(fl.FlightServerError, match=r"their run is not here any more|cannot read the ticket"):
                client.do_get(fl.Ticket(ticket), call_options(TOKEN, 10)).read_all()


def test_a_run_that_hangs_is_ended_though_its_controller_waits(monkeypatch):
    monkeypatch.setattr(server, "_SLACK_S", 0.5)
    with (
        running(Rules((0,), ("web",), max_duration_ns=2 * NS_PER_S)) as target,
        Connection(target.uri, TOKEN, Tls()) as connection,
        Session(connection, spec=SPEC) as session,
    ):
        session.call("run", cell=cells(spec_of(SPEC, "x"))[0].key)
        eventually(lambda: target._bench._process)
        process = target._bench._process
        process.send_signal(signal.SIGSTOP)
        eventually(lambda: session.next_state()["state"] == "failed")
        assert "took much longer than its plan" in session.next_state()["why"]
        assert process.returncode == -signal.SIGKILL


def test_a_target_of_another_schedtel_is_refused(connection, monkeypatch):
    monkeypatch.setattr("schedtel.target.server.__version__", "0.0.1")
    with pytest.raises(StreamError, match=r"it has schedtel 0\.0\.1"):
        connection.describe()


def test_a_lease_and_the_end_of_a_run_take_less_than_five_seconds():
    assert lease.LEASE_S + bench.GRACE_S <= 3.5
    assert 4 * lease.HEARTBEAT_S < lease.LEASE_S, "some beats may be lost"
