"""Exported sums against arithmetic on paper and against each other; who may scrape; what a collector receives."""

import itertools
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading

import numpy as np
import pytest
from exporting import OtlpServer, attributes, get, in_cgroups, metrics_of, replaced, samples, with_waits
from hypothesis import given
from hypothesis import strategies as st
from samples import MS
from serving import TOKEN, Fed, certificate, eventually

import schedtel
from schedtel import tables
from schedtel.errors import StreamError, UsageError
from schedtel.export import definitions
from schedtel.export.buckets import CGROUP_STEP, HOST_STEP, exported
from schedtel.export.cgroups import IDLE_NS, CgroupTotals
from schedtel.export.http import Endpoint
from schedtel.export.totals import Totals
from schedtel.histogram import FINE_EDGES_NS, TASK_EDGES_NS
from schedtel.layout import FINE_BUCKETS, TASK_BUCKETS

COMMAND = [sys.executable, "-m", "schedtel.cli", "export"]
GROUPS = ["/a", "/b", "/a", "/c", "/d"]


def totals_of(windows, **options):
    totals = Totals(**options)
    for window in windows:
        totals.add(window)
    return totals


def read(totals):
    """A reading: metric → labels → value."""
    return {metric: {s.labels: s.value for s in series} for metric, series in totals.read().families}


def named(totals, name):
    """The series of a metric, by its name in Prometheus."""
    (found,) = [series for metric, series in read(totals).items() if metric.prometheus_name == name]
    return found


def scrape(totals):
    prometheus = pytest.importorskip("schedtel.export.prometheus", reason="needs prometheus-client (pip install)")
    return samples(prometheus.exposition(totals))


# ---- names ----


def test_names_follow_the_conventions():
    """Base units, `_total` for counters and for nothing else, no unit of schedtel's columns, one metric a name."""
    names = [metric.prometheus_name for metric in definitions.METRICS]
    assert len(set(names)) == len(names) == len({metric.name for metric in definitions.METRICS})
    for metric, name in zip(definitions.METRICS, names, strict=True):
        assert re.fullmatch(r"schedtel_[a-z0-9_]+", name)
        assert name.endswith("_total") == (metric.kind == "counter")
        assert not re.search(r"_(ns|ms|us|avg|count|sum|bucket)(_|$)", name)
        assert len(metric.help) > 15
        assert "the window" not in metric.help
        assert not re.search(r"_ns\b|\bnull\b", metric.help)
        assert not {"pid", "tid", "tgid", "comm"} & set(metric.labels)


def test_a_name_is_that_of_the_specification():
    """https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/"""
    names = {metric.name: metric.prometheus_name for metric in definitions.METRICS}
    assert names["schedtel.cgroup.cpu"] == "schedtel_cgroup_cpu_seconds_total"
    assert names["schedtel.collector_rss"] == "schedtel_collector_rss_bytes"
    assert names["schedtel.fairness_jain"] == "schedtel_fairness_jain_ratio"
    assert names["schedtel.runqueue_length"] == "schedtel_runqueue_length"
    assert names["schedtel.wait"] == "schedtel_wait_seconds"


# ---- sums ----


def test_sums_are_those_of_the_history(windows):
    """CPU 0 works from 1 to 250 ms; task 3 lives from 1 to 12 ms; first CPUs at 1, 13, 51, 2 and 12.5 ms after 1 ms."""
    totals = totals_of(windows)
    assert named(totals, "schedtel_windows_total") == {(): 3}
    assert named(totals, "schedtel_observed_seconds_total") == {(): 0.3}
    assert named(totals, "schedtel_cpu_busy_seconds_total")["0",] == 0.249
    assert named(totals, "schedtel_cpu_idle_seconds_total")["0",] == 0.051
    assert named(totals, "schedtel_tasks_completed_total") == {(): 1}
    tat = named(totals, "schedtel_tat_seconds")[()]
    assert (tat.sum_s, tat.counts.sum()) == (0.011, 1)
    assert tat.bounds_s[int(tat.counts.argmax()) - 1] < 0.011 < tat.bounds_s[int(tat.counts.argmax())]
    rt = named(totals, "schedtel_rt_seconds")[()]
    assert rt.sum_s == pytest.approx(0.0745)
    assert rt.counts.sum() == 5
    assert named(totals, "schedtel_steal_seconds_total") == {(): 0.03}
    assert named(totals, "schedtel_collector_rss_bytes") == {(): 50 << 20}
    assert named(totals, "schedtel_window_seconds") == {(): 0.1}
    assert named(totals, "schedtel_last_window_timestamp_seconds")[()] == pytest.approx(1_700_000_000.423456)
    assert named(totals, "schedtel_host_info") == {("testhost", "6.18.0", "eevdf"): 1}


def test_over_all_cgroups_the_sums_are_those_of_the_host(windows):
    totals = totals_of([in_cgroups(window, GROUPS) for window in windows], max_cgroups=2)
    cpu = named(totals, "schedtel_cgroup_cpu_seconds_total")
    busy, gone = (named(totals, f"schedtel_cpu_{kind}_seconds_total") for kind in ("busy", "teardown"))
    assert sum(cpu.values()) == pytest.approx(sum(busy.values()) - sum(gone.values()))
    waits = named(totals, "schedtel_cgroup_wait_seconds")
    host = named(totals, "schedtel_wait_seconds")[()]
    assert sum(h.sum_s for h in waits.values()) == pytest.approx(host.sum_s)
    assert sum(h.counts.sum() for h in waits.values()) == host.counts.sum()
    for name in ("wakeups", "migrations", "voluntary_switches", "involuntary_switches"):
        of_groups = named(totals, f"schedtel_cgroup_{name}_total")
        assert sum(of_groups.values()) == named(totals, f"schedtel_{name}_total")[()]


def test_without_a_window_there_are_zeros_to_count_from():
    totals = Totals()
    assert named(totals, "schedtel_windows_total") == {(): 0}
    assert named(totals, "schedtel_ring_dropped_total") == {(): 0}
    assert named(totals, "schedtel_wait_seconds")[()].counts.sum() == 0
    assert "schedtel_last_window_timestamp_seconds" not in {m.prometheus_name for m in read(totals)}


def test_what_has_no_value_is_left_out(windows):
    """The kernel counts no BPF run time here; the third window has no task that asked for 1 ms in competition."""
    names = {metric.prometheus_name for metric in read(totals_of(windows))}
    assert "schedtel_bpf_seconds_total" not in names
    assert "schedtel_fairness_jain_ratio" in names


def test_every_metric_is_exported(windows):
    window = schedtel.Window(replaced(windows[0].summary, bpf_ns=[5_000]), windows[0].tasks, windows[0].cpus)
    totals = totals_of([window])
    assert set(read(totals)) == set(definitions.METRICS)
    assert named(totals, "schedtel_bpf_seconds_total") == {(): 5e-6}


# ---- buckets ----


@given(st.data())
@pytest.mark.parametrize(
    ("buckets", "edges", "step"),
    [(FINE_BUCKETS, FINE_EDGES_NS, HOST_STEP), (TASK_BUCKETS, TASK_EDGES_NS, CGROUP_STEP)],
    ids=["host", "cgroup"],
)
def test_exported_buckets_count_each_sample_once_and_where_it_belongs(buckets, edges, step, data):
    durations = np.array(data.draw(st.lists(st.integers(0, int(edges[-1]) - 1), max_size=50)), np.int64)
    counts = np.histogram(durations, bins=edges)[0]
    found = exported(counts, int(durations.sum()), step)
    assert len(found.counts) == len(found.bounds_s) + 1
    for bound, below in zip(found.bounds_s, found.counts.cumsum(), strict=False):
        assert below == (durations < round(bound * 1e9)).sum()
    assert found.counts.sum() == len(durations)


@pytest.mark.parametrize(("step", "most"), [(HOST_STEP, 0.25), (CGROUP_STEP, 0.5)])
def test_no_bucket_is_wider_than_is_said(step, most):
    bounds = exported(np.zeros(FINE_BUCKETS, np.int64), 0, step).bounds_s
    assert (bounds[0], bounds[-1]) == (1.024e-6, 68.719476736)
    assert max((high - low) / low for low, high in itertools.pairwise(bounds)) <= most + 1e-12


# ---- cgroups ----


def test_the_busiest_have_series_of_their_own_and_the_rest_are_other(windows):
    window = in_cgroups(windows[0], GROUPS)
    cpu, wait = (tables.column(window.tasks, name) for name in ("cpu_ns", "wait_ns"))
    paths = np.array([path or "" for path in window.tasks["cgroup"].to_pylist()])
    asked = {path: int((cpu + wait)[paths == path].sum()) for path in set(GROUPS)}
    first = sorted(asked, key=asked.get, reverse=True)[:2]
    totals = totals_of([window], max_cgroups=2)
    found = named(totals, "schedtel_cgroup_cpu_seconds_total")
    assert {labels[0] for labels in found} == {*first, "other"}
    for path in first:
        assert found[path,] == cpu[paths == path].sum() / 1e9
    assert named(totals, "schedtel_cgroups") == {(): 2}
    assert named(totals, "schedtel_cgroups_folded") == {(): sum(ns > 0 for ns in asked.values()) - 2}


@given(
    st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=5), min_size=1, max_size=12), st.integers(0, 4)
)
def test_whatever_comes_and_goes_no_series_goes_back_and_nothing_counts_twice(windows, history, most):
    """Windows an idle time apart, so that places are given away: a series may end, and begins again from 0."""
    cgroups, before, ended, added = CgroupTotals(most), {}, 0, 0
    for number, paths in enumerate(history):
        window = in_cgroups(windows[number % 2], [f"/{path}" for path in paths])
        cgroups.add(window.tasks, 1 + number, number * IDLE_NS // 2)
        added += int(tables.column(window.tasks, "cpu_ns").sum())
        now = {(sums.path, sums.start_ns): sums.columns["cpu_ns"] for sums in cgroups}
        assert len(now) <= most + 1
        assert len(cgroups) == len(now) - 1
        ended += sum(before.pop(series) for series in set(before) - set(now))
        assert all(now[series] >= value for series, value in before.items())
        before = now
        assert ended + sum(now.values()) == added


def test_a_place_is_given_away_only_after_it_has_been_idle_for_long(windows):
    def add(path, moment):
        cgroups.add(in_cgroups(windows[0], [path]).tasks, 1, moment)
        return [sums.path for sums in cgroups]

    cgroups = CgroupTotals(1)
    assert add("/old", 0) == ["other", "/old"]
    assert add("/new", IDLE_NS - 1) == ["other", "/old"]
    assert cgroups.folded == 1
    assert add("/new", IDLE_NS) == ["other", "/new"]
    assert cgroups.folded == 0


@pytest.mark.parametrize("both", [["/new", "/old"], ["/old", "/new"]])
def test_who_runs_in_this_window_keeps_its_place_however_long_windows_are(windows, both):
    cgroups = CgroupTotals(1)
    cgroups.add(in_cgroups(windows[0], ["/old"]).tasks, 1, 0)
    cgroups.add(in_cgroups(windows[0], both).tasks, 1, 3 * IDLE_NS)
    assert [sums.path for sums in cgroups] == ["other", "/old"]


def test_windows_without_tasks_and_rows_of_no_cgroup_are_no_trouble(windows):
    empty = schedtel.Window(windows[0].summary, windows[0].tasks.slice(0, 0), windows[0].cpus)
    totals = totals_of([empty, in_cgroups(windows[0], [None])])
    assert {labels[0] for labels in named(totals, "schedtel_cgroup_cpu_seconds_total")} == {"other"}
    assert sum(named(totals, "schedtel_cgroup_cpu_seconds_total").values()) > 0


# ---- Prometheus: who may scrape ----


@pytest.fixture(scope="module")
def application(windows):
    prometheus = pytest.importorskip("schedtel.export.prometheus", reason="needs prometheus-client (pip install)")
    return prometheus.application(totals_of(windows))


def test_a_scrape_has_what_a_reading_has(windows, application):
    totals = totals_of(windows)
    with Endpoint(application, "127.0.0.1:0") as endpoint:
        status, text = get(endpoint.url)
    assert status == 200
    found = samples(text)
    assert found == scrape(totals)
    for metric, series in read(totals).items():
        for labels, value in series.items():
            key = tuple(sorted(zip(metric.labels, labels, strict=True)))
            if metric.kind == "histogram":
                assert found[f"{metric.prometheus_name}_count", key] == value.counts.sum()
                assert found[f"{metric.prometheus_name}_sum", key] == value.sum_s
            else:
                assert found[metric.prometheus_name, key] == value


def test_a_hostile_cgroup_name_stays_a_label(windows):
    path = '/a"} 1\nschedtel_fake_total{x="\\'
    found = scrape(totals_of([in_cgroups(windows[0], [path])]))
    assert ("schedtel_cgroup_cpu_seconds_total", (("cgroup", path),)) in found
    assert not any(name == "schedtel_fake_total" for name, _ in found)


def test_nothing_but_metrics_is_served(application):
    with Endpoint(application, "127.0.0.1:0") as endpoint:
        assert [get(endpoint.url.replace("/metrics", path))[0] for path in ("/", "/metrics/..", "/x")] == [404] * 3


def test_openmetrics_is_spoken_to_who_asks_for_it(application):
    with Endpoint(application, "127.0.0.1:0") as endpoint:
        _, text = get(endpoint.url, Accept="application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert "# UNIT schedtel_wait_seconds seconds" in text


@pytest.mark.parametrize("header", [None, "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN])
def test_without_the_token_there_is_no_scrape(application, header):
    with Endpoint(application, "127.0.0.1:0", token=TOKEN) as endpoint:
        headers = {"Authorization": header} if header else {}
        assert get(endpoint.url, **headers)[0] == 401
        assert get(endpoint.url, Authorization=f"Bearer {TOKEN}")[0] == 200


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    pytest.importorskip("cryptography", reason="needs cryptography to make certificates (pip install cryptography)")
    folder = tmp_path_factory.mktemp("pki")
    authority = certificate(folder, "authority")
    certificate(folder, "server", authority)
    certificate(folder, "client", authority)
    return folder


def own(pki):
    return {"tls_cert": str(pki / "server.pem"), "tls_key": str(pki / "server.key")}


def test_beyond_this_machine_only_tls_with_a_token_is_served(application, pki):
    for terms in ({}, {"token": TOKEN}, own(pki)):
        with pytest.raises(UsageError, match=r"^cannot listen on 0\.0\.0\.0:0: .*\)$"):
            Endpoint(application, "0.0.0.0:0", **terms)
    with Endpoint(application, "0.0.0.0:0", token=TOKEN, **own(pki)) as endpoint:
        assert endpoint.url.startswith("https://0.0.0.0:")


def test_with_a_client_authority_only_its_clients_scrape(application, pki):
    trust = ssl.create_default_context(cafile=str(pki / "authority.pem"))
    with Endpoint(application, "127.0.0.1:0", client_ca=str(pki / "authority.pem"), **own(pki)) as endpoint:
        port = int(endpoint.url.split(":")[2].split("/")[0])

        def ask():
            with (
                socket.create_connection(("127.0.0.1", port), 10) as plain,
                trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
            ):
                secure.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                return secure.recv(12)

        with pytest.raises(OSError, match=r"certificate required|reset|EOF"):
            ask()
        trust.load_cert_chain(pki / "client.pem", pki / "client.key")
        assert ask() == b"HTTP/1.0 200"


def test_one_who_says_nothing_does_not_hold_up_the_others(application, pki):
    """Also where a handshake is expected of him; when there are too many of them, a connection is closed."""
    with Endpoint(application, "127.0.0.1:0", **own(pki)) as endpoint:
        port = int(endpoint.url.split(":")[2].split("/")[0])
        silent = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(15)]
        trust = ssl.create_default_context(cafile=str(pki / "authority.pem"))
        with (
            socket.create_connection(("127.0.0.1", port), 10) as plain,
            trust.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert secure.recv(12) == b"HTTP/1.0 200"
        silent += [socket.create_connection(("127.0.0.1", port), 10) for _ in range(2)]
        assert silent[-1].recv(1) == b""
        for connection in silent:
            connection.close()


def test_an_address_in_use_is_refused(application):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StreamError, match="in use"):
        Endpoint(application, f"127.0.0.1:{taken.getsockname()[1]}")


# ---- OpenTelemetry ----


@pytest.fixture(scope="module")
def otlp():
    return pytest.importorskip(
        "schedtel.export.otlp", reason="needs opentelemetry-exporter-otlp-proto-http (pip install)"
    )


def pushed(otlp, totals, **options):
    """What a real protobuf server receives of totals: its requests and their paths and headers."""
    with OtlpServer() as server:
        pusher = otlp.Pusher(totals, server.url, 3600, pytest.fail, **options)
        pusher.close()
        assert (pusher.pushed, pusher.failed) == (1, 0)
        return server.requests[0], server.headers[0]


def test_a_collector_receives_what_prometheus_scrapes(windows, otlp):
    random = np.random.default_rng(5)
    totals = totals_of([with_waits(in_cgroups(window, GROUPS), random) for window in windows])
    request, _ = pushed(otlp, totals)
    found = {}
    for metric in definitions.METRICS:
        if metric.column == "bpf_ns":
            continue
        received = metrics_of(request)[metric.name]
        assert (received.description, received.unit) == (metric.help, metric.unit)
        found |= POINTS[metric.kind](metric.prometheus_name, received)
    assert found == scrape(totals)


def numbers(name, points):
    return {(name, attributes(p)): p.as_double if p.WhichOneof("value") == "as_double" else p.as_int for p in points}


def of_counter(name, metric):
    assert metric.sum.is_monotonic
    assert metric.sum.aggregation_temporality == 2, "cumulative"
    assert all(0 < p.start_time_unix_nano < p.time_unix_nano for p in metric.sum.data_points)
    return numbers(name, metric.sum.data_points)


def of_histogram(name, metric):
    assert metric.histogram.aggregation_temporality == 2, "cumulative"
    found = {}
    for p in metric.histogram.data_points:
        labels, upto = attributes(p), np.cumsum(p.bucket_counts)
        bounds = [*(f"{bound:.12g}" for bound in p.explicit_bounds), "+Inf"]
        found |= {(f"{name}_count", labels): p.count, (f"{name}_sum", labels): p.sum}
        assert not p.HasField("min")
        assert not p.HasField("max")
        buckets = {(("le", le), *labels): count for le, count in zip(bounds, upto.tolist(), strict=True)}
        found |= {(f"{name}_bucket", tuple(sorted(key))): count for key, count in buckets.items()}
    return found


POINTS = {
    "counter": of_counter,
    "gauge": lambda name, metric: numbers(name, metric.gauge.data_points),
    "histogram": of_histogram,
}


def test_a_push_says_whose_it_is_and_of_when(windows, otlp):
    request, (path, headers) = pushed(otlp, totals_of(windows), token=TOKEN)
    (resource,) = request.resource_metrics
    names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert names["service.name"] == "schedtel"
    assert names["host.name"] == names["service.instance.id"] == "testhost"
    assert path == "/v1/metrics"
    assert headers["authorization"] == f"Bearer {TOKEN}"
    (point,) = metrics_of(request)["schedtel.windows"].sum.data_points
    assert point.time_unix_nano - point.start_time_unix_nano == pytest.approx(300 * MS, abs=2000)


def test_a_collector_that_comes_back_gets_everything(windows, otlp):
    """One line when it fails, one when it works again, and the sums of all windows in the next push."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    totals, said = totals_of(windows[:1]), []
    pusher = otlp.Pusher(totals, f"http://127.0.0.1:{port}", 0.05, said.append)
    eventually(lambda: pusher.failed, 60)
    for window in windows[1:]:
        totals.add(window)
    with OtlpServer(port) as server:
        eventually(lambda: pusher.pushed, 60)
        pusher.close()
    assert re.fullmatch(
        r"schedtel: cannot push to http://127.0.0.1:\d+/v1/metrics: nobody listens there; trying again", said[0]
    )
    assert re.fullmatch(r"schedtel: pushing to \S+ again, after \d+ failed", said[1])
    assert len(said) == 2
    (point,) = metrics_of(server.requests[0])["schedtel.windows"].sum.data_points
    assert point.as_int == 3


def test_a_refusal_is_explained(windows, otlp):
    said = []
    with OtlpServer() as server:
        server.status = 401
        otlp.Pusher(totals_of(windows), server.url, 3600, said.append).close()
        server.status = 400
        otlp.Pusher(totals_of(windows), server.url, 3600, said.append).close()
    assert "it does not let us in (give --token-file)" in said[0]
    assert "it answered 400, reason: Bad Request" in said[1]


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", "http://u:p@h", "http://h:x"]
)
def test_what_is_no_url_is_refused(otlp, url):
    with pytest.raises(UsageError, match=r"no URL of a collector .*\)$"):
        otlp.Pusher(Totals(), url, 1, pytest.fail)


def test_a_token_is_not_pushed_in_the_clear_over_a_network(otlp):
    with pytest.raises(UsageError, match="not encrypted"):
        otlp.Pusher(Totals(), "http://192.0.2.1:4318", 1, pytest.fail, token=TOKEN)


# ---- the command ----


@pytest.fixture
def recording(windows, tmp_path):
    recorder = schedtel.Recorder(tmp_path / "recording")
    for window in windows:
        recorder.write(window)
    return str(tmp_path / "recording")


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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_recording_is_exported_until_told_to_stop(export, recording, windows, number):
    pytest.importorskip("prometheus_client", reason="needs prometheus-client (pip install)")
    process, line = export("prometheus", recording, "--listen", "127.0.0.1:0")
    url = line.split()[-1]
    assert line == f"exporting on {url}\n"
    eventually(lambda: samples(get(url)[1])["schedtel_windows_total", ()] == 3)
    assert samples(get(url)[1]) == scrape(totals_of(windows))
    process.send_signal(number)
    assert process.wait(20) == 0
    assert process.stderr.read() == "exported 3 windows, nothing lost\n"


def test_a_recording_is_pushed_once_and_that_is_all(recording, windows, otlp):
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


def test_a_stream_is_followed_through_the_end_of_its_server(export, windows):
    """The server comes back as another run: sums go on, and nothing that came is lost."""
    pytest.importorskip("prometheus_client", reason="needs prometheus-client (pip install)")
    with socket.create_server(("127.0.0.1", 0)) as free:
        uri = f"grpc://127.0.0.1:{free.getsockname()[1]}"
    process, line = export("prometheus", uri, "--listen", "127.0.0.1:0")
    url = line.split()[-1]
    for run in (1, 2):
        source = Fed()
        with schedtel.serve(source, uri) as server:
            pump = threading.Thread(target=server.run, daemon=True)
            pump.start()
            source.feed(*windows)
            wanted = ("schedtel_windows_total", ()), 3 * run
            eventually(lambda wanted=wanted: wanted in samples(get(url)[1]).items(), 30)
            server.stop()
            source.end()
            pump.join(20)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
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
    """It would take 40 MB, of a process that runs for as long as its machine."""
    program = (
        "import sys, schedtel\n"
        "from schedtel.export.totals import Totals\n"
        "totals = Totals()\n"
        "for window in schedtel.read(sys.argv[1]): totals.add(window)\n"
        "print(totals.windows, totals.read().time_ns > 0, 'pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", program, recording]
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "3 True False"


def test_who_does_not_export_does_not_import_the_libraries_for_it():
    program = (
        "import sys, schedtel\n"
        "from schedtel.cli import live, record, serve, schema, export\n"
        "print([name for name in sys.modules if name.startswith(('prometheus_client', 'opentelemetry'))])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert found.stdout.strip() == "[]"
