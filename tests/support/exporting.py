"""What the tests of exporters share: windows of many cgroups, scrapes read back, an OTLP server, a real Prometheus."""

import dataclasses
import gzip
import json
import shutil
import subprocess
import threading
import urllib.parse
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from samples import replaced
from serving import unused_port
from waiting import PATIENCE_S, eventually

from schedtel.export.hosts import Totals
from schedtel.records.histogram import edges_ns
from schedtel.windows.arrow import fixed_list
from schedtel.windows.window import Window

ROOT = Path(__file__).parent.parent.parent
#: Where scripts/system-packages puts Debian's binaries, without installing the package.
FETCHED = ROOT / "build" / "prometheus" / "usr" / "bin"


def in_cgroups(window, paths):
    """The window, with its tasks in these cgroups in turn; the row `other` has none."""
    own = [tid != 0 for tid in window.tasks["tid"].to_pylist()]
    names = [paths[number % len(paths)] if mine else None for number, mine in enumerate(own)]
    labels = pa.array(names, pa.string()).dictionary_encode()
    return Window(window.summary, replaced(window.tasks, cgroup=labels), window.cpus)


def preempted(window, *pairs):
    """The window, with these (victim, preemptor, count, wait in ns); None is a cgroup that has gone."""
    schema = window.preemptions.schema
    names = ("victim", "preemptor", "count", "wait_ns")
    given = dict(zip(names, zip(*pairs, strict=True), strict=True))
    kinds = {name: pa.string() if name in names[:2] else schema.field(name).type for name in names}
    arrays = {name: pa.array(given[name], kinds[name]) for name in names}
    arrays |= {name: arrays[name].dictionary_encode() for name in names[:2]}
    arrays |= {"max_wait_ns": arrays["wait_ns"], "window_id": pa.array([window.window_id] * len(pairs))}
    columns = [arrays[f.name] if f.name in arrays else pa.nulls(len(pairs), f.type) for f in schema]
    return dataclasses.replace(window, preemptions=pa.RecordBatch.from_arrays(columns, schema=schema))


def with_waits(window, random):
    """The window, with random waits and bursts of every length up to a minute in all its histograms."""

    def counts(batch, name):
        buckets = batch.schema.field(name).type.list_size
        shape = (batch.num_rows, buckets)
        drawn = (random.pareto(0.7, shape) * random.integers(0, 2, shape)).clip(0, 1000).astype(np.uint32)
        return fixed_list(np.where(edges_ns(buckets)[1:] < 60e9, drawn, 0))

    histograms = {name: counts(window.tasks, name) for name in ("wait_histogram", "burst_tat_histogram")}
    waits = {"wait_histogram": counts(window.cpus, "wait_histogram")}
    return Window(window.summary, replaced(window.tasks, **histograms), replaced(window.cpus, **waits))


def samples(text):
    """A scrape, read by the official client's parser: (name, labels) → value."""
    parser = pytest.importorskip("prometheus_client.parser", reason="needs prometheus-client (pip install)")
    families = parser.text_string_to_metric_families(text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


#: The cgroups of five tasks, of which two share one.
GROUPS = ["/a", "/b", "/a", "/c", "/d"]


def totals_of(windows, **options):
    totals = Totals(**options)
    for window in windows:
        totals.add(window)
    return totals


def read(totals):
    """A reading: metric → labels → value."""
    return {metric: {s.labels: s.value for s in series} for metric, series in totals.families()}


def named(totals, name):
    """The series of a metric, by its name in Prometheus."""
    (found,) = [series for metric, series in read(totals).items() if metric.prometheus_name == name]
    return found


def scrape(totals):
    prometheus = pytest.importorskip("schedtel.export.prometheus", reason="needs prometheus-client (pip install)")
    return samples(prometheus.exposition(totals))


def get(url, **headers):
    """Status and body of the answer to a GET."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


# ---- OpenTelemetry ----


class OtlpServer:
    """A collector's HTTP end: decodes what is pushed with OpenTelemetry's own protobuf classes."""

    def __init__(self, port=0):
        self.requests, self.headers, self.status = [], [], 200
        #: The body of an answer, and headers besides its length.
        self.body, self.answer_headers = b"", {"Content-Type": "application/x-protobuf"}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.received(self)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def received(self, call):
        from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as service  # noqa: PLC0415

        body = call.rfile.read(int(call.headers["Content-Length"]))
        if call.headers["Content-Encoding"] == "gzip":
            body = gzip.decompress(body)
        if self.status == 200:
            assert call.headers["Content-Type"] == "application/x-protobuf"
            self.headers.append((call.path, dict(call.headers)))
            self.requests.append(service.ExportMetricsServiceRequest.FromString(body))
        call.send_response(self.status)
        for name, value in {**self.answer_headers, "Content-Length": str(len(self.body))}.items():
            call.send_header(name, value)
        call.end_headers()
        call.wfile.write(self.body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def metrics_of(request):
    """All metrics of a push of one host: name → protobuf metric."""
    (metrics,) = metrics_by_host(request).values()
    return metrics


def metrics_by_host(request):
    """All metrics of a push: host → name → protobuf metric."""
    found = {}
    for resource in request.resource_metrics:
        (host,) = [pair.value.string_value for pair in resource.resource.attributes if pair.key == "host.name"]
        (scope,) = resource.scope_metrics
        assert host not in found
        found[host] = {metric.name: metric for metric in scope.metrics}
    return found


def attributes(point):
    return tuple(sorted((pair.key, pair.value.string_value) for pair in point.attributes))


# ---- Prometheus ----


def binary(name):
    """A program of Debian's package `prometheus`: installed, or fetched by scripts/system-packages."""
    found = shutil.which(name) or (str(FETCHED / name) if (FETCHED / name).exists() else None)
    if found is None:
        pytest.skip(f"no {name} (scripts/system-packages test fetches it, or: apt install prometheus)")
    return found


class Prometheus:
    """A real Prometheus that scrapes one target twice a second."""

    def __init__(self, folder, port, target, authorization=""):
        self.url = f"http://127.0.0.1:{port}"
        config = folder / "prometheus.yml"
        job = f'{{job_name: schedtel, static_configs: [{{targets: ["{target}"]}}]{authorization}}}'
        config.write_text(f"global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\nscrape_configs: [{job}]\n")
        command = [binary("prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}"]
        command += [f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
        with open(folder / "log", "w") as log:
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)

    def query(self, promql, **parameters):
        """What a PromQL expression gives now: labels → value. Fails with the words of Prometheus if that refuses it."""
        fields = urllib.parse.urlencode({"query": promql, **parameters})
        status, body = get(f"{self.url}/api/v1/query?{fields}")
        answer = json.loads(body)
        assert status == 200, f"{promql}: {answer.get('error')}"
        assert not answer.get("warnings"), answer
        result = answer["data"]["result"]
        if answer["data"]["resultType"] == "scalar":
            return {(): float(result[1])}
        return {tuple(sorted(series["metric"].items())): float(series["value"][1]) for series in result}

    def value(self, promql):
        """The one value of an expression; None while there is none."""
        found = list(self.query(promql).values())
        return found[0] if found else None

    def ready(self):
        assert self.process.poll() is None, "Prometheus has ended"
        try:
            return get(f"{self.url}/-/ready")[0] == 200
        except urllib.error.URLError:  # Prometheus does not listen yet
            return False

    def close(self):
        self.process.terminate()
        self.process.wait(PATIENCE_S)


@contextmanager
def prometheus(folder, target, **options):
    with unused_port() as port:
        server = Prometheus(folder, port, target, **options)
        try:
            eventually(server.ready)
            yield server
        finally:
            server.close()
