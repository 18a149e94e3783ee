"""The vector of a window: every feature against the column that its source names, and what is missing."""

import dataclasses

import numpy as np
import pytest
from samples import MS, changed, replaced

import schedtel
from schedtel.host import counters
from schedtel.records.perf_events import EVENTS
from schedtel.windows import features, tables
from schedtel.windows.features import FEATURES, STUDY, VIEWS, features_in
from schedtel.windows.schema import TABLES

NAMES = [feature.name for feature in FEATURES]
#: Features that are the value of one column, by the table.
OF_COLUMNS = {table: [f.name for f in FEATURES if f.source == f"{table}.{f.name}"] for table in ("summary", "machine")}
#: Features that are made from other columns than those of their name.
DERIVED = {"running_avg": "runnable_avg", "runqueue_length_avg": "runnable_avg"}


def differing(one, other):
    """The names of the features that differ in value or in being missing."""
    return {name for name in one.names if one[name] != other[name]}


def test_every_feature_has_a_name_of_its_own_a_unit_a_meaning_a_part_and_a_type():
    assert len(set(NAMES)) == len(NAMES)
    for feature in FEATURES:
        assert feature.name.isidentifier()
        assert feature.unit
        assert feature.meaning
        assert feature.part in ("kernel", "psutil")
        assert feature.type == "float64"


def test_every_source_names_columns_that_exist():
    columns = {f"{table}.{column.name}" for table, columns in TABLES.items() for column in columns}
    for feature in FEATURES:
        named = {word for word in feature.source.replace("(", " ").replace(")", " ").split() if "." in word}
        assert named
        assert named <= columns


def test_what_the_issue_of_features_asks_for_is_there():
    """Each distribution by mean and percentiles, and each quantity of psutil as average, total delta and change."""
    for prefix in ("tat", "rt", "burst_tat", "burst_rt", "wakeup_wait", "preempt_wait"):
        assert {f"{prefix}_{s}_ns" for s in ("mean", "p50", "p95", "p99")} <= set(NAMES)
    quantities = {name.removesuffix("_percent_change") for name in NAMES if name.endswith("_percent_change")}
    memory = {f"memory_{part}" for part in ("used", "available", "cached", "buffers")}
    assert quantities == memory | {
        *("cpu", "iowait", "irq", "softirq", "swap_used", "swap_in", "swap_out", "io_read", "io_written")
    }
    for quantity in quantities:
        assert [name for name in NAMES if name.startswith(quantity) and "_avg" in name]
        assert [name for name in NAMES if name.startswith(f"{quantity}_total_delta_")]


def test_the_order_of_the_first_version_stays():
    """A model is trained on places: a feature that is added comes last."""
    assert NAMES[:3] == ["window_ns", "tat_count", "tat_mean_ns"]
    assert NAMES[91] == "io_written_percent_change"


def test_the_second_version_added_two_features_for_each_perf_event():
    assert features.FEATURES_VERSION == 2
    words = [event.word for event in EVENTS]
    assert NAMES[92:] == [f"counter_{word}_{part}" for word in words for part in ("total", "per_cpu_s")]
    assert len(NAMES) == 92 + 2 * 15


@pytest.mark.parametrize("view", VIEWS)
def test_a_vector_is_numbers_without_nan_and_a_mask(windows, view):
    for window in windows:
        vector = window.features(view)
        assert vector.values.dtype == np.float64
        assert vector.mask.dtype == bool
        assert vector.values.shape == vector.mask.shape == (len(vector),) == (len(vector.names),)
        assert np.isfinite(vector.values).all()
        assert (vector.values[vector.mask] == 0).all()
        assert vector.names == tuple(feature.name for feature in features_in(view))


@pytest.mark.parametrize("table", ["summary", "machine"])
def test_a_feature_is_its_column_and_no_other(windows, table):
    window = windows[1]
    before = window.features()
    for number, name in enumerate(OF_COLUMNS[table], 1):
        other = (window.summary["window_ns"][0].as_py() if name == "window_ns" else 1000) + number
        batch = replaced(getattr(window, table), **{name: [other]})
        after = dataclasses.replace(window, **{table: batch}).features()
        assert after[name] == other
        assert differing(before, after) == {name} | ({DERIVED[name]} if name in DERIVED else set())


@pytest.mark.parametrize("table", ["summary", "machine"])
def test_a_column_that_is_null_is_a_feature_that_is_missing(windows, table):
    nullable = [name for name in OF_COLUMNS[table] if name not in ("window_ns", *DERIVED)]
    for name in nullable:
        batch = replaced(getattr(windows[1], table), **{name: [None]})
        vector = dataclasses.replace(windows[1], **{table: batch}).features()
        assert vector[name] is None
        assert vector.mask[vector.names.index(name)]


def test_features_of_several_columns_are_their_arithmetic(windows):
    """In the first window, task 3 lives; all five tasks are forked in it, and CPU 1 is idle for its first 2 ms."""
    window = windows[0]
    vector = window.features()
    assert vector["forks"] == 5
    assert windows[1].features()["forks"] == 0
    assert vector["runnable_avg"] == vector["running_avg"] + vector["runqueue_length_avg"]
    idle_ns = [int(tables.column(window.cpus, "idle_ns").sum()), int(window.summary["idle_ns"][0].as_py())]
    assert idle_ns == [idle_ns[1]] * 2
    assert vector["idle_share"] == idle_ns[0] / (2 * 100 * MS)


def test_time_in_which_a_cpu_was_offline_is_not_idle(windows):
    cpus = replaced(windows[0].cpus, idle_ns=[30 * MS, 0], busy_ns=[70 * MS, 20 * MS], offline_ns=[0, 80 * MS])
    assert dataclasses.replace(windows[0], cpus=cpus).features()["idle_share"] == 30 / 120


def test_without_cpus_there_is_no_idle_share(windows):
    empty = dataclasses.replace(windows[0], cpus=tables.empty("cpus"))
    assert empty.features()["idle_share"] is None


def test_without_readings_of_the_machine_the_kernel_part_is_whole(windows):
    bare = dataclasses.replace(windows[1], machine=tables.empty("machine"))
    vector, whole = bare.features(), windows[1].features()
    kernel = [feature.name for feature in FEATURES if feature.part == "kernel"]
    assert [vector[name] for name in kernel] == [whole[name] for name in kernel]
    assert {name for name in NAMES if vector[name] is None} >= set(NAMES) - set(kernel)


def test_the_change_of_the_first_window_is_missing(windows):
    assert windows[0].features()["memory_used_percent_change"] is None
    assert windows[1].features()["memory_used_percent_change"] == -0.5


def test_the_study_s_names_are_those_of_its_tables_and_each_is_a_feature(windows):
    vector, study = windows[1].features(), windows[1].features("study")
    assert study.names == tuple(STUDY)
    assert len(study) == 19
    for name, feature in STUDY.items():
        assert study[name] == vector[feature]


def test_the_study_s_two_kinds_of_switches_are_two_numbers(windows):
    window = changed(windows[1], voluntary_switches=7, involuntary_switches=3)
    study = window.features("study")
    assert (study["T_vcsw_total_delta"], study["T_nvcsw_total_delta"]) == (7, 3)


def test_steal_moves_with_the_eighth_figure_of_proc_stat(windows, tmp_path, monkeypatch):
    """A hypervisor that takes the CPU away cannot be had here: the kernel's file is written by hand."""
    stat = tmp_path / "stat"

    def opened(path, **how):
        return open(stat if path == "/proc/stat" else path, **how)

    monkeypatch.setattr(counters, "open", opened, raising=False)
    stat.write_text("cpu  10 0 10 900 0 0 0 40 5 0\n")
    host = counters.HostCounters(is_eevdf=True)
    stat.write_text("cpu  10 0 10 900 0 0 0 65 9 0\n")
    counted = host.since_last(edge_ns=0)["steal_ns"]
    window = changed(windows[1], steal_ns=counted)
    assert window.features()["steal_ns"] == 25 * 10_000_000


def test_a_name_that_is_none_and_a_view_that_is_none_are_refused(windows):
    with pytest.raises(schedtel.UsageError, match="cannot find feature 'nice'"):
        windows[0].features()["nice"]
    with pytest.raises(schedtel.UsageError, match="there are all, study"):
        windows[0].features("some")
