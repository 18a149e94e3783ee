"""Preemptions summed over windows and bins: the sums are exact, and their number is bounded."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
from timelines import make_bin, make_timeline

from schedtel.analysis.preemption_sums import GONE, MOST_PAIRS, SMALLER, Preempted
from schedtel.analysis.timeline import timeline_of
from schedtel.report import RunSummary, document_of
from schedtel.windows import tables


def test_a_bin_has_what_its_windows_have(windows):
    expected = Counter()
    for window in windows:
        for row in window.preemptions.to_pylist():
            expected[row["victim"], row["preemptor"], "count"] += row["count"]
            expected[row["victim"], row["preemptor"], "wait_ns"] += row["wait_ns"]
    assert expected.total() > 0
    found = timeline_of(windows, most_bins=1).total().preempted
    told = {}
    for (victim, preemptor), (count, wait, _) in found.pairs.items():
        told |= {(victim, preemptor, "count"): count, (victim, preemptor, "wait_ns"): wait}
    assert told == expected
    assert found.throttled == {"/batch.slice": 3 * 20_000_000}


def test_a_cgroup_that_has_gone_has_a_name_all_the_same(windows):
    pairs = windows[1].preemptions
    nobody = pa.nulls(pairs.num_rows, pairs.schema.field("victim").type)
    window = replace(windows[1], preemptions=pairs.set_column(1, pairs.schema.field("victim"), nobody))
    assert {victim for victim, _ in Preempted.of(window).pairs} == {GONE}


def test_beyond_the_bound_the_smallest_are_summed_and_the_totals_stay():
    many = Preempted()
    for i in range(3 * MOST_PAIRS):
        later = Preempted({(f"v{i}", "p"): (1, i + 1, i + 1)}, {f"/c{i}": i + 1})
        many.absorb(later)
    whole = 3 * MOST_PAIRS * (3 * MOST_PAIRS + 1) // 2
    assert len(many.pairs) == len(many.throttled) == MOST_PAIRS + 1
    assert sum(count for count, _, _ in many.pairs.values()) == 3 * MOST_PAIRS
    assert sum(wait for _, wait, _ in many.pairs.values()) == sum(many.throttled.values()) == whole
    assert many.pairs[f"v{3 * MOST_PAIRS - 1}", "p"] == (1, 3 * MOST_PAIRS, 3 * MOST_PAIRS)
    assert many.pairs[SMALLER, SMALLER][2] == 2 * MOST_PAIRS


def test_the_page_names_the_largest_and_sums_up_the_others():
    """Each of two bins has fifteen victims of one preemptor, victim n with n + 1 us; ten of them have a row."""
    pairs = {(f"/v{n}", "/p"): (1, 1_000 * (n + 1), 1_000) for n in range(15)}
    bins = [make_bin(i, {}, {}, preempted=Preempted(dict(pairs), {"/p": 7})) for i in range(2)]
    document = document_of([RunSummary("a", make_timeline(bins))])
    found = document["recordings"][0]["preemptions"]
    assert found["victims"] == [*(f"/v{n}" for n in range(14, 4, -1)), SMALLER]
    assert found["preemptors"] == ["/p"]
    cells = {(v, p): np.array(told).reshape(-1, 4) for v, p, told in found["cells"]}
    assert cells[0, 0].tolist() == [[0, 1, 15_000, 1_000], [1, 1, 15_000, 1_000]]
    assert cells[10, 0].tolist() == [[0, 5, 15_000, 1_000], [1, 5, 15_000, 1_000]]
    assert sum(int(told[:, 2].sum()) for told in cells.values()) == 2 * 120_000
    assert found["throttled"] == [["/p", [0, 7, 1, 7]]]


def test_a_window_in_which_nothing_was_told_adds_nothing(windows):
    silent = replace(windows[0], preemptions=tables.empty("preemptions"), throttled=tables.empty("throttled"))
    assert Preempted.of(silent) == Preempted()
