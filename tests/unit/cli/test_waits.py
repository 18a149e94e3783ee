"""The longest wait on the page: a task that starves comes first, and its wait is told as one that goes on."""

import re
from dataclasses import replace

import pytest
from rich.console import Console  # noqa: TID251  (a terminal of a size of its own)
from samples import replaced

from schedtel.cli.display import waits
from schedtel.cli.display.choices import Choice
from schedtel.cli.display.view import View

S = 1_000_000_000


@pytest.fixture
def batch(windows):
    """A table of tasks whose waits a test replaces: a row a task, and `other`."""
    return windows[0].tasks


def with_waits(batch, **columns):
    """The batch with these values in its first rows, and 0 in the rows after them."""
    rest = {"max_wait_ns": 0, "open_wait_ns": 0, "waits_unfinished": 0, "wait_ns": 0, "alive_ns": S}
    given = {name: [*columns.get(name, []), *[default] * batch.num_rows] for name, default in rest.items()}
    return replaced(batch, **{name: values[: batch.num_rows] for name, values in given.items()})


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"max_wait_ns": 5}, (5, False)),
        ({"max_wait_ns": 5, "open_wait_ns": 3, "waits_unfinished": 1}, (5, False)),
        ({"max_wait_ns": 5, "open_wait_ns": 7, "waits_unfinished": 1}, (7, True)),
        ({"open_wait_ns": None, "waits_unfinished": 1, "wait_ns": S}, (S, True)),
        ({"open_wait_ns": None, "waits_unfinished": 1, "wait_ns": S - 1}, (0, False)),
        ({"open_wait_ns": None, "wait_ns": S}, (0, False)),
    ],
)
def test_the_longest_wait_is_the_ended_one_or_the_age_of_the_other(batch, row, expected):
    longest, goes_on = waits.longest(with_waits(batch, **{name: [value] for name, value in row.items()}))
    assert (longest[0], goes_on[0]) == expected


def page(window, by="task", sort="max_wait_ns"):
    view = View(Choice(by=by, sort=sort))
    view.add(window)
    console = Console(width=200)
    with console.capture() as captured:
        console.print(view.render(width=200))
    return captured.get()


@pytest.mark.parametrize("by", ["task", "comm", "process"])
def test_a_starving_task_is_on_top_and_its_wait_goes_on(windows, by):
    window = windows[0]
    tasks = with_waits(
        window.tasks, max_wait_ns=[0, 2 * S, S], open_wait_ns=[0, 0, 3_200_000_000], waits_unfinished=[0, 0, 1]
    )
    lines = page(replace(window, tasks=tasks), by).splitlines()
    first = lines[next(i for i, line in enumerate(lines) if "max wait▾" in line) + 1]
    assert "≥ 3.20 s" in first
    assert len([line for line in lines if re.search(r"≥ \d", line)]) == 1
