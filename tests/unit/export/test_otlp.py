"""What a collector receives: a real protobuf server, and the numbers that Prometheus scrapes."""

import re
import threading

import numpy as np
import pytest
from exporting import (
    GROUPS,
    OtlpServer,
    attributes,
    in_cgroups,
    metrics_by_host,
    metrics_of,
    scrape,
    totals_of,
    with_waits,
)
from samples import MS, on_host
from serving import TOKEN, unused_port
from texts import TEXTS_OF_TABLES
from waiting import eventually

from schedtel.errors import UsageError
from schedtel.export import definitions
from schedtel.export.hosts import Totals

otlp = pytest.importorskip("schedtel.export.otlp", reason="needs opentelemetry-exporter-otlp-proto-http (pip install)")


def pushed(totals, **options):
    """Push totals to a real protobuf server; returns its requests, with their paths and headers."""
    with OtlpServer() as server:
        pusher = otlp.Pusher(totals, server.url, 3600, pytest.fail, **options)
        pusher.close()
        assert (pusher.pushed, pusher.failed) == (1, 0)
        return server.requests[0], server.headers[0]


def test_a_collector_receives_what_prometheus_scrapes(windows):
    random = np.random.default_rng(5)
    totals = totals_of([with_waits(in_cgroups(window, GROUPS), random) for window in windows])
    request, _ = pushed(totals)
    found = {}
    for metric in definitions.METRICS:
        if metric.column == "bpf_ns":
            continue
        received = metrics_of(request)[metric.name]
        assert (received.description, received.unit) == (metric.help, metric.unit)
        found |= POINTS[metric.kind](metric.prometheus_name, received)
    assert found == scrape(totals)


def test_labels_are_the_names_of_the_tables_whatever_they_are(windows):
    """Protobuf has only UTF-8, which every text of a table is."""
    names = [text for text in TEXTS_OF_TABLES.values() if text]
    totals = totals_of([in_cgroups(windows[0], names[at : at + 4]) for at in range(0, len(names), 4)])
    request, _ = pushed(totals)
    (metric,) = (metrics_of(request)[m.name] for m in definitions.CGROUP_COUNTERS if m.column == "cpu_ns")
    assert set(names) <= {dict(attributes(point))["cgroup"] for point in metric.sum.data_points}


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


def test_a_push_says_whose_it_is_and_of_when(windows):
    request, (path, headers) = pushed(totals_of(windows), token=TOKEN)
    (resource,) = request.resource_metrics
    names = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
    assert names["service.name"] == "schedtel"
    assert names["host.name"] == names["service.instance.id"] == "testhost"
    assert path == "/v1/metrics"
    assert headers["authorization"] == f"Bearer {TOKEN}"
    (point,) = metrics_of(request)["schedtel.windows"].sum.data_points
    assert point.time_unix_nano - point.start_time_unix_nano == pytest.approx(300 * MS, abs=2000)


def test_each_host_is_a_resource_of_its_own(windows):
    request, _ = pushed(totals_of([on_host(windows[0], "web1"), *(on_host(w, "db") for w in windows)], max_hosts=5))
    found = metrics_by_host(request)
    counted = {host: metrics["schedtel.windows"].sum.data_points for host, metrics in found.items()}
    assert {host: [(p.as_int, attributes(p)) for p in points] for host, points in counted.items()} == {
        "web1": [(1, ())],
        "db": [(3, ())],
    }


def test_a_collector_that_comes_back_gets_everything(windows):
    """One line tells that a push failed, one that pushes work again; the next push has the sums of all windows."""
    totals, said = totals_of(windows[:1]), []
    with unused_port() as port:
        pusher = otlp.Pusher(totals, f"http://127.0.0.1:{port}", 0.05, said.append)
        eventually(lambda: pusher.failed)
        for window in windows[1:]:
            totals.add(window)
        with OtlpServer(port) as server:
            eventually(lambda: pusher.pushed)
            pusher.close()
    assert re.fullmatch(
        r"schedtel: cannot push to http://127.0.0.1:\d+/v1/metrics: no program listens there; trying again", said[0]
    )
    assert re.fullmatch(r"schedtel: pushing to \S+ again, after \d+ failed", said[1])
    assert len(said) == 2
    (point,) = metrics_of(server.requests[0])["schedtel.windows"].sum.data_points
    assert point.as_int == 3


def test_a_refusal_is_explained(windows):
    why_not = []
    with OtlpServer() as server:
        for server.status in (401, 400):
            with otlp.Pusher(totals_of(windows), server.url, 3600, pytest.fail) as pusher:
                pass
            why_not.append(pusher.why_not)
    assert why_not == ["it does not let us in (give --token-file)", "it answered 400, reason: Bad Request"]


@pytest.mark.parametrize("broken_off_at_once", [False, True])
def test_a_push_that_was_given_up_is_counted_once_and_says_no_more(windows, monkeypatch, capfd, broken_off_at_once):
    """The collector makes the exporter try again and again, until the test tells the exporter to wait no more."""
    with OtlpServer() as server:
        server.status = 503
        pusher = otlp.Pusher(totals_of(windows), server.url, 3600, pytest.fail)
        if broken_off_at_once:
            shutdown = pusher._exporter.shutdown
            monkeypatch.setattr(pusher._exporter, "shutdown", lambda: (shutdown(), pusher._thread.join()))
        ending = threading.Thread(target=pusher.close)
        ending.start()
        eventually(lambda: pusher._heard.lines)
        pusher.hurry()
        ending.join()
        pusher._thread.join()
    assert (pusher.pushed, pusher.failed) == (0, 1)
    assert pusher.why_not == "there was no time to wait for its answer"
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:4318", "grpc://127.0.0.1:4317", "http://", "http://u:p@h", "http://h:x"]
)
def test_what_is_no_url_is_refused(url):
    with pytest.raises(UsageError, match=r"no URL of a collector .*\)$"):
        otlp.Pusher(Totals(), url, 1, pytest.fail)


@pytest.mark.parametrize("option", ["ca", "tls_cert", "tls_key"])
def test_certificates_are_refused_where_nobody_would_see_them(option):
    with pytest.raises(UsageError, match=r"^cannot use certificates with http://127\.0\.0\.1:1: it is not TLS"):
        otlp.Pusher(Totals(), "http://127.0.0.1:1", 1, pytest.fail, **{option: "authority.pem"})


def test_a_token_is_not_pushed_in_the_clear_over_a_network():
    with pytest.raises(UsageError, match="not encrypted"):
        otlp.Pusher(Totals(), "http://192.0.2.1:4318", 1, pytest.fail, token=TOKEN)
