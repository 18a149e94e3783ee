"""Names of metrics: those of the specifications, and one for each metric."""

import re

from schedtel.export import definitions


def test_names_follow_the_conventions():
    """Names have base units, `_total` only for counters, and no unit of schedtel's columns; each names one metric."""
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
