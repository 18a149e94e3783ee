"""What came of a replay in; text for a person, and one HTML page (see :mod:`schedtel.experiments.markup`), out."""

from __future__ import annotations

from collections.abc import Sequence

from schedtel.experiments.markup import heat, name, page, section, table, text
from schedtel.experiments.statistics import Difference
from schedtel.experiments.tables import aligned
from schedtel.training.episodes import PARTS, STATIC, Episodes
from schedtel.training.held_out import Percent

_ABOUT = (
    "The cost L / 3 as a multiple of the default arm's, which is 1; its interval is of 95 % for itself, over the "
    "repeats that were left out in turn; * differs from 1."
)


def text_of(episodes: Episodes) -> str:
    """What was replayed, the cost of each player at first and at last, and where it costs most."""
    head = ["cost against the default arm", "first third", "last third", f"last third against the {STATIC}", "worst in"]
    rows = [_row(episodes, player) for player in episodes.curves]
    return "\n".join((f"{heading(episodes)}:", "", aligned([head, *rows]), "", static_of(episodes))) + "\n"


def _row(episodes: Episodes, player: str) -> list[str]:
    workload, cost = episodes.worst(player)
    against = "" if player == STATIC else str(episodes.last_third(player, STATIC))
    thirds = [str(episodes.first_third(player)), str(episodes.last_third(player))]
    return [player, *thirds, against, f"{workload} {cost.value:+.0f} %"]


def heading(episodes: Episodes) -> str:
    """What was replayed."""
    phases = episodes.told.phases
    return (
        f"{len(episodes.repeats) * phases.episodes} episodes of {phases.windows} windows, {phases.phase} for each of "
        f"{len(episodes.workloads)} workloads in turn; {len(episodes.repeats)} repeats, each left out of the learning "
        f"once; arms {', '.join(episodes.arms)}"
    )


def static_of(episodes: Episodes) -> str:
    """Which arm was the best static one."""
    counts = {arm: list(episodes.static.values()).count(arm) for arm in dict.fromkeys(episodes.static.values())}
    return f"{STATIC}, by the repeats that are learned from: " + ", ".join(
        f"{arm} ({count} of {len(episodes.repeats)})" for arm, count in counts.items()
    )


def render(episodes: Episodes, title: str) -> str:
    """The page: thirds, learning curves, and each workload by itself."""
    about_workloads = "Where a policy costs more than the default arm."
    thirds = ("first third", "last third", f"last third, against the {STATIC}")
    parts = [
        f"<h1>{text(title)}</h1>",
        f"<p>{text(heading(episodes))}. {text(static_of(episodes))}.</p>",
        section("At first and at last", _ABOUT, _thirds(episodes, thirds)),
        section("Learning", f"The same in each {PARTS}th of the windows.", _curves(episodes)),
        section("Each workload in the last third", about_workloads, _workloads(episodes)),
        section("As text", "", f"<pre>{text(text_of(episodes), lines=True)}</pre>"),
    ]
    return page(title, parts)


def _thirds(episodes: Episodes, head: Sequence[str]) -> str:
    rows = []
    for player in episodes.curves:
        costs = (episodes.first_third(player), episodes.last_third(player), episodes.last_third(player, STATIC))
        rows.append([name(player), *map(_cell, costs)])
    return table(["", *head], rows)


def _curves(episodes: Episodes) -> str:
    rows = [[name(one), *(_cell(episodes.part(one, n)) for n in range(PARTS))] for one in episodes.curves]
    return table(["", *(str(number) for number in range(1, PARTS + 1))], rows)


def _workloads(episodes: Episodes) -> str:
    rows = [
        [name(player), *(_cell(episodes.of_workload(player, workload)) for workload in episodes.workloads)]
        for player in episodes.curves
    ]
    return table(["", *map(name, episodes.workloads)], rows)


def _cell(cost: Percent) -> str:
    ratio, low, high = (1 + value / 100 for value in (cost.value, cost.low, cost.high))
    return heat(Difference(1, ratio, low, high, shown=not low <= 1 <= high))
