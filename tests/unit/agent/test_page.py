"""The page of a log: its figures by arithmetic, what hostile texts become, and the page in a real browser."""

import json
import math
import os
import re
import stat
from dataclasses import replace

import numpy as np
import pytest
from agents import ARMS, ENVIRONMENT, lived, made
from click.testing import CliRunner

from schedtel.agent.context import CHOSEN
from schedtel.agent.evaluation import Evaluator
from schedtel.agent.log import DecisionLog
from schedtel.agent.page import MOST_BINS, RUNNING, document_of, render, running_mean
from schedtel.cli import group
from schedtel.errors import SchedtelError
from schedtel.report import write_page

HOSTILE = "</script><b id=owned>x</b>\u2028\x1b[31m"


@pytest.fixture(scope="module")
def entries():
    """400 decisions by chance; in three of them a guard decided, and one has no reward."""
    found = lived(made("random", seed=1), 400, seed=7, learn=False)
    for number in (20, 21, 300):
        found[number] = replace(found[number], propensities={}, reason=f"reason {number % 2}", arm=ARMS[0])
    found[5] = replace(found[5], reward=None, gap_ns=12_000_000)
    return found


def test_a_running_mean_is_that_of_the_last_rewards():
    found = running_mean(np.array([1.0, math.nan, 2.0, 3.0, 4.0, 5.0]))
    assert found["mean"].tolist() == [1.0, 1.0, 1.5, 2.0, 2.5, 3.0]
    # Student's 97.5 % quantile with 4 degrees of freedom is 2.776; the standard deviation of 1 to 5 is sqrt(2.5).
    assert found["low"][5] == pytest.approx(3 - 2.776 * math.sqrt(2.5) / math.sqrt(5), abs=1e-3)
    assert np.isnan(found["high"][:5]).all()
    long = running_mean(np.arange(200.0))
    assert long["mean"][-1] == pytest.approx(199 - (RUNNING - 1) / 2)


def test_the_page_has_every_decision(entries):
    document = document_of(entries, "log")
    (log,) = document["recordings"]
    assert sum(log["decisions"]) == 400
    assert sum(log["guarded"]) == 3
    for arm, counts in zip(log["arms"], log["ran"], strict=True):
        assert sum(counts) == sum(entry.arm == arm for entry in entries)
    assert log["chance"][0][0] == pytest.approx(1 / 3)
    assert log["chance"][0][20] is None
    assert log["reward"][5] is None
    assert log["start"][:3] == [0.0, 1e9, 2e9]
    assert document["guard"]["all"] == 3
    assert document["guard"]["reasons"] == [("reason 0", 2), ("reason 1", 1)]
    assert [row["by_guard"] for row in document["by_arm"]] == [3, 0, 0]
    json.dumps(document, allow_nan=False)


def test_many_decisions_share_bins(entries):
    many = (entries * 6)[:2100]
    (log,) = document_of(many, "log")["recordings"]
    assert len(log["start"]) == 1050 <= MOST_BINS
    assert sum(log["decisions"]) == 2100
    assert sum(map(sum, log["ran"])) == 2100
    assert all(end > start for start, end in zip(log["start"], log["end"], strict=True))


def test_a_boot_between_two_decisions_takes_the_time_of_the_wall_clock(entries):
    later = replace(entries[2], time_ns=5, wall_time_ns=entries[1].wall_time_ns + 30 * 10**9)
    (log,) = document_of([*entries[:2], later], "log")["recordings"]
    assert log["start"] == [0.0, 1e9, 31e9]


def test_regret_is_what_the_best_arm_would_have_earned_more(entries):
    """By chance each arm earns a third of the time; the best one in hindsight earns the larger mean."""
    found = Evaluator(entries).regret()
    means = ENVIRONMENT.mean(axis=0)
    expected = means.max() - means.mean()
    assert found.mean.low <= expected <= found.mean.high
    assert found.rows.shape == (396,)
    judged = document_of(entries, "log")["judged"]
    assert judged["regret"][-1] == pytest.approx(found.rows.sum(), rel=1e-5)
    assert judged["best"] == found.arm


def test_a_log_that_judges_nothing_says_why(entries):
    assert "cannot evaluate by 9 decisions" in document_of(entries[:10], "log")["judged"]["why"]


def hostile(entries):
    arms = (HOSTILE, *ARMS[1:])
    named = [
        replace(
            e,
            arms=arms,
            arm=HOSTILE if e.arm == ARMS[0] else e.arm,
            propensities={HOSTILE if arm == ARMS[0] else arm: chance for arm, chance in e.propensities.items()},
            policy=HOSTILE,
        )
        for e in entries
    ]
    return [*named[:-1], replace(named[-1], propensities={}, reason=HOSTILE)]


def test_no_text_of_a_log_is_markup(entries):
    text = render(hostile(entries), HOSTILE)
    assert text.count("</script>") == 2
    assert "<b id=owned>" not in text
    assert "\x1b" not in text
    assert not re.search(r"https?:", text)


def test_the_command_writes_a_page_for_its_owner_only(entries, tmp_path):
    log = DecisionLog(tmp_path / "log", CHOSEN)
    log._rows += entries[:-1]  # one write for all
    log.append(entries[-1])
    done = CliRunner().invoke(group, ["agent", "report", str(tmp_path / "log"), "-o", str(tmp_path / "page.html")])
    assert done.exit_code == 0
    assert stat.S_IMODE(os.stat(tmp_path / "page.html").st_mode) == 0o600
    assert "400 decisions" in done.output
    error = CliRunner().invoke(group, ["agent", "report", str(tmp_path), "-o", str(tmp_path / "x.html")]).exception
    assert isinstance(error, SchedtelError)
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize(("width", "scheme"), [(1300, "light"), (360, "dark")])
def test_the_page_works_in_a_browser(chromium, entries, tmp_path, width, scheme):
    write_page(render(hostile(entries), HOSTILE), tmp_path / "page.html")
    chromium.open(tmp_path / "page.html", width=width, scheme=scheme)
    assert chromium.problems == []
    assert chromium.evaluate("document.getElementById('owned')") is None
    assert "reason 0" in chromium.text("#guard")
    assert chromium.evaluate("document.body.scrollWidth <= innerWidth")
    x, y, wide, _ = chromium.box("#arms .chart")
    chromium.mouse("mouseMoved", x + wide / 2, y + 20)
    assert "its chance" in chromium.text("#tip")
    chromium.drag(y + 30, x + wide * 0.4, x + wide * 0.6)
    assert chromium.evaluate("document.getElementById('reset').disabled") is False
    assert chromium.problems == []
