"""A real Prometheus scrapes schedtel: its percentiles, its linter, and the expressions of the dashboard."""

import json
import re
import subprocess

import numpy as np
import pytest
from exporting import ROOT, binary, get, in_cgroups, preempted, prometheus, samples, with_waits
from samples import replaced
from serving import TOKEN
from waiting import eventually

from schedtel.export import definitions
from schedtel.export.buckets import CGROUP_STEP, HOST_STEP, exported
from schedtel.export.hosts import Totals
from schedtel.export.http import Endpoint
from schedtel.records.histogram import percentile_ns
from schedtel.windows import schema, tables
from schedtel.windows.window import Window

pytest.importorskip("prometheus_client", reason="needs prometheus-client (pip install)")
DASHBOARD = json.loads((ROOT / "dashboards" / "schedtel.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUANTILES = (0.5, 0.95, 0.99)
PATHS = ["/web", "/batch", "/db"]


@pytest.fixture(scope="module")
def window(windows):
    """A window with waits and bursts of all lengths, in cgroups, on a kernel that counts the time of BPF programs."""
    found = with_waits(in_cgroups(windows[0], PATHS), np.random.default_rng(3))
    window = Window(replaced(found.summary, bpf_ns=[70_000]), found.tasks, found.cpus)
    return preempted(window, ("/web", "/batch", 3, 12_000_000), ("/batch", "(idle)", 1, 2_000_000))


@pytest.fixture(scope="module")
def scraping(window, tmp_path_factory):
    """A Prometheus that has scraped the window, added again and again; and how often it was added."""
    from schedtel.export.prometheus import application  # noqa: PLC0415

    totals, came = Totals(), 0
    folder = tmp_path_factory.mktemp("prometheus")
    with Endpoint(application(totals), "127.0.0.1:0", token=TOKEN) as endpoint:
        target = endpoint.url.split("/")[2]
        with prometheus(folder, target, authorization=f", authorization: {{credentials: {TOKEN}}}") as server:
            for _ in range(6):  # Prometheus must scrape each one, so that there is a rate
                totals.add(window)
                came += 1
                wanted = came
                eventually(lambda wanted=wanted: server.value("schedtel_windows_total") == wanted)
            yield server, came


def bucket_around(ns, step):
    """Lower and upper bound, in seconds, of the exported bucket that holds a percentile of schedtel."""
    bounds = np.array([0, *exported(np.zeros(448, np.int64), 0, step).bounds_s])
    upper = int(
        np.searchsorted(bounds, ns / 1e9, side="left")
    )  # a percentile of schedtel is the upper edge of a bucket
    return bounds[upper - 1], bounds[upper]


@pytest.mark.parametrize("quantile", QUANTILES)
@pytest.mark.parametrize("expression", ["schedtel_wait_seconds_bucket", "rate(schedtel_wait_seconds_bucket[5m])"])
def test_a_percentile_in_promql_is_schedtels_own_to_the_width_of_a_bucket(scraping, window, expression, quantile):
    server, _ = scraping
    counts = tables.histograms(window.cpus, "wait_histogram").sum(axis=0, dtype=np.int64)
    low, high = bucket_around(percentile_ns(counts, quantile), HOST_STEP)
    assert high <= low * 1.25
    assert low <= server.value(f"histogram_quantile({quantile}, {expression})") <= high


@pytest.mark.parametrize("quantile", QUANTILES)
@pytest.mark.parametrize("name", ["wait", "burst_tat"])
def test_so_is_that_of_a_cgroup(scraping, window, name, quantile):
    server, _ = scraping
    found = server.query(
        f"histogram_quantile({quantile}, sum by (le, cgroup) (rate(schedtel_cgroup_{name}_seconds_bucket[5m])))"
    )
    groups = window.groups("cgroup")
    for path, counts in zip(groups["cgroup"].to_pylist(), tables.histograms(groups, f"{name}_histogram"), strict=True):
        low, high = bucket_around(percentile_ns(counts, quantile), CGROUP_STEP)
        assert low <= found[("cgroup", path or "other"),] <= high
        assert low == 0 or high <= low * 1.5


def test_percentiles_of_merged_cgroups_are_those_of_the_host(scraping, window):
    """In PromQL too, histograms are added and percentiles are not averaged."""
    server, _ = scraping
    merged = tables.histograms(window.tasks, "wait_histogram").sum(axis=0, dtype=np.int64)
    low, high = bucket_around(percentile_ns(merged, 0.99), CGROUP_STEP)
    value = server.value("histogram_quantile(0.99, sum by (le) (schedtel_cgroup_wait_seconds_bucket))")
    assert low <= value <= high


def test_prometheus_has_every_metric_with_its_kind_unit_and_help(scraping):
    server, came = scraping
    metadata = json.loads(get(f"{server.url}/api/v1/metadata")[1])["data"]
    for metric in definitions.METRICS:
        name = metric.prometheus_name
        (found,) = metadata.get(name) or metadata[name.removesuffix("_total")]  # OpenMetrics names a counter without it
        assert (found["type"], found["help"]) == (metric.kind, metric.help)
        assert found["unit"] == definitions.UNIT_WORDS.get(metric.unit, "")
    assert server.value("schedtel_observed_seconds_total") == pytest.approx(0.1 * came)


def test_no_label_names_a_task(scraping):
    server, _ = scraping
    labels = {label for series in server.query('{__name__=~"schedtel_.*"}') for label, _ in series}
    ours = {label for metric in definitions.METRICS for label in metric.labels}
    assert ours == {"cgroup", "cpu", "victim", "preemptor", "host", "kernel", "scheduler"}
    assert labels <= ours | {"__name__", "instance", "job", "le"}


def test_promtool_has_nothing_to_say(window):
    from schedtel.export.prometheus import exposition  # noqa: PLC0415

    totals = Totals()
    totals.add(window)
    command = [binary("promtool"), "check", "metrics"]
    checked = subprocess.run(command, input=exposition(totals), capture_output=True, text=True, check=False, timeout=60)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_scrapes_are_bounded_by_the_number_of_cgroups(window):
    """Each of them and `other` has 2 histograms of 54 buckets, count and sum, and 7 counters."""
    from schedtel.export.prometheus import exposition  # noqa: PLC0415

    def series(most):
        totals = Totals(most)
        for number in range(20):
            totals.add(in_cgroups(window, [f"/job-{number}-{part}" for part in range(5)]))
        return sum("cgroup" in dict(labels) for _, labels in samples(exposition(totals)))

    assert series(0) == 2 * (54 + 2) + 7
    assert series(9) == 10 * (2 * (54 + 2) + 7)


# ---- the dashboard ----


def expression(target):
    """The expression of a panel, with values in the place of Grafana's variables."""
    return re.sub(r"\$(instance|host|cgroup)\b", ".*", target["expr"].replace("$__rate_interval", "5m"))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_prometheus_answers_every_expression_of_the_dashboard(scraping, panel):
    server, _ = scraping
    for target in panel["targets"]:
        found = server.query(expression(target))
        assert found, f"{target['expr']} gives nothing"
        assert not all(np.isnan(value) for value in found.values()), f"{target['expr']} gives no number"


def test_the_dashboard_fits_any_prometheus_and_shows_what_it_should():
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert {target["datasource"]["uid"] for panel in PANELS for target in panel["targets"]} == {"${datasource}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"]
        assert panel["datasource"]["uid"] == "${datasource}"


def test_the_dashboard_uses_names_that_exist_and_all_losses():
    text = json.dumps(DASHBOARD)
    known = {metric.prometheus_name for metric in definitions.METRICS}
    used = {re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"schedtel_\w+", text)}
    assert used <= known
    losses = {metric.prometheus_name for metric in definitions.HOST_COUNTERS if metric.column in schema.LOSSES}
    assert losses <= used


def test_panels_do_not_overlap():
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        columns, rows = (range(place[at], place[at] + place[size]) for at, size in (("x", "w"), ("y", "h")))
        cells = {(column, row) for column in columns for row in rows}
        assert max(columns) < 24
        assert not cells & taken
        taken |= cells
