"""Subjects and a way to sample one in; samples of all, taken in turns, out. One that fails is left out and told."""

from collections.abc import Callable
from typing import TypeVar

import click

from benchmarks import peers
from benchmarks.failures import BenchmarkError
from benchmarks.measures import rotations

Subject = TypeVar("Subject")
Sample = TypeVar("Sample")


def interleaved(
    takers: dict[str, Subject],
    rounds: int,
    sample: Callable[[Subject], Sample],
    attempts: int = 3,
    turns: list[str] | None = None,
) -> tuple[dict[str, list[Sample]], list[str]]:
    """Name → one sample for each turn; and a note for each that failed in one of them and has none.

    ``turns``: the names of one round, some of them perhaps several times; each of the takers once, unless told.

    Raises what schedtel itself fails with: without it there is nothing to compare.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in takers}
    failures: dict[str, str] = {}
    for number, order in enumerate(rotations(turns or list(takers), rounds), 1):
        click.echo(f"round {number} of {rounds}: {len(order)} samples", err=True)
        for name in order:
            if name in failures:
                continue
            try:
                samples[name].append(peers.undisturbed(lambda name=name: sample(takers[name]), attempts))
            except (BenchmarkError, OSError) as error:
                if name == "schedtel":
                    raise
                failures[name] = f"{name} left out, it failed on the way: {error}"
    return {name: taken for name, taken in samples.items() if name not in failures}, list(failures.values())
