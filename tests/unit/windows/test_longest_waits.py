"""The table ``waits`` of windows: what law 10 finds, and what readers of other times and places find."""

import json
from dataclasses import replace

import jsonschema
import pytest
import samples
from edges import EDGE, FIRST_EDGE, collect
from machine import HostBackend
from model import Arrive, Fork, Switch
from samples import replaced

from schedtel import Recorder, read
from schedtel.windows import schema, tables
from schedtel.windows.invariants import check
from schedtel.windows.validation import flaw_of


@pytest.fixture(scope="module")
def starving(library):
    """A window from 1000 to 2000 ns: task 0 runs from 1200 on and loses its CPU for 50 ns, 1 waits from 1400 on."""
    backend = HostBackend(library, 1, FIRST_EDGE)
    backend.open_first_at(FIRST_EDGE + 1, EDGE)
    backend.play(Fork(1_150, 0), Arrive(1_150, 0), Switch(1_200, 0, None, 0), Fork(1_400, 1), Arrive(1_400, 1))
    backend.play(Switch(1_500, 0, 0, None, preempt=True), Switch(1_550, 0, None, 0))
    return samples.build(collect(backend), 1)


def told(window):
    return [(row["tid"], row["wait_ns"], row["goes_on"]) for row in window.waits.to_pylist()]


def law_10(window):
    [finding] = [finding for finding in check(window) if finding.law.startswith("10")]
    return finding


def test_the_longest_comes_first_whether_it_has_ended_or_not(starving):
    assert told(starving) == [(101, 600, True), (100, 50, False), (100, 50, False)]
    assert law_10(starving).holds


@pytest.mark.parametrize(
    "columns",
    [
        {"wait_ns": [50, 600, 50]},  # not in order
        {"wait_ns": [601, 50, 50]},  # would go on past the edge by its start, and be older than in the row
        {"wait_ns": [600, 50, 0]},
        {"wait_start_ns": [1_400, 2_000, 1_500]},  # ended after the window
        {"wait_start_ns": [1_399, 1_150, 1_500]},
        {"goes_on": [False, False, False]},  # the longest sample is 50 ns, and the longest open wait is missing
        {"goes_on": [True, True, True]},
    ],
)
def test_a_table_that_cannot_be_is_found(starving, columns):
    assert not law_10(replace(starving, waits=replaced(starving.waits, **columns))).holds


@pytest.mark.parametrize("rows", [[1, 2], [0]])
def test_a_wait_that_is_missing_is_found(starving, rows):
    assert not law_10(replace(starving, waits=starving.waits.take(rows))).holds


def test_too_many_are_found(starving):
    assert not law_10(replace(starving, waits=starving.waits.take([0] + [1] * 8))).holds


def test_a_window_without_the_table_is_not_judged(starving):
    assert law_10(replace(starving, waits=tables.empty("waits"))).holds


def test_where_something_was_lost_a_wait_may_be_missing(starving):
    lost = samples.changed(starving, programs_skipped=1)
    assert law_10(replace(lost, waits=starving.waits.take([0]))).holds


def test_ndjson_and_a_recording_have_the_table(starving, tmp_path):
    line = json.loads(starving.to_ndjson())
    jsonschema.validate(line, schema.ndjson_schema())
    assert line["waits"] == starving.waits.to_pylist()
    Recorder(tmp_path / "r", window="1s").write(starving)
    [window] = read(tmp_path / "r")
    assert window.waits.to_pylist() == starving.waits.to_pylist()
    for path in (tmp_path / "r" / "waits").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_recording_of_an_earlier_schedtel_has_no_such_table_and_is_read_as_before(starving, tmp_path):
    quiet = replace(starving, waits=tables.empty("waits"))
    Recorder(tmp_path / "r", window="1s").write(quiet)
    assert not (tmp_path / "r" / "waits").exists()
    [window] = read(tmp_path / "r")
    assert window.waits.num_rows == 0
    assert window.tasks.to_pylist() == starving.tasks.to_pylist()
    assert [finding for finding in check(window) if not finding.holds] == []


@pytest.mark.parametrize("name", ["tid", "comm", "kind", "wait_ns", "goes_on"])
def test_what_no_schedtel_leaves_open_is_refused_from_a_peer(starving, name):
    waits = replaced(starving.waits, **{name: [None] * 3})
    assert flaw_of(replace(starving, waits=waits)) == f"waits.{name} is null"
