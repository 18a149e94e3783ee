"""The page of an agent: what it says of each arm, its pictures of intervals by hand, and hostile texts."""

import io
import math

import pytest
from foreign import ACTING, SEQUENCE
from texts import TEXTS

from schedtel.agent.status import ArmView, Status
from schedtel.cli.display.agent_view import AgentView, rendered
from schedtel.cli.display.cells import plain_rows

HALF = math.log(2)


def status(**changes):
    arms = (
        ArmView("eevdf", 0.0, 0.0, 0.0, 12, 0.1, ""),
        ArmView("policy:short:rr=10", HALF, 0.0, math.log(4), 30, 0.9, ""),
        ArmView("scx:new", None, None, None, 0, None, "quarantine for 60 s: it was ejected"),
    )
    fields = {
        "time_ns": 10**9,
        "window_id": 7,
        "mode": "act",
        "scheduler": "eevdf",
        "running": "eevdf",
        "chosen": "policy:short:rr=10",
        "words": "switched, since it is believed to halve the cost",
        "guard": "",
        "features": {"runqueue_length_avg": 3.25, "rt_mean_ns": 1_500_000.0},
        "arms": arms,
        "reward": HALF,
        "exploration_share": 0.021,
        "cpu_share": 0.004,
        "gap_ns": 72_000_000,
    }
    return Status(**fields | changes)


def rows_of(one, width=140):
    return plain_rows(width, lambda console: console.print(rendered(one, width)))


def test_it_says_what_the_agent_sees_thinks_and_has_done():
    rows = rows_of(status())
    assert rows[0] == "schedtel agent act · the kernel runs eevdf · window 7"
    assert rows[2] == "eevdf → policy:short:rr=10  switched, since it is believed to halve the cost"
    chosen = next(row for row in rows if row.startswith("▶"))
    assert "-50.0 %  -75.0 % … +0.0 %" in chosen
    assert "90.0 %" in chosen
    assert "scx:new may not run: quarantine for 60 s: it was ejected" in rows
    assert any("runqueue_length_avg  3.25  rt_mean_ns  1.50 ms" in row for row in rows)
    assert rows[-1] == (
        "last reward +0.693 (cost -50.0 %) · 2.1 % of decisions on arms believed worse · agent 0.40 % of a CPU · "
        "gap of the last swap 72.0 ms"
    )


def test_an_interval_is_a_line_with_its_mean_on_it():
    """31 characters from an eighth of the cost to eight times: 5 to a factor of two, and 15 for the default's."""
    row = next(row for row in rows_of(status()) if row.startswith("▶"))
    picture = row[row.index(" 30  ") + len(" 30  ") :].ljust(31)
    assert picture == " " * 5 + "─" * 5 + "●" + "─" * 5 + " " * 15
    default = next(row for row in rows_of(status()) if row.startswith("·"))
    assert default.index("●") == row.index("●") + 5


def test_a_guards_word_has_a_line_of_its_own():
    rows = rows_of(status(guard="p99 above 5 ms"))
    assert rows[3] == "guard: p99 above 5 ms"
    assert not any("guard" in row for row in rows_of(status()))


@pytest.mark.parametrize("mean", [math.inf, -math.inf, 1e308, -1e308])
def test_no_number_breaks_it(mean):
    arms = (ArmView("eevdf", mean, -math.inf, math.inf, 0, 0.0, ""),)
    assert any("eevdf" in row for row in rows_of(status(arms=arms, reward=mean)))


@pytest.mark.parametrize("width", [20, 60, 80, 111, 112])
def test_it_fits_a_narrow_terminal(width):
    rows = rows_of(status(), width)
    assert max(map(len, rows)) <= width
    if width >= 80:
        assert any("policy:short:rr=10  -50.0 %  -75.0 % … +0.0 %  90.0 %" in row for row in rows)


def test_texts_of_others_do_not_act_on_a_terminal():
    for text in TEXTS.values():
        name = text.decode(errors="replace")
        arms = (ArmView(name, 0.0, -1.0, 1.0, 1, 0.5, name),)
        one = status(arms=arms, scheduler=name, running=name, chosen=name, words=name, guard=name, mode=name)
        assert not ACTING.search(SEQUENCE.sub("", "\n".join(rows_of(one))))


def test_where_there_is_no_terminal_one_page_follows_the_other(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with AgentView() as view:
        view.update(status())
        view.update(status(window_id=8))
    written = capsys.readouterr().out
    assert "window 7" in written
    assert "window 8" in written
    assert "\x1b" not in written
