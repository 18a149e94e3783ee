"""Totals in; the answer to a scrape out, by a collector of the official client library in a registry of its own.

The histogram of waits has exemplars, which a scraper gets that asks for OpenMetrics.

Histograms are classic ones, since the client writes no native ones. Native histograms would not fit: their bounds are
powers of 2^(2^-n) of a second, and schedtel's are powers of two of a nanosecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from schedtel.export import buckets
from schedtel.export.buckets import Histogram
from schedtel.export.definitions import COUNTER, HISTOGRAM, UNIT_WORDS, Metric
from schedtel.export.hosts import Totals
from schedtel.export.totals import Series

_Bucket = tuple[str, float] | tuple[str, float, Exemplar]
_Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily


class _TotalsCollector(Collector):
    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[_Family]:
        for metric, series in self._totals.families():
            yield _family(metric, series)


def _family(metric: Metric, series: list[Series]) -> _Family:
    name, unit = metric.prometheus_name, UNIT_WORDS.get(metric.unit, "")
    if metric.kind == HISTOGRAM:
        histograms = HistogramMetricFamily(name, metric.help, labels=metric.labels, unit=unit)
        for one in series:
            assert isinstance(one.value, Histogram)
            histograms.add_metric(one.labels, _cumulative(one.value), one.value.sum_s)
        return histograms
    kind = CounterMetricFamily if metric.kind == COUNTER else GaugeMetricFamily
    numbers = kind(name, metric.help, labels=metric.labels, unit=unit)
    for one in series:
        assert not isinstance(one.value, Histogram)
        numbers.add_metric(one.labels, one.value)
    return numbers


def _cumulative(histogram: Histogram) -> list[_Bucket]:
    """Upper bound and number of samples up to it, for each bucket, with its exemplar if it has one."""
    bounds = [*map(floatToGoString, histogram.bounds_s), "+Inf"]
    counts = histogram.counts.cumsum().tolist()
    return [_bucket(bounds[at], counts[at], histogram.exemplars.get(at)) for at in range(len(bounds))]


def _bucket(bound: str, count: float, sample: buckets.Exemplar | None) -> _Bucket:
    """A bucket as the client library takes it. Only the format of OpenMetrics shows exemplars."""
    if sample is None:
        return bound, count
    return bound, count, Exemplar(dict(sample.labels), sample.value_s, sample.unix_s)


def registry_of(totals: Totals) -> CollectorRegistry:
    """A registry of these totals only, without the client library's own metrics of the process."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_TotalsCollector(totals))
    return registry


def application(totals: Totals) -> Callable[..., list[bytes]]:
    """A WSGI application that answers a scrape in the format that its ``Accept`` header asks for."""
    return make_wsgi_app(registry_of(totals))


def exposition(totals: Totals) -> str:
    """The answer to a scrape, in the text format."""
    return generate_latest(registry_of(totals)).decode()
