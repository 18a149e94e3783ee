"""Readings in; OTLP out, pushed over HTTP to an OpenTelemetry collector by the SDK's data model and exporter.

Every push has the sums since the start (cumulative temporality), so a failed push loses resolution in time and no
count. Histograms have explicit bounds: the bounds of exponential histograms are powers of two of a second, schedtel's
are powers of two of a nanosecond.
"""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from schedtel._version import __version__
from schedtel.access.uri import is_host, is_loopback, is_plain
from schedtel.closing import Closing
from schedtel.errors import UsageError
from schedtel.export.buckets import Histogram
from schedtel.export.definitions import COUNTER, GAUGE, HISTOGRAM, Metric
from schedtel.export.hosts import Totals
from schedtel.export.otlp_answers import Answers, printable
from schedtel.export.totals import Reading, Series
from schedtel.latch import Latch

#: How long a push may take with its retries, and how long :meth:`Pusher.close` waits for the last one.
_PUSH_S, _FAREWELL_S = 10, 5.0
_PATH = "/v1/metrics"
_CUMULATIVE = sdk.AggregationTemporality.CUMULATIVE
_SDK_LOGGER = logging.getLogger("opentelemetry")


def metrics_data(readings: list[Reading]) -> sdk.MetricsData:
    """Readings in the SDK's data model: for each observed host a resource, the service `schedtel` on that host."""
    return sdk.MetricsData([_resource_metrics(reading) for reading in readings])


def _resource_metrics(reading: Reading) -> sdk.ResourceMetrics:
    metrics = [_metric(metric, series, reading.time_ns) for metric, series in reading.families]
    scope = sdk.ScopeMetrics(InstrumentationScope("schedtel", __version__), metrics, "")
    return sdk.ResourceMetrics(_resource(reading.host), [scope], "")


@functools.cache
def _resource(host: str) -> Resource:
    """The resource of a host. Resource.create() reads OTEL_RESOURCE_ATTRIBUTES, once for each host by the cache."""
    return Resource.create({"service.name": "schedtel", "service.instance.id": host, "host.name": host})


def _metric(metric: Metric, series: list[Series], time_ns: int) -> sdk.Metric:
    points: list[Any] = [_point(metric, one, time_ns) for one in series]
    of_kind: dict[str, Callable[[], Any]] = {
        COUNTER: lambda: sdk.Sum(points, _CUMULATIVE, is_monotonic=True),
        GAUGE: lambda: sdk.Gauge(points),
        HISTOGRAM: lambda: sdk.Histogram(points, _CUMULATIVE),
    }
    return sdk.Metric(metric.name, metric.help, metric.unit, of_kind[metric.kind]())


def _point(metric: Metric, series: Series, time_ns: int) -> sdk.NumberDataPoint | sdk.HistogramDataPoint:
    attributes = dict(zip(metric.labels, series.labels, strict=True))
    if not isinstance(series.value, Histogram):
        return sdk.NumberDataPoint(attributes, series.start_ns, time_ns, series.value)
    counts, bounds, total = series.value.counts.tolist(), series.value.bounds_s, series.value.sum_s
    no_extreme: Any = None  # min and max: optional in OTLP, but not in the SDK's annotations
    buckets = (counts, bounds, no_extreme, no_extreme)
    return sdk.HistogramDataPoint(attributes, series.start_ns, time_ns, sum(counts), total, *buckets)


class Pusher(Closing):
    """Pushes readings every ``interval_s`` and a last time at :meth:`close`, in a thread of its own.

    ``pushed`` and ``failed`` count pushes. A push has failed unless the collector's answer says that it kept all of it.
    ``why_not`` is the cause if the newest push failed, and empty if it did not.

    :param endpoint: such as ``http://127.0.0.1:4318``; without a path, OTLP's ``/v1/metrics`` is added.
    :param say: called with one line when pushing begins to fail, and when it works again.
    :param token: sent as ``Authorization: Bearer …``.
    :param ca: a file in PEM: the authority to trust instead of the system's.
    :param tls_cert, tls_key: files in PEM, for a collector that requires a certificate.

    Raises :class:`UsageError` for a malformed URL, for a token that would cross a network unencrypted, and for
    certificates without TLS.
    """

    def __init__(
        self,
        totals: Totals,
        endpoint: str,
        interval_s: float,
        say: Callable[[str], None],
        *,
        token: str | None = None,
        ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
    ) -> None:
        self.url = _checked(endpoint, token, certificates=any(file is not None for file in (ca, tls_cert, tls_key)))
        self._totals, self._interval_s, self._say = totals, interval_s, say
        self.pushed, self.failed, self.why_not = 0, 0, ""
        self._down, self._ending, self._heard = False, threading.Event(), _Heard()
        #: Set when :meth:`close` need not wait any more: the last push has ended, or :meth:`hurry` was called.
        self._done, self._hurried = Latch(), False
        #: Whether the last push has been counted. It counts once: by its result, or as given up.
        self._settling, self._settled = threading.Lock(), False
        self._answers = Answers()
        self._exporter = OTLPMetricExporter(
            self.url,
            certificate_file=ca,
            client_certificate_file=tls_cert,
            client_key_file=tls_key,
            headers={"authorization": f"Bearer {token}"} if token else None,
            timeout=_PUSH_S,
            compression=Compression.Gzip,
            session=self._answers,
        )
        # The SDK logs a line for every try. They go to `_heard`, and `say` gets one line instead.
        _SDK_LOGGER.addHandler(self._heard)
        _SDK_LOGGER.propagate = False
        self._thread = threading.Thread(target=self._run, name="schedtel-otlp", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._ending.wait(self._interval_s):
            self._push()
        self._push(last=True)
        _SDK_LOGGER.removeHandler(self._heard)
        self._done.set()

    def _push(self, *, last: bool = False) -> None:
        readings = [reading for reading in self._totals.read() if reading.time_ns]
        self._heard.lines.clear()
        why_not = self._export(readings) if readings else None
        with self._settling:
            if not self._settled:
                self._settled = last
                self._count(why_not)

    def _export(self, readings: list[Reading]) -> str:
        """Push; return why it failed, empty if it did not."""
        self._answers.why_not = ""
        try:
            result = self._exporter.export(metrics_data(readings))
        except Exception as error:  # noqa: BLE001  (the next push may succeed; without this thread there is none)
            return f"{type(error).__name__} in the exporter: {printable(str(error))}"
        if self._answers.why_not or result is sdk.MetricExportResult.SUCCESS:
            return self._answers.why_not
        # A push that close() broke off is not the cause of its own failure: the push before it failed for a reason.
        return explain(self._heard.lines) or self.why_not or "no answer"

    def _count(self, why_not: str | None) -> None:
        if why_not is None:  # there was nothing to push
            return
        if not why_not:
            self.pushed, self.why_not = self.pushed + 1, ""
            self._report(down=False, line=f"pushing to {self.url} again, after {self.failed} failed")
        else:
            self.failed += 1
            self.why_not = why_not
            if not self._ending.is_set():  # at the end the command prints `why_not` itself
                self._report(down=True, line=f"cannot push to {self.url}: {self.why_not}; trying again")

    def _report(self, *, down: bool, line: str) -> None:
        if down != self._down:
            self._say(f"schedtel: {line}")
        self._down = down

    def close(self) -> None:
        """Push a last time and end: within seconds, even if the collector is silent; at once after :meth:`hurry`."""
        if self._ending.is_set():
            return
        self._ending.set()
        self._done.wait(_FAREWELL_S)
        if self._hurried:
            self._give_up()  # first: shutdown() breaks the push off, and its failure must not be counted instead
        self._exporter.shutdown()
        self._done.wait(_FAREWELL_S)
        self._give_up()

    def _give_up(self) -> None:
        with self._settling:
            if not self._settled:
                self._settled = True
                self.failed += 1
                heard = explain(list(self._heard.lines)) or "no answer"
                self.why_not = "there was no time to wait for its answer" if self._hurried else heard

    def hurry(self) -> None:
        """Make :meth:`close` stop waiting for the last push. Safe in a signal handler."""
        self._hurried = True
        self._done.set()


def _checked(endpoint: str, token: str | None, *, certificates: bool) -> str:
    try:
        parts = urlsplit(endpoint)
        usable = is_plain(endpoint) and parts.scheme in ("http", "https") and parts.port != 0
        usable = usable and is_host(parts.hostname or "") and "@" not in parts.netloc
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment:
        raise UsageError(f"cannot push to {endpoint!r}: it is no URL of a collector (write http://127.0.0.1:4318)")
    if token and parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise UsageError(f"cannot send the token to {endpoint}: it is not encrypted (write https://)")
    if certificates and parts.scheme == "http":
        raise UsageError(f"cannot use certificates with {endpoint}: it is not TLS (write https://)")
    return endpoint.rstrip("/") + _PATH if parts.path in ("", "/") else endpoint


class _Heard(logging.Handler):
    """Keeps the lines that the SDK logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


#: Lines of an exporter that has been shut down: they say nothing about the collector.
_OF_SHUTDOWN = r"already shutdown|Shutdown in progress|max retries or shutdown"
#: Pattern in the exporter's log → the cause, for a user.
_MEANINGS = (
    (r"Connection refused", "no program listens there"),
    (r"Failed to resolve|Name or service|name resolution", "no such host"),
    (r"[Tt]imed? ?out", "no answer"),
    (r"CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted (give its authority by --ca)"),
    (r"SSL|TLS", "one side speaks TLS and the other does not, or refuses our certificate"),
    (r"code: 40[13]", "it does not let us in (give --token-file)"),
    (r"code: (\d+, reason: .+)", r"it answered \1"),
)


def explain(lines: list[str]) -> str:
    """Why a push failed, in words for a user, from the lines that the exporter logged meanwhile.

    Empty if they do not say: an exporter that has been told to shut down logs only that.
    """
    text = " ".join(line for line in lines if not re.search(_OF_SHUTDOWN, line))
    for pattern, meaning in _MEANINGS:
        found = re.search(pattern, text)
        if found:
            return printable(found.expand(meaning))
    return printable(text)
