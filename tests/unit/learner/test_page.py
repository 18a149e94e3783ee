"""The page of runs: its curves by arithmetic, what hostile names become, and the page in a real browser."""

import math
import os
import stat

import numpy as np
import pytest

from schedtel.errors import SchedtelError
from schedtel.report import write_page
from schedtel.training.learner import book, checkpoint
from schedtel.training.learner.checkpoint import Checkpoint, Counters
from schedtel.training.learner.page import curves, render, reward, speed, told
from schedtel.training.learner.settings import Settings

pytest.importorskip("safetensors", reason="safetensors is not installed (pip install 'schedtel[learn]')")

HOSTILE = "<b id=owned>x<!--"


def row(steps, **figures):
    usual = {"updates": steps // 256, "seconds": steps / 1000, "cpu_seconds": steps / 2000, "reward": -0.5, "loss": 0.1}
    return usual | {"steps": steps, "workers": 2, "age": 1.0, "discarded": 0, "replaced": 1} | figures


def kept(directory, rows, **settings):
    directory.mkdir()
    counters = Counters(rows[-1]["steps"] if rows else 0, 1, 2.0, 1.0, 1, 3, 4)
    checkpoint.save(Checkpoint(Settings("MigrateSim", **settings), counters, {"a": np.zeros(1)}), directory)
    book.write_rows(rows, directory)
    return directory


@pytest.fixture
def runs(tmp_path):
    return [
        kept(tmp_path / f"{HOSTILE}{n}", [row(1000 * k, reward=-1 + 0.1 * n * k) for k in range(1, 5)], seed=n)
        for n in range(3)
    ]


def test_a_curve_is_the_mean_over_runs_with_students_interval(runs):
    found = curves(told(runs), reward)
    assert (found.steps[0], found.steps[-1]) == (1000, 4000)
    # At 4,000 steps the runs have -1, -0.6 and -0.2. Student's 97.5 % quantile with 2 degrees of freedom is 4.303.
    assert found.mean[-1] == pytest.approx(-0.6)
    assert found.high[-1] - found.mean[-1] == pytest.approx(4.303 * 0.4 / math.sqrt(3), rel=1e-3)
    assert found.mean[-1] - found.low[-1] == pytest.approx(found.high[-1] - found.mean[-1])
    assert np.isnan(curves(told(runs[:1]), reward).low).all()


def test_a_curve_ends_where_the_shortest_run_does(runs, tmp_path):
    short = kept(tmp_path / "short", [row(1500), row(2500, cpu_seconds=1.75)], seed=9, steps=5)
    found = curves(told([*runs, short]), speed)
    assert (found.steps[0], found.steps[-1]) == (1500, 2500)
    # 2,000 steps a CPU-second in the others; in the short one 1,000 steps in one second.
    assert found.mean[-1] == pytest.approx((3 * 2000 + 1000) / 4)


def test_runs_of_other_settings_are_refused(runs, tmp_path):
    other = kept(tmp_path / "other", [row(1000)], hidden=8)
    with pytest.raises(SchedtelError, match="their settings differ"):
        told([*runs, other])


def test_a_run_without_rows_has_no_curve(tmp_path):
    page = render(told([kept(tmp_path / "new", [])]))
    assert "svg" not in page
    assert "MigrateSim by dqn" in page


def test_the_command_writes_a_page_for_its_owner_only(run, runs, tmp_path):
    status, _, err = run("train", "report", *runs, "-o", tmp_path / "page.html")
    assert status == 0
    assert "wrote" in err
    assert stat.S_IMODE(os.stat(tmp_path / "page.html").st_mode) == 0o600
    status, out, err = run("train", "report", *runs)
    assert (status, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(("width", "scheme"), [(1300, "light"), (360, "dark")])
def test_the_page_works_in_a_browser(chromium, runs, tmp_path, width, scheme):
    write_page(render(told(runs)), tmp_path / "page.html")
    chromium.open(tmp_path / "page.html", width=width, scheme=scheme)
    assert chromium.problems == []
    assert chromium.evaluate("document.getElementById('owned')") is None
    assert chromium.evaluate("document.querySelectorAll('svg polyline').length") == 3
    assert chromium.evaluate("document.querySelectorAll('svg polygon').length") == 3
    assert chromium.evaluate("document.body.scrollWidth <= innerWidth")
    assert "Reward of a step" in chromium.text("body")
