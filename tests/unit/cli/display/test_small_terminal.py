"""The page of `live` on small terminals: figures and keys are whole, and sparklines get what is left."""

import io

import pytest
from rich.console import Console  # noqa: TID251  (a terminal of a size of its own)

from schedtel.cli.display.choices import Choice
from schedtel.cli.display.view import View

KEYS = "━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌  q quit · b by preemption · s sort · ↑↓ rows · p go on"


def page(windows, width, rows, subtitle="window 200 ms · core backend · all tasks"):
    """The lines of the page after 30 windows, as the terminal shows them."""
    view = View(Choice(subtitle=subtitle))
    for window in windows * 10:
        view.add(window)
    console = Console(width=width, height=rows, file=io.StringIO(), force_terminal=False)
    with console.capture() as captured:
        console.print(view.render(rows, width, KEYS))
    return captured.get().splitlines()


@pytest.mark.parametrize(("width", "rows"), [(80, 24), (80, 40), (80, 12), (80, 8), (100, 24), (140, 40), (200, 60)])
def test_the_page_fits_and_ends_with_the_keys(windows, width, rows):
    lines = page(windows, width, rows)
    assert len(lines) <= rows
    assert lines[-1].rstrip() == KEYS


@pytest.mark.parametrize("width", [60, 80, 90, 100, 140])
def test_no_figure_gives_way_to_a_sparkline(windows, width):
    assert not any("…" in line for line in page(windows, width, 24))


@pytest.mark.parametrize(("width", "has"), [(80, False), (100, True)])
def test_sparklines_get_what_figures_leave(windows, width, has):
    assert any("p99 over time" in line for line in page(windows, width, 24)) is has


def test_a_long_second_line_takes_its_room_from_the_rows(windows):
    lines = page(windows, 80, 24, subtitle="window 200 ms · core backend · " + "cgroup=/a/b/c " * 12)
    assert len(lines) <= 24
    assert lines[-1].rstrip() == KEYS
