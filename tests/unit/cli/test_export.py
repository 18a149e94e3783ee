"""`schedtel export`: its sources, signals to it, and extras that are not installed."""

import re
import signal
import socket
import subprocess
import sys
import threading

import pytest
from exporting import OtlpServer, get, metrics_of, samples, scrape, totals_of
from samples import on_host
from serving import Fed, unused_port
from waiting import PATIENCE_S, eventually

import schedtel
from schedtel.recordings.dataset import Dataset

COMMAND = [sys.executable, "-m", "schedtel.cli", "export"]
#: The label of metrics where windows of several hosts may come.
HOST = (("host", "testhost"),)
NEEDS_OTLP = "needs opentelemetry-exporter-otlp-proto-http (pip install)"


@pytest.fixture
def recording(windows, tmp_path):
    recorder = schedtel.Recorder(tmp_path / "recording")
    for window in windows:
        recorder.write(window)
    return str(tmp_path / "recording")


@pytest.fixture
def port():
    """A port on which only servers of the test listen."""
    with unused_port() as number:
        yield number


@pytest.fixture
def export():
    """Start `schedtel export`; returns the process and its first line. Whatever still runs at the end is killed."""
    processes = []

    def begin(*arguments):
        processes.append(subprocess.Popen([*COMMAND, *arguments], stderr=subprocess.PIPE, text=True))
        return processes[-1], processes[-1].stderr.readline()

    yield begin
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def counted(url):
    """The answer to a scrape: name, labels, value."""
    return {(*series, value) for series, value in samples(get(url)[1]).items()}


def test_the_hosts_of_a_dataset_are_told_apart(export, windows, tmp_path):
    """A dataset has two hosts with a CPU 0 each: three windows of one, and one window of the other."""
    pytest.importorskip("prometheus_client", reason="needs prometheus-client (pip install)")
    dataset = Dataset(tmp_path / "fleet")
    for window in [*(on_host(window, "web1") for window in windows), on_host(windows[0], "db")]:
        dataset.write(window)
    _, line = export("prometheus", str(tmp_path / "fleet"), "--listen", "127.0.0.1:0")
    eventually(lambda: ("schedtel_windows_total", (("host", "web1"),), 3) in counted(line.split()[-1]))
    found = counted(line.split()[-1])
    assert ("schedtel_windows_total", (("host", "db"),), 1) in found
    assert ("schedtel_cpu_busy_seconds_total", (("cpu", "0"), ("host", "web1")), 0.249) in found
    assert all("host" in dict(labels) for _, labels, _ in found)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_recording_is_exported_until_told_to_stop(export, recording, windows, number):
    pytest.importorskip("prometheus_client", reason="needs prometheus-client (pip install)")
    process, line = export("prometheus", recording, "--listen", "127.0.0.1:0")
    url = line.split()[-1]
    assert line == f"exporting on {url}\n"
    eventually(lambda: ("schedtel_windows_total", HOST, 3) in counted(url))
    assert samples(get(url)[1]) == scrape(totals_of(windows, max_hosts=1))
    process.send_signal(number)
    assert process.wait(PATIENCE_S) == 0
    assert process.stderr.read() == "exported 3 windows, nothing lost\n"


def test_a_recording_is_pushed_once_and_that_is_all(recording):
    pytest.importorskip("schedtel.export.otlp", reason=NEEDS_OTLP)
    with OtlpServer() as server:
        command = [*COMMAND, "otlp", recording, "--endpoint", server.url, "--interval", "1h"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr.splitlines() == [
        f"exporting to {server.url}/v1/metrics",
        "exported 3 windows, nothing lost; 1 pushes, 0 failed",
    ]
    (point,) = metrics_of(server.requests[0])["schedtel.windows"].sum.data_points
    assert point.as_int == 3


def test_a_recording_that_reaches_no_collector_is_no_success(recording, port):
    pytest.importorskip("schedtel.export.otlp", reason=NEEDS_OTLP)
    url = f"http://127.0.0.1:{port}"
    command = [*COMMAND, "otlp", recording, "--endpoint", url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    _, closing, error = ended.stderr.splitlines()
    assert closing == "exported 3 windows, nothing lost; 0 pushes, 1 failed"
    assert error.startswith(
        f"schedtel: cannot push to {url}/v1/metrics: no program listens there; the last push failed"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_last_push_and_what_was_not_pushed_is_said(export, recording, number):
    """The collector listens and does not answer; without the signal, the exporter would wait for ten seconds."""
    pytest.importorskip("schedtel.export.otlp", reason=NEEDS_OTLP)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        process, _ = export("otlp", recording, "--endpoint", f"http://127.0.0.1:{silent.getsockname()[1]}")
        connection, _ = silent.accept()
        with connection:
            connection.recv(1)
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == 2
    closing, error = process.stderr.read().splitlines()
    assert closing == "exported 3 windows, nothing lost; 0 pushes, 1 failed"
    assert "there was no time to wait for its answer; the last push failed" in error


def test_a_stream_is_followed_through_the_end_of_its_server(export, windows, port):
    """The server comes back as another run: the sums go on, and keep what came before."""
    pytest.importorskip("prometheus_client", reason="needs prometheus-client (pip install)")
    uri = f"grpc://127.0.0.1:{port}"
    process, line = export("prometheus", uri, "--listen", "127.0.0.1:0")
    url = line.split()[-1]
    for run in (1, 2):
        source = Fed()
        with schedtel.serve(source, uri) as server:
            pump = threading.Thread(target=server.run, daemon=True)
            pump.start()
            source.feed(*windows)
            wanted = ("schedtel_windows_total", HOST, 3 * run)
            eventually(lambda wanted=wanted: wanted in counted(url))
            server.stop()
            source.end()
            pump.join(PATIENCE_S)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert "trying again" in process.stderr.read()


@pytest.mark.parametrize(("name", "module"), [("prometheus", "prometheus_client"), ("otlp", "opentelemetry")])
def test_a_missing_extra_is_named(name, module):
    program = (
        f"import sys; sys.modules[{module!r}] = None; sys.argv[0] = 'schedtel'; from schedtel.cli import main; main()"
    )
    arguments = ["export", name, *(["--endpoint", "http://127.0.0.1:4318"] if name == "otlp" else [])]
    command = [sys.executable, "-c", program, *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert re.fullmatch(rf"schedtel: cannot export: .* is not installed \(pip install 'schedtel\[{name}\]'\)", line)


def test_adding_windows_imports_no_pandas(recording):
    """pandas would take 40 MB in a process that runs for as long as its machine."""
    program = (
        "import sys, schedtel\n"
        "from schedtel.export.hosts import Totals\n"
        "totals = Totals()\n"
        "for window in schedtel.read(sys.argv[1]): totals.add(window)\n"
        "print(totals.windows, totals.read()[0].time_ns > 0, 'pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", program, recording]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "3 True False"


def test_who_does_not_export_does_not_import_the_libraries_for_it():
    program = (
        "import sys, schedtel\n"
        "from schedtel.cli.commands import live, record, serve, schema, export\n"
        "print([name for name in sys.modules if name.startswith(('prometheus_client', 'opentelemetry'))])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
