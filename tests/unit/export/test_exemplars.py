"""Exemplars of waits, as a reader of OpenMetrics finds them."""

import pytest
from exporting import totals_of
from samples import on_host, renamed, replaced
from texts import TEXTS_OF_TABLES

from schedtel.export.hosts import Totals
from schedtel.export.prometheus import exposition, registry_of
from schedtel.windows.gaps import wall_start

pytest.importorskip("prometheus_client", reason="needs prometheus-client (pip install)")
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families


def buckets_of(totals, name="schedtel_wait_seconds"):
    """(upper bound, samples in this bucket alone, exemplar or None) of each bucket of a histogram."""
    text = generate_latest(registry_of(totals)).decode()
    [family] = [f for f in text_string_to_metric_families(text) if f.name == name]
    found = [s for s in family.samples if s.name.endswith("_bucket")]
    below = [0, *(sample.value for sample in found)]
    return [(float(s.labels["le"]), s.value - before, s.exemplar) for s, before in zip(found, below, strict=False)]


def ended(window):
    return [row for row in window.waits.to_pylist() if not row["goes_on"]]


def test_each_exemplar_is_a_wait_that_its_bucket_has_counted(windows):
    lower, told = 0.0, {}
    for upper, counted, exemplar in buckets_of(totals_of(windows)):
        if exemplar:
            assert counted, "the bucket is empty"
            assert lower <= exemplar.value <= upper
            told[exemplar.value, int(exemplar.labels["tid"])] = exemplar
        lower = upper
    waits = {(row["wait_ns"] / 1e9, row["tid"]): (w, row) for w in windows for row in ended(w)}
    assert told
    assert set(told) <= set(waits)
    for key, exemplar in told.items():
        window, row = waits[key]
        behind = {} if row["behind_comm"] is None else {"behind": row["behind_comm"]}
        assert exemplar.labels == {"tid": str(row["tid"]), "comm": row["comm"], "cpu": str(row["cpu"])} | behind
        offset_s = (row["wait_start_ns"] + row["wait_ns"] - window.start_ns) / 1e9
        assert float(exemplar.timestamp) == pytest.approx(wall_start(window).timestamp() + offset_s, abs=1e-5)


def test_a_bucket_tells_the_longest_of_the_last_window_that_had_one(windows):
    window = next(w for w in windows if len(ended(w)) >= 2)
    rows = window.waits.to_pylist()
    lengths = [5_000_000 - at for at in range(len(rows))]  # all in one bucket
    close = replaced(window.waits, wait_ns=lengths, goes_on=[False] * len(rows))
    totals = totals_of([type(window)(window.summary, window.tasks, window.cpus, waits=close)])
    [exemplar] = [exemplar for _, _, exemplar in buckets_of(totals) if exemplar]
    assert exemplar.value == 0.005


def test_a_wait_that_goes_on_is_no_sample_and_so_no_exemplar(windows):
    window = windows[0]
    open_ = replaced(window.waits, goes_on=[True] * window.waits.num_rows)
    totals = totals_of([type(window)(window.summary, window.tasks, window.cpus, waits=open_)])
    assert not [exemplar for _, _, exemplar in buckets_of(totals) if exemplar]


@pytest.mark.parametrize("text", TEXTS_OF_TABLES.values(), ids=TEXTS_OF_TABLES)
def test_any_name_stays_one_label_of_at_most_128_characters(windows, text):
    for _, _, exemplar in buckets_of(totals_of([renamed(windows[0], text)])):
        if exemplar:
            assert exemplar.labels.get("comm", text) == text
            assert sum(len(name) + len(value) for name, value in exemplar.labels.items()) <= 128


def test_the_text_format_has_none(windows):
    assert "tid=" not in exposition(totals_of(windows))


def test_hosts_that_are_summed_into_one_have_none(windows):
    totals = Totals(max_hosts=1)
    for name in ("a", "b"):
        totals.add(on_host(windows[0], name))
    text = generate_latest(registry_of(totals)).decode()
    assert [line for line in text.splitlines() if "tid=" in line and 'host="other"' in line] == []
    assert [line for line in text.splitlines() if "tid=" in line and 'host="a"' in line]
