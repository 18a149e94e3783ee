"""A file of TOML in; a trial's workloads, methods and repeats, checked as far as this machine allows, out."""

import os
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schedtel.access.toml_file import read_toml
from schedtel.agent.config import Asked, asked_of, said_in
from schedtel.durations import NS_PER_S
from schedtel.errors import UsageError
from schedtel.experiments.spec import MOST_CELLS, PLACEBO, classes_in, digest_of, names_in, refuse_twice
from schedtel.schedulers.names import EEVDF, parse_arm
from schedtel.suggestions import did_you_mean
from schedtel.workloads.fields import Fields

#: A method that is an agent: this, and the name of its table.
AGENT = "agent:"
#: What a trial says of an agent by itself.
_OURS = ("for", "log", "save", "duration", "dry-run", "shadow", "seed", "target")
_MOST_ROUNDS = 1000


@dataclass(frozen=True)
class TrialSpec:
    """What is to be run.

    :param workloads: names of presets, or paths of specifications.
    :param schedulers: the methods: ``eevdf`` first, arms, ``placebo``, and ``agent:NAME``.
    :param rounds: in each of them every workload runs once.
    :param repeats: how often all rounds are run under each method, with the same plans in the same order.
    :param seed: of the orders, of the workloads' plans, and of the agents' draws.
    :param duration_ns: length of a phase.
    :param settle_ns: jobs that arrive so soon after the begin of a phase do not count.
    :param agents: name → its settings, as in a file for ``schedtel agent run --config``.
    :param classes: class of an arm's rules → names of commands. Only arms are told them: an agent infers its own.
    """

    title: str
    workloads: tuple[str, ...]
    schedulers: tuple[str, ...]
    rounds: int
    repeats: int
    seed: int
    duration_ns: int
    settle_ns: int
    agents: dict[str, dict[str, Any]]
    classes: dict[str, tuple[str, ...]]

    @property
    def baseline(self) -> str:
        """The method that all others are compared with."""
        return self.schedulers[0]

    def digest(self) -> str:
        """What tells it from others: see :func:`~schedtel.experiments.spec.digest_of`."""
        return digest_of(asdict(self))

    def asked(self, method: str, repeat: int, log: str | None = None) -> Asked:
        """What an agent is asked to do in a repeat, for the descendants of this process. Raises :class:`UsageError`."""
        ours = {"for": f"pid={os.getpid()}", "seed": self.seed + repeat, "log": log}
        return asked_of(self.agents[method.removeprefix(AGENT)] | ours)


def read_spec(path: str | Path) -> TrialSpec:
    """The trial that a file describes. Raises :class:`UsageError` for a file that describes none."""
    return spec_of(read_toml(path, "trial"), "the trial")


def spec_of(table: dict[str, Any], where: str) -> TrialSpec:
    """The trial that a table describes; ``where`` names it in errors. Raises :class:`UsageError`."""
    fields = Fields(table, where)
    agents = _agents(fields)
    spec = TrialSpec(
        title=fields.text("title", "trial"),
        workloads=names_in(fields, "workloads"),
        schedulers=_methods(fields, agents),
        rounds=fields.count("rounds", 1, _MOST_ROUNDS, 3),
        repeats=fields.count("repeats", 1, 10_000, 5),
        seed=fields.count("seed", 0, 2**31 - 1, 1),
        duration_ns=fields.duration("duration"),
        settle_ns=fields.duration("settle", NS_PER_S // 4, least=0),
        agents=agents,
        classes=classes_in(fields),
    )
    fields.end()
    if len(spec.workloads) * len(spec.schedulers) * spec.rounds * spec.repeats > MOST_CELLS:
        raise UsageError(f"cannot use {where}: it has more than {MOST_CELLS:,} phases (ask for fewer repeats)")
    if spec.settle_ns >= spec.duration_ns:
        raise UsageError(f"cannot use {where}: settle is as long as a phase (make duration longer, or settle shorter)")
    for method in spec.schedulers:
        if method.startswith(AGENT):
            spec.asked(method, 1)
    return spec


def _agents(fields: Fields) -> dict[str, dict[str, Any]]:
    """The table ``agents``: name → settings."""
    table = fields.take("agents", {})
    if not isinstance(table, dict):
        raise fields.refuse("agents", table, 'a table (such as { learner = { policy = "thompson", arms = […] } })')
    return {name: _settings(of, f"{fields.where}.agents.{name}") for name, of in table.items()}


def _settings(table: object, where: str) -> dict[str, Any]:
    said = said_in(table, where)
    for name in _OURS:
        if name in said:
            raise UsageError(
                f"cannot use {where}: {name} is not for an agent in a trial, which says so itself (drop it)"
            )
    return said


def _methods(fields: Fields, agents: Collection[str]) -> tuple[str, ...]:
    named = [_method(name, agents, fields.where) for name in names_in(fields, "schedulers")]
    refuse_twice(fields, "schedulers", named)
    if named[0] != str(EEVDF):
        raise UsageError(
            f"cannot use {fields.where}: the first scheduler must be eevdf, which the others are judged by"
        )
    return tuple(named)


def _method(name: str, agents: Collection[str], where: str) -> str:
    if name == PLACEBO:
        return name
    if not name.startswith(AGENT):
        return str(parse_arm(name))
    if name.removeprefix(AGENT) not in agents:
        meant = did_you_mean(name, [AGENT + known for known in agents]) if agents else "there is no table of agents"
        raise UsageError(f"cannot use {where}: {name[:60]!r} is none of its agents ({meant})")
    return name
