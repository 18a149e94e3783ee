"""Calls of an agent on a target, with windows of a small simulated machine in the place of traced ones."""

import json
import os
import signal
import subprocess
import sys
import threading

import pyarrow.flight as fl
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from target_here import running
from targets import TOKEN
from waiting import eventually

from schedtel.access.tls import Tls
from schedtel.agent.config import asked_of
from schedtel.agent.run import prepared
from schedtel.agent.survey import configuration, survey
from schedtel.cli import group
from schedtel.errors import CapabilityError, SchedtelError, StreamError, UsageError
from schedtel.flight.assembly import UntrustedError
from schedtel.schedulers.threads import Seen
from schedtel.target import acting
from schedtel.target.client import Connection, Session
from schedtel.target.machine import TargetMachine, survey_of, there
from schedtel.target.messages import MOST_THREADS
from schedtel.target.rules import Rules
from schedtel.windows.source import Source

ARM = "policy:hogs:batch"
RULES = Rules((0,), ("web",), schedulers=("eevdf", "policy:hogs:batch", "policy:comm=x:*"))
SPEC = {"workloads": ["web"], "schedulers": ["eevdf"], "duration": "1s", "repeats": 2}
AGENT = {"arms": ["eevdf", ARM], "window": "1s", "acts": False}
#: What the kernel of this machine says itself.
OPS = "/sys/kernel/sched_ext/root/ops"


class Made(Source):
    """Windows of a recording, and then none until it is stopped."""

    def __init__(self, windows, *, ends=True):
        self._windows, self._stopped = windows, threading.Event()
        self.metadata = {"host": "here", "window": "1s"}
        if ends:
            self._stopped.set()

    def __iter__(self):
        yield from self._windows
        self._stopped.wait()

    def stop(self):
        self._stopped.set()


@pytest.fixture(scope="module")
def served():
    with running(RULES) as target:
        yield target


@pytest.fixture
def connection(served):
    with Connection(served.uri, TOKEN, Tls()) as found:
        yield found


@pytest.fixture
def traced(monkeypatch, windows):
    """Has the target serve these windows to an agent; returns what it was asked for."""
    asked = []

    def serve(*, ends=True):
        monkeypatch.setattr(acting, "traced", lambda *what: asked.append(what) or Made(windows, ends=ends))
        return asked

    return serve


def scheduler_here():
    try:
        with open(OPS, encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return "eevdf"


def test_an_agent_that_only_decides_sees_the_windows_and_the_scheduler_of_the_target(connection, traced, windows):
    asked = traced()
    given = {"arms": f"eevdf,{ARM}", "dry-run": True, "window": "1s", "for": f"pid={os.getpid()}", "dwell": 1}
    seen, told = [], []
    with prepared(asked_of(given | {"settle": 0}), seen.append, told.append, there(connection)) as ready:
        ready.run()
    ((window, scope, duration),) = asked
    assert (window, str(scope), duration) == ("1s", f"pid={os.getpid()}", None)
    assert [status.window_id for status in seen] == [window.window_id for window in windows]
    assert {status.scheduler for status in seen} == {scheduler_here()}
    assert told == []


def test_windows_end_when_the_caller_says_so_and_the_next_agent_may_come(connection, traced, windows):
    traced(ends=False)
    for _ in range(2):
        with prepared(asked_of({"arms": f"eevdf,{ARM}", "shadow": True}), print, print, there(connection)) as ready:
            taken = iter(ready.windows)
            assert next(taken).window_id == windows[0].window_id
            ready.windows.stop()
            assert len(list(taken)) < len(windows)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"arms": ["eevdf", "policy:hogs:idle"]}, "allowed for agents are eevdf, policy:hogs:batch, policy:comm=x:*"),
        ({"arms": ["eevdf", "policy:comm=x:batch+pid=1:batch"]}, "cannot use scheduler"),
        ({"arms": ["eevdf", "policy:comm=x:cpus=3"]}, "CPU 3 is not among 0"),
        ({"arms": ["eevdf", "nonsense"]}, "cannot read 'nonsense' as an arm"),
        ({"arms": ["eevdf", 5]}, "must be at most 16 texts"),
        ({"arms": []}, "a list of one or more"),
        ({"arms": ["eevdf"] * 17}, "must be at most 16 texts"),
        ({"window": "1ms"}, "cannot use a window of 1ms"),
        ({"window": "x" * 1000}, "must be a duration"),
        ({"duration": "soon"}, "cannot read duration 'soon'"),
        ({"for": "hogs"}, "a class chooses from a selection"),
        ({"acts": 1}, "must be true or false"),
        ({"x": 1}, "unknown field 'x'"),
    ],
)
def test_what_an_agent_may_not_ask_is_refused_before_anything_begins(served, connection, changes, why):
    with pytest.raises(UsageError) as caught:
        Session(connection, agent=AGENT | changes)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert served.lease.left_s() is None


def test_without_a_pattern_an_agent_may_use_no_arm():
    with (
        running(Rules((0,), ("web",))) as target,
        Connection(target.uri, TOKEN, Tls()) as connection,
        pytest.raises(UsageError, match=r"allowed for agents are eevdf \(serve with --scheduler\)"),
    ):
        Session(connection, agent=AGENT)


def test_an_arm_that_cannot_be_had_there_is_refused_with_the_targets_reason(connection, traced):
    traced()
    with Session(connection, agent=AGENT | {"for": "pid=4999999"}) as session:
        with pytest.raises(UsageError, match="cannot select process 4999999: no such process"):
            session.call("open", timeout_s=30)
        with pytest.raises(UsageError, match="cannot open the windows of a session twice"):
            session.call("open")


def refused(*words, token=TOKEN):
    """The one line with which a command is refused."""
    done = CliRunner().invoke(group, list(map(str, words)), env={"SCHEDTEL_TOKEN": token})
    assert isinstance(done.exception, SchedtelError), done.output
    assert "\n" not in str(done.exception)
    return str(done.exception)


def test_a_command_that_the_target_refuses_says_so_in_one_line(connection, tmp_path):
    run = ("agent", "run", "--target", connection.uri, "--arms")
    assert "the token is missing or wrong" in refused(*run, ARM, token=TOKEN + "x")
    assert "allowed for agents are eevdf" in refused(*run, "policy:hogs:idle")
    assert "the token is missing or wrong" in refused("agent", "init", *run[2:4], "-o", tmp_path / "x", token=TOKEN * 2)
    (tmp_path / "spec.toml").write_text('workloads = ["web"]\nschedulers = ["eevdf"]\nduration = "1s"\nrepeats = 1\n')
    experiment = ("experiment", "run", tmp_path / "spec.toml", "-o", tmp_path / "runs", "--target", connection.uri)
    busy = r"busy: another controller uses it (try again later)"
    with Session(connection, agent=AGENT):
        for words in ((*run, ARM), (*run, ARM, "--dry-run"), experiment):
            assert busy in refused(*words)
    with Session(connection, spec=SPEC):
        assert busy in refused(*run, ARM)
    assert not (tmp_path / "x").exists()


def test_calls_of_the_other_kind_of_session_are_refused(connection, traced):
    other = pytest.raises(UsageError, match="this session is for something else")
    with Session(connection, spec=SPEC) as session:
        for action in ("open", "tell", "switch", "rescan", "restore", "look"):
            with other:
                session.call(action)
        with pytest.raises(UsageError, match="busy: another controller"):
            Session(connection, agent=AGENT)
    with Session(connection, agent=AGENT) as session:
        for action in ("run", "result"):
            with other:
                session.call(action)
        with pytest.raises(UsageError, match="busy: another controller"):
            Session(connection, spec=SPEC)


def test_a_session_that_only_watches_switches_nothing(connection, traced):
    traced(ends=False)
    with Session(connection, agent=AGENT) as session:
        session.call("open", timeout_s=30)
        machine = TargetMachine(session)
        assert machine.in_effect() == scheduler_here()
        assert machine.problem() is None
        for act in (lambda: machine.switch(ARM), machine.rescan, machine.restore):
            with pytest.raises(StreamError, match="this session only watches"):
                act()
        with pytest.raises(UsageError, match="it is none of those that the session began with"):
            session.call("switch", arm="policy:comm=x:batch")


def test_once_what_switches_has_ended_the_machine_is_lost(served, connection, traced):
    traced(ends=False)
    with Session(connection, agent=AGENT) as session:
        session.call("open", timeout_s=30)
        machine = TargetMachine(session)
        served._bench._process.send_signal(signal.SIGKILL)
        with pytest.raises(StreamError, match="the process that switches has ended, and all is put back"):
            machine.in_effect()


def test_a_target_that_takes_the_agent_for_gone_ends_its_windows_with_the_reason(served, connection, traced):
    traced(ends=False)
    asked = asked_of({"arms": f"eevdf,{ARM}", "dry-run": True})
    with prepared(asked, print, print, there(connection)) as ready:
        served.lease._until = 0.0
        with pytest.raises(SchedtelError, match="this session is over"):
            ready.run()
    eventually(lambda: served.lease.left_s() is None)


def test_what_switches_does_without_what_reads_windows():
    program = "import schedtel.target.switcher, sys; print({'numpy', 'pyarrow'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_more_threads_than_a_call_may_have_are_refused_here():
    machine = TargetMachine(None)
    with pytest.raises(CapabilityError, match=r"cannot name 20,001 threads to a target: at most 20,000"):
        machine.tell({"hogs": [Seen(1, 1, 1)] * (MOST_THREADS + 1), "short": []})
    body = json.dumps({"classes": {"hogs": [Seen(1 << 22, 1 << 22, 1 << 62)] * MOST_THREADS}, "session": "0" * 32})
    assert len(body) < 1 << 20
    machine.tell({})


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-5, 1 << 70) | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["short", "hogs", "x"]), inner),
        max_leaves=12,
    )
)
def test_classes_that_are_none_are_refused_in_one_line(connection, classes):
    with Session(connection, agent=AGENT | {"acts": True}) as session, pytest.raises(UsageError) as caught:
        session.call("tell", classes=classes)
    assert "\n" not in str(caught.value)
    assert "in the server" not in str(caught.value)


def test_a_survey_has_the_arms_that_are_there_and_allowed(connection, tmp_path):
    found, own = survey_of(connection), survey()
    assert found.facts == {name: text[:300] for name, text in own.facts.items()}
    assert (found.arms, found.scoped) == (["eevdf"], [])
    assert set(found.refused) == {*own.refused, *own.arms[1:], *own.scoped}
    assert "allowed for agents are" in found.refused["policy:hogs:idle"]
    path = tmp_path / "agent.toml"
    path.write_text(configuration(found, connection.uri))
    assert asked_of({"arms": f"eevdf,{ARM}"}, str(path)).target == connection.uri


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"facts": [], "arms": ["eevdf"], "scoped": [], "refused": {}},
        {"facts": {}, "arms": [], "scoped": [], "refused": {}},
        {"facts": {}, "arms": ["eevdf", "x\ny"], "scoped": [], "refused": {}},
        {"facts": {}, "arms": ["eevdf", 5], "scoped": [], "refused": {}},
        {"facts": {}, "arms": 5, "scoped": [], "refused": {}},
        {"facts": {str(n): "x" for n in range(300)}, "arms": ["eevdf"], "scoped": [], "refused": {}},
    ],
)
def test_a_survey_that_is_none_is_refused(connection, monkeypatch, answer):
    monkeypatch.setattr(connection, "describe", dict)
    monkeypatch.setattr(connection, "call", lambda *_, **__: answer)
    with pytest.raises(UntrustedError, match="what came is no survey"):
        survey_of(connection)


class Lying:
    """A session that answers as it is told to."""

    def __init__(self, answer):
        self.call = lambda *_, **__: answer


@pytest.mark.parametrize("said", [-1, "1", None, [1], 1.5])
def test_an_answer_that_is_none_is_not_believed(said):
    with pytest.raises(UntrustedError, match="does not say how much it has changed"):
        TargetMachine(Lying({"changed": said})).rescan()


@pytest.mark.parametrize("said", [None, "", 5, ["eevdf"]])
def test_a_scheduler_that_is_not_told_is_not_taken_for_another_one(said):
    with pytest.raises(UntrustedError, match="does not say which scheduler it runs"):
        TargetMachine(Lying({"scheduler": said})).in_effect()


def test_what_a_target_says_is_one_line():
    text = "a\x1b[2Jb\nc" * 1000
    machine = TargetMachine(Lying({"scheduler": text, "problem": text}))
    for said in (machine.in_effect(), machine.problem()):
        assert said.isprintable()
        assert len(said) <= 300
    with pytest.raises(SchedtelError) as caught:
        TargetMachine(Lying({"refused": text})).switch(ARM)
    assert str(caught.value).isprintable()


def test_the_windows_of_an_agent_are_for_who_knows_their_name(served, connection, traced):
    traced(ends=False)
    with Session(connection, agent=AGENT) as session:
        session.call("open", timeout_s=30)
        with fl.connect(served.uri) as client, pytest.raises(fl.FlightUnauthenticatedError):
            client.do_get(fl.Ticket(b"{}")).read_all()
