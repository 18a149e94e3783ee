"""Subjects and a function that samples one in; samples of all, taken in turns, out."""

from collections.abc import Callable
from typing import TypeVar

import click

from benchmarks import peers
from benchmarks.failures import BenchmarkError
from benchmarks.measures import rotations

Subject = TypeVar("Subject")
Sample = TypeVar("Sample")


def interleaved(
    subjects: dict[str, Subject],
    rounds: int,
    sample: Callable[[Subject], Sample],
    attempts: int = 3,
    turns: list[str] | None = None,
) -> tuple[dict[str, list[Sample]], list[str]]:
    """Name → one sample for each turn; and a note for each subject that failed once, which has no samples.

    :param turns: the names of one round, some perhaps several times; by default each subject once.

    Raises the error of the subject ``schedtel``, without which there is nothing to compare.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in subjects}
    failures: dict[str, str] = {}
    for number, order in enumerate(rotations(turns or list(subjects), rounds), 1):
        click.echo(f"round {number} of {rounds}: {len(order)} samples", err=True)
        for name in order:
            if name in failures:
                continue
            try:
                samples[name].append(peers.undisturbed(lambda name=name: sample(subjects[name]), attempts))
            except (BenchmarkError, OSError) as error:
                if name == "schedtel":
                    raise
                failures[name] = f"{name} left out, it failed on the way: {error}"
    return {name: each for name, each in samples.items() if name not in failures}, list(failures.values())
