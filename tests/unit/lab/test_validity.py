"""The index of validity, on runs that were made up, and its arithmetic by hand."""

import json
from dataclasses import replace

import pytest
from click.testing import CliRunner

from schedtel.cli.commands.lab import command
from schedtel.errors import RecordingError, UsageError
from schedtel.experiments.design import cells
from schedtel.experiments.spec import read_spec, spec_of
from schedtel.experiments.store import Run, Store
from schedtel.lab import validity
from schedtel.lab.validity import rank_correlation, validity_of
from schedtel.lab.validity_report import json_of, text_of

ARMS = ("eevdf", "policy:batch", "policy:idle", "policy:rr=10")
SPEC = spec_of({"title": "made up", "workloads": ["a"], "schedulers": list(ARMS), "repeats": 2, "duration": "1s"}, "it")
#: Turnaround time of each arm, as a multiple of the baseline's.
LIVE = dict(zip(ARMS, (1.0, 0.5, 2.0, 4.0), strict=True))
LAB = dict(zip(ARMS, (1.0, 0.8, 3.0, 2.0), strict=True))


def keep(root, side, ratios, spec=SPEC, *, last=None, **said):
    """Runs of one side; every figure has the same ratio to the baseline's, but for others in the last repeat."""
    store = Store(root / side, spec)
    for cell in cells(spec):
        its = last if last and cell.repeat == spec.repeats else ratios
        drift = cell.repeat * its[cell.scheduler]
        figures = {"tat_mean_ns": 1e6 * drift, "rt_mean_ns": 1e4 * drift, "share_cv": 0.1 * drift}
        store.begin(cell)
        store.finish(Run(cell, figures, {"kernel": "6.18.9", "cpus": 2, **said}))


def test_equal_values_share_the_mean_of_their_ranks():
    # Ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4: deviations -1.5, 0, 0, 1.5 and -1.5, 0.5, -0.5, 1.5.
    # Their products add up to 4.5; the squares to 4.5 and 5.
    assert rank_correlation([10, 20, 20, 30], [1, 7, 5, 100]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)


def test_the_order_alone_counts():
    assert rank_correlation([1, 2, 3], [1, 10, 1e9]) == pytest.approx(1)
    assert rank_correlation([1, 2, 3], [3, 2, -1]) == pytest.approx(-1)
    # d = 0, 1, 1: 1 - 6 (0 + 1 + 1) / (3 (9 - 1)) = 0.5
    assert rank_correlation([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5)


@pytest.mark.parametrize(("a", "b"), [([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [5, 5, 5])])
def test_without_an_order_there_is_no_correlation(a, b):
    assert rank_correlation(a, b) is None


def test_the_ratios_of_both_sides_are_compared(tmp_path):
    keep(tmp_path, "live", LIVE, foreign_cpu_share=0.5)
    keep(tmp_path, "lab", LAB)
    found = validity_of(tmp_path)
    tat = next(each for each in found.agreements if each.figure == "TAT")
    assert [(pair.scheduler, pair.live, pair.lab) for pair in tat.pairs] == [
        ("policy:batch", pytest.approx(0.5), pytest.approx(0.8)),
        ("policy:idle", pytest.approx(2), pytest.approx(3)),
        ("policy:rr=10", pytest.approx(4), pytest.approx(2)),
    ]
    assert tat.rank_correlation == pytest.approx(0.5)
    assert tat.same_sign == 3
    assert tat.median_error == pytest.approx(0.6)  # of 1.6, 1.5 and 2
    # The even repeat has the ratios of the odd one.
    assert (tat.live_halves, tat.lab_halves) == (pytest.approx(1), pytest.approx(1))
    assert (found.repeats, found.baseline) == (2, "eevdf")
    assert "others took more than 5%" in found.notes[0]


def test_what_other_repeats_would_change_is_told(tmp_path):
    thrice = replace(SPEC, repeats=3)
    keep(tmp_path, "live", LIVE, thrice)
    keep(tmp_path, "lab", LAB, thrice, last=LAB | {"policy:idle": 2.0, "policy:rr=10": 30.0})
    tat = next(each for each in validity_of(tmp_path).agreements if each.figure == "TAT")
    # With the last repeat and one more, the lab has the live order: sqrt(3 x 2) < sqrt(2 x 30). So the correlations
    # without one repeat are 1, 1 and 0.5, their mean 5/6, and sqrt(2/3 (1/36 + 1/36 + 1/9)) = 1/3.
    assert tat.standard_error == pytest.approx(1 / 3)
    assert "± 0.33" in text_of(validity_of(tmp_path))


def test_two_repeats_do_not_tell_what_others_would_change(tmp_path):
    keep(tmp_path, "live", LIVE)
    keep(tmp_path, "lab", LAB)
    assert [each.standard_error for each in validity_of(tmp_path).agreements] == [None, None, None]


def test_a_pair_around_1_is_told(tmp_path):
    keep(tmp_path, "live", LIVE)
    keep(tmp_path, "lab", LAB | {"policy:batch": 1.25})
    text = text_of(validity_of(tmp_path))
    assert "1.25 !" in text
    assert "rank correlation of L, TAT, RT is below 0.9" in text
    said = json.loads(json_of(validity_of(tmp_path)))
    assert [pair["same_sign"] for pair in said["agreements"][0]["pairs"]] == [False, True, True]


def test_only_runs_that_both_sides_have_are_compared(tmp_path):
    keep(tmp_path, "live", LIVE)
    keep(tmp_path, "lab", LAB, replace(SPEC, repeats=1))
    assert validity_of(tmp_path).repeats == 1


def test_another_kernel_or_number_of_cpus_is_told(tmp_path):
    keep(tmp_path, "live", LIVE)
    keep(tmp_path, "lab", LAB, kernel="7.2.1", cpus=1)
    notes = " ".join(validity_of(tmp_path).notes)
    assert "the kernels are not of one version" in notes
    assert "the numbers of CPUs are not the same" in notes


def test_sides_that_cannot_be_compared_are_refused(tmp_path):
    keep(tmp_path, "live", LIVE)
    with pytest.raises(RecordingError, match="no experiment in it"):
        validity_of(tmp_path)
    other = spec_of({"workloads": ["a"], "schedulers": ["eevdf", "policy:batch"]}, "it")
    keep(tmp_path, "lab", LAB, other)
    with pytest.raises(UsageError, match="different experiments"):
        validity_of(tmp_path)


def test_the_grid_that_comes_with_schedtel_has_a_probe_beside_hogs():
    grid = read_spec(validity.GRID)
    assert "hogs-probe" in grid.workloads
    assert (len(grid.workloads), len(grid.schedulers)) == (6, 6)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "where do the runs belong"),
        (["--report", "runs", "-o", "runs"], "nothing runs"),
        (["--report", "runs", "--cpus", "2"], "nothing runs"),
        (["--report", "runs"], "no experiment in it"),
    ],
)
def test_what_asks_for_no_runs_and_no_report_or_for_both_is_refused(words, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(command, ["validate", *words])
    assert said in str(result.exception)
    assert list(tmp_path.iterdir()) == []
