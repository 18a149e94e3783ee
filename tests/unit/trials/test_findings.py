"""What a trial shows, on runs that were made up: scores are worked out on paper."""

import math
import re

import pytest

from schedtel.experiments.design import Cell
from schedtel.experiments.store import Run
from schedtel.trials.findings import findings_of, not_worse
from schedtel.trials.page import render
from schedtel.trials.text import text_of

METHODS = ("eevdf", "policy:batch", "policy:idle", "placebo", "agent:learner")
#: What a method's TAT, RT and CV are of EEVDF's: method → round → (web, equal).
FACTORS = {
    "eevdf": {1: (1.0, 1.0), 2: (1.0, 1.0)},
    "policy:batch": {1: (0.5, 1.25), 2: (0.5, 1.25)},
    "policy:idle": {1: (2.0, 2.0), 2: (2.0, 2.0)},
    "placebo": {1: (1.0, 1.0), 2: (1.0, 1.0)},
    "agent:learner": {1: (1.0, 1.0), 2: (0.25, 1.0)},
}
#: From repeat to repeat, for the methods in their order: their mean in logarithms is 0.
CHANCE = (1.02, 1 / 1.02, 1.01, 1 / 1.01, 1.03, 1 / 1.03)


def made_up(**provenance):
    runs = []
    for number, method in enumerate(METHODS):
        for repeat in range(1, 7):
            chance = 1.0 if method == "eevdf" else CHANCE[(repeat - 1 + number) % 6]
            for at in (1, 2):
                for workload, factor in zip(("web", "equal"), FACTORS[method][at], strict=True):
                    drift = repeat * (10.0 if workload == "web" else 1.0)
                    tat, rt, cv = (value * factor * chance * drift for value in (1e6, 1e5, 0.1))
                    figures = {"tat_mean_ns": tat, "rt_mean_ns": rt, "share_cv": cv}
                    cell = Cell(f"{at}/{workload}", method, repeat, 1)
                    runs.append(Run(cell, figures, {"foreign_cpu_share": 0.0, **provenance}))
    return runs


def test_a_score_is_the_geometric_mean_over_workloads_of_a_third_of_the_cost():
    found = findings_of("x", made_up(), METHODS)
    assert (found.rounds, found.repeats, found.workloads) == ((1, 2), 6, ("equal", "web"))
    batch = math.sqrt(0.5 * 1.25)
    assert found.by_round["policy:batch", 1].ratio == pytest.approx(batch)
    assert found.by_round["agent:learner", 1].ratio == pytest.approx(1)
    assert found.by_round["agent:learner", 2].ratio == pytest.approx(0.5)
    assert found.by_round["agent:learner", 2].shown
    assert not found.by_round["agent:learner", 1].shown
    assert found.best == "policy:batch"
    assert found.against["agent:learner", "policy:batch"].ratio == pytest.approx(0.5 / batch)
    assert found.against["agent:learner", "policy:batch"].shown
    assert ("agent:learner", "eevdf") not in found.against


def test_a_workload_that_became_worse_is_counted():
    found = findings_of("x", made_up(), METHODS)
    ratios = {(w.method, w.workload): w.difference.ratio for w in found.by_workload}
    assert ratios["policy:batch", "equal"] == pytest.approx(1.25)
    assert ratios["agent:learner", "web"] == pytest.approx(0.25)
    assert not_worse(found, "agent:learner") == (2, 2, 2)
    assert not_worse(found, "policy:batch") == (1, 1, 2)
    assert not_worse(found, "policy:idle") == (0, 0, 2)


def test_a_repeat_of_which_a_phase_is_missing_does_not_count_for_any_method():
    runs = [run for run in made_up() if run.cell != Cell("2/web", "policy:idle", 6, 1)]
    found = findings_of("x", runs, METHODS)
    assert found.repeats == 5
    assert "1 repeats are left out" in found.notes[0]
    assert found.by_round["policy:batch", 1].pairs == 5


def test_notes_tell_what_disturbed_and_that_no_placebo_was_run():
    runs = [run for run in made_up(foreign_cpu_share=0.2, late="late: …") if run.cell.scheduler != "placebo"]
    notes = "\n".join(findings_of("x", runs, METHODS).notes)
    assert "no placebo was run" in notes
    assert f"in {len(runs)} of {len(runs)} phases the generator could not keep its plan" in notes
    assert "others took more than 5%" in notes


def test_the_report_says_all_of_it_in_text_and_on_a_page():
    found = findings_of("<b>x</b>", made_up(), METHODS)
    said, page = text_of(found), render(found)
    assert re.search(r"agent:learner +/ +policy:batch +0\.632", said)
    assert "(the best arm that never changes)" in said
    assert "agent:learner: 2 of 2 workloads are not shown to be worse than under EEVDF" in said
    assert "<b>x</b>" not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert page.count('<td class="heat"') == 4 * 2 + 3 + 2 * 4


def test_runs_that_are_no_phases_are_refused():
    with pytest.raises(ValueError, match="no phase"):
        findings_of("x", [Run(Cell("web", "eevdf", 1, 1), {}, {})], METHODS)
    with pytest.raises(ValueError, match="no run"):
        findings_of("x", [], METHODS)
