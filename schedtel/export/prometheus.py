"""Totals in, what a scrape gets out: a collector of the official client library, with a registry of its own.

Histograms are classic ones: the client writes no native ones. (Their buckets are powers of 2^(2^-n) of a second, of
which ours, powers of two of a nanosecond, are none.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from schedtel.export.buckets import Histogram
from schedtel.export.definitions import COUNTER, HISTOGRAM, UNIT_WORDS, Metric
from schedtel.export.hosts import Totals
from schedtel.export.totals import Series

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


def _cumulative(histogram: Histogram) -> list[tuple[str, float]]:
    """Upper bound and the samples up to it, for every bucket."""
    bounds = [*map(floatToGoString, histogram.bounds_s), "+Inf"]
    return list(zip(bounds, histogram.counts.cumsum().tolist(), strict=True))


def registry_of(totals: Totals) -> CollectorRegistry:
    """A registry that has these totals and nothing else."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_TotalsCollector(totals))
    return registry


def application(totals: Totals) -> Callable[..., list[bytes]]:
    """A WSGI application that answers scrapes, in the format that is asked for."""
    return make_wsgi_app(registry_of(totals))


def exposition(totals: Totals) -> str:
    """What a scrape gets, in the text format."""
    return generate_latest(registry_of(totals)).decode()
