"""A file of TOML in; an experiment's workloads, schedulers and repeats out, checked as far as this machine allows."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schedtel.access.toml_file import read_toml
from schedtel.durations import NS_PER_S
from schedtel.errors import UsageError
from schedtel.schedulers.names import parse_arm
from schedtel.workloads.fields import Fields

#: Written as an arm, it is the first arm once more: what it "changes" is chance, and shows what the others may be.
PLACEBO = "placebo"
#: Most runs of an experiment.
MOST_CELLS = 100_000


@dataclass(frozen=True)
class ExperimentSpec:
    """What is to be run.

    :param workloads: names of presets, or paths of specifications.
    :param schedulers: arms; the first one is what the others are compared with.
    :param repeats: how often each workload runs under each arm; repeat n has the same seed under all arms.
    :param seed: of the order of runs, and of the workloads' plans.
    :param same_seed: repeats have one and the same plan of a workload, instead of a plan each.
    :param duration_ns: length of a run's plan; None: as each workload says.
    :param settle_ns: at the beginning of a run, jobs that arrive within this time do not count.
    :param classes: class of an arm's rules → names of commands, or of the workload's classes.
    """

    title: str
    workloads: tuple[str, ...]
    schedulers: tuple[str, ...]
    repeats: int
    seed: int
    same_seed: bool
    duration_ns: int | None
    settle_ns: int
    classes: dict[str, tuple[str, ...]]

    @property
    def baseline(self) -> str:
        """The arm that all others are compared with."""
        return self.schedulers[0]

    def table(self) -> dict[str, Any]:
        """The table that describes it: :func:`spec_of` makes the same experiment of it."""
        times = {"duration": self.duration_ns, "settle": self.settle_ns}
        written = {name: f"{ns}ns" if ns else "0s" for name, ns in times.items() if ns is not None}
        plain = {name: getattr(self, name) for name in ("title", "repeats", "seed", "same_seed")}
        lists = {name: list(getattr(self, name)) for name in ("workloads", "schedulers")}
        return {**plain, **lists, **written, "classes": {name: list(members) for name, members in self.classes.items()}}

    def digest(self) -> str:
        """What tells it from others: see :func:`digest_of`."""
        return digest_of(asdict(self))


def digest_of(asked: Mapping[str, Any]) -> str:
    """SHA-256 of everything asked for but the title and the repeats: runs of one digest belong together."""
    what = {**asked, "title": "", "repeats": 0}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def read_spec(path: str | Path) -> ExperimentSpec:
    """The experiment that a file describes. Raises :class:`UsageError` for a file that describes none."""
    return spec_of(read_toml(path, "experiment"), "the experiment")


def spec_of(table: dict[str, Any], where: str) -> ExperimentSpec:
    """The experiment that a table describes; ``where`` names it in errors. Raises :class:`UsageError`."""
    fields = Fields(table, where)
    spec = ExperimentSpec(
        title=fields.text("title", "experiment"),
        workloads=names_in(fields, "workloads"),
        schedulers=_arms(fields),
        repeats=fields.count("repeats", 1, 10_000, 5),
        seed=fields.count("seed", 0, 2**63 - 1, 1),
        same_seed=fields.flag("same_seed"),
        duration_ns=fields.duration("duration") if "duration" in fields else None,
        settle_ns=fields.duration("settle", NS_PER_S // 4, least=0),
        classes=classes_in(fields),
    )
    fields.end()
    if len(spec.workloads) * len(spec.schedulers) * spec.repeats > MOST_CELLS:
        raise UsageError(f"cannot use {where}: it has more than {MOST_CELLS:,} runs (ask for fewer repeats)")
    if spec.duration_ns is not None and spec.settle_ns >= spec.duration_ns:
        raise UsageError(f"cannot use {where}: settle is as long as a run (make duration longer, or settle shorter)")
    return spec


def names_in(fields: Fields, name: str) -> tuple[str, ...]:
    """A list of texts, each of them once."""
    values = fields.items(name)
    for value in values:
        if not isinstance(value, str) or not value.strip() or "\0" in value:
            raise fields.refuse(name, value, "a list of names")
    refuse_twice(fields, name, values)
    return tuple(values)


def _arms(fields: Fields) -> tuple[str, ...]:
    arms = names_in(fields, "schedulers")
    if arms[0] == PLACEBO:
        raise UsageError(f"cannot use {fields.where}: the first scheduler is {PLACEBO}, which repeats the first one")
    normal = [arm if arm == PLACEBO else str(parse_arm(arm)) for arm in arms]
    refuse_twice(fields, "schedulers", normal)
    return tuple(normal)


def refuse_twice(fields: Fields, name: str, values: Sequence[str]) -> None:
    """Raise :class:`UsageError` for a list that has a value twice."""
    twice = next((value for at, value in enumerate(values) if value in values[:at]), None)
    if twice is not None:
        raise UsageError(f"cannot use {fields.where}: {name} has {twice[:80]!r} twice (name it once)")


def classes_in(fields: Fields) -> dict[str, tuple[str, ...]]:
    """The table ``classes``: name of a class → command names."""
    table = fields.take("classes", {})
    if not isinstance(table, dict):
        raise fields.refuse("classes", table, 'a table (such as { hogs = ["hog"] })')
    inner = Fields(table, f"{fields.where}.classes")
    return {name: names_in(inner, name) for name in list(table)}
