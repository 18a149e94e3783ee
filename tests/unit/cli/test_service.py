"""The lines of a service: subscribers that come and go, levels for the journal, notifications to systemd."""

import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest
from serving import Reader, served, subscribers
from waiting import PATIENCE_S, eventually

import schedtel

COMMAND = [sys.executable, "-m", "schedtel.cli"]


@pytest.fixture(autouse=True)
def listening(caplog):
    """Shows events whatever level a command has set that ran in this process before."""
    caplog.set_level(logging.INFO, logger="schedtel")


# ---- what is worth a line ----


def test_who_joins_who_leaves_and_who_is_slow_is_told(windows, caplog):
    with served(history=1) as server:
        reader = Reader(schedtel.subscribe(server.uri))
        eventually(lambda: subscribers(server))
        server.source.feed(*windows)
        server.source.end()
        reader.join()
        eventually(lambda: not subscribers(server))
    lines = [record.getMessage() for record in caplog.records]
    peer, _, joined = lines[0].partition(" ")
    assert peer.startswith("ipv4:127.0.0.1:")
    assert joined == "joined (1 present)"
    took, missed = map(int, re.fullmatch(f"{peer} left after (.) windows, (.) missed .0 present.", lines[-1]).groups())
    assert took + missed == 3
    assert bool(missed) == any("begins to miss windows" in line for line in lines)


def test_a_refused_token_is_told_and_never_shown(caplog):
    with served(token="0123456789abcdef") as server, pytest.raises(schedtel.StreamError):
        schedtel.subscribe(server.uri, token="0123456789-secret")
    (line,) = {record.getMessage() for record in caplog.records}
    assert line == "a call was refused: its token is missing or wrong"


def test_a_library_that_nobody_has_set_up_prints_nothing():
    program = "import logging, schedtel; logging.getLogger('schedtel.analysis.health_log').warning('losses')"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("", "")


# ---- the service ----


@pytest.fixture
def serve(windows, tmp_path):
    """Start `schedtel serve --from`; whatever still runs at the end is killed, by its pid."""
    recorder = schedtel.Recorder(tmp_path / "recording", window="1s")
    for window in windows:
        recorder.write(window)
    started = []

    def begin(*options, **popen):
        command = [*COMMAND, "serve", "--from", str(tmp_path / "recording"), "-l", "grpc://127.0.0.1:0", *options]
        started.append(subprocess.Popen(command, **popen))
        return started[-1]

    yield begin
    for process in started:
        process.kill()
        process.wait()
        if process.stderr:
            process.stderr.close()


def test_systemd_is_told_when_it_serves_and_when_it_stops(serve, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(PATIENCE_S)
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        process = serve("-q", env=environment, stderr=subprocess.PIPE)
        assert systemd.recv(100) == b"READY=1"
        process.send_signal(signal.SIGTERM)
        assert systemd.recv(100) == b"STOPPING=1"
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr.read() == b""


def test_in_the_journal_every_line_has_its_level_and_events_are_told(serve, tmp_path):
    """The process is told that its stderr is the journal's; its lines are those that journald would get."""
    path = tmp_path / "journal"
    with open(path, "wb") as journal:
        found = os.fstat(journal.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        process = serve(env=environment, stderr=journal)
        eventually(lambda: b"serving on" in path.read_bytes())
        with schedtel.subscribe(path.read_text().split()[-1]) as subscription:
            assert len(list(subscription)) == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        failed = subprocess.run([*COMMAND, "show", "/no/such"], stderr=journal, env=environment, check=False)
    assert failed.returncode == 2
    lines = path.read_text().splitlines()
    assert re.fullmatch(r"<6>\S+ joined \(1 present\)", lines[1])
    ending = [
        line for line in lines if " left after " not in line
    ]  # that line may come at any time after the client has left
    assert ending[-3:-1] == ["<6>stopping: SIGTERM", "<6>served 1 stream, 0 windows missed by slow ones"]
    assert lines[-1].startswith("<3>cannot read /no/such: ")


def test_a_terminal_that_inherited_the_journals_variable_gets_plain_lines(serve):
    process = serve(env={**os.environ, "JOURNAL_STREAM": "1:1"}, stderr=subprocess.PIPE, text=True)
    assert process.stderr.readline().startswith("serving on ")
    process.send_signal(signal.SIGTERM)
    assert process.stderr.read() == "served 0 streams, 0 windows missed by slow ones\n"


def test_a_log_that_nobody_reads_any_more_ends_nothing(serve):
    process = serve("-v", stderr=subprocess.PIPE, text=True)
    uri = process.stderr.readline().split()[-1]
    process.stderr.close()
    for _ in range(3):
        with schedtel.subscribe(uri) as subscription:
            assert len(list(subscription)) == 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0


def test_a_slow_log_does_not_slow_those_who_publish(windows):
    """A thread that waits for the log must not hold a lock that the collector needs."""
    reached, held = threading.Event(), threading.Event()

    class Stuck(logging.Handler):
        def emit(self, _record):
            reached.set()
            held.wait(PATIENCE_S)

    log, stuck = logging.getLogger("schedtel.flight.feeds"), Stuck()
    with served(history=1) as server:
        reader = Reader(schedtel.subscribe(server.uri))
        eventually(lambda: subscribers(server))
        log.addHandler(stuck)
        try:
            thread = threading.Thread(target=lambda: [server.feed.publish(w) for w in windows * 20])
            thread.start()
            thread.join(PATIENCE_S / 2)
            assert not thread.is_alive()
            assert server.feed.oldest == 60
            assert reached.wait(PATIENCE_S)
        finally:
            held.set()
            log.removeHandler(stuck)
    reader.join()
