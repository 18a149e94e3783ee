"""Picks of recordings in; shares of right guesses, and the reasons of the rest, as numbers and as lines, out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from schedtel.oracle.pick.picks import GUESSES, REASONS, Picks

_HEADS = {
    "emulator": "emulator",
    "without_books": "no books",
    "last_woken": "last woken",
    "lowest_vruntime": "vruntime",
    "longest_waiting": "FIFO head",
}


def figures(recording: str, picks: Picks) -> dict[str, Any]:
    """What is said of a recording: counts, shares from 0 to 1 (None without any contested switch), and the reasons why
    the emulator's guess was another one.
    """
    reasons = Counter(pick.reason for pick in picks.contested if pick.reason)
    waiting = [pick.waiting for pick in picks.contested]
    return {
        "recording": recording,
        "switches": picks.switches,
        "contested": len(picks.contested),
        "spoiled": picks.spoiled,
        "waiting_mean": sum(waiting) / len(waiting) if waiting else None,
        "shares": {guess: picks.share(guess) if waiting else None for guess in GUESSES},
        "reasons": {reason: reasons[reason] for reason in REASONS if reasons[reason]},
    }


def total(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """The mean and the lowest of the recordings' shares; each recording counts once."""
    found: dict[str, dict[str, float | None]] = {"mean": {}, "worst": {}}
    for guess in GUESSES:
        shares = [row["shares"][guess] for row in rows if row["shares"][guess] is not None]
        found["mean"][guess] = math.fsum(shares) / len(shares) if shares else None
        found["worst"][guess] = min(shares, default=None)
    return found


def lines(rows: Sequence[dict[str, Any]]) -> list[str]:
    """A table with a line for each recording; mean and worst where there are several; and the reasons."""
    width = max(5, *(len(row["recording"]) for row in rows))
    heads = ["switches", "contested", "spoiled", "waiting", *_HEADS.values()]
    told = [f"{'':{width}}  " + "  ".join(heads)]
    for row in rows:
        cells = [row["switches"], row["contested"], row["spoiled"], _number(row["waiting_mean"], 1)]
        told.append(_line(row["recording"], width, heads, [*cells, *_shares(row["shares"])]))
    if len(rows) > 1:
        for name, shares in total(rows).items():
            told.append(_line(name, width, heads, [*[""] * 4, *_shares(shares)]))
    return told + _reasons(rows)


def _line(name: str, width: int, heads: Sequence[str], cells: Sequence[object]) -> str:
    return f"{name:{width}}  " + "  ".join(f"{cell!s:>{len(head)}}" for head, cell in zip(heads, cells, strict=True))


def _shares(shares: dict[str, float | None]) -> list[str]:
    return [_number(shares[guess], 3) for guess in _HEADS]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _reasons(rows: Sequence[dict[str, Any]]) -> list[str]:
    found: Counter[str] = Counter()
    for row in rows:
        found.update(row["reasons"])
    contested = sum(row["contested"] for row in rows)
    told = ", ".join(f"{found[reason]} {reason}" for reason in REASONS if found[reason])
    return [
        f"the emulator was wrong at {found.total()} of {contested} contested switches" + (f": {told}" if told else "")
    ]
