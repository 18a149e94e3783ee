"""A file of TOML and options of the command in; what an agent is asked to do, checked, out. An option goes first."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from schedtel.access.toml_file import read_toml
from schedtel.agent.policies.protocol import USUAL, Settings
from schedtel.agent.reward import RewardSettings
from schedtel.agent.settings import (
    PROBE_EVERY,
    SWAP_COST,
    AgentSettings,
    arms_of,
    objective_of,
    slos_of,
    weights_of,
    with_eevdf,
)
from schedtel.durations import parse_duration
from schedtel.errors import UsageError
from schedtel.schedulers.names import EEVDF, parse_scope
from schedtel.workloads.fields import Fields

DWELL, SETTLE = RewardSettings.dwell, RewardSettings.settle
_MOST = 1_000_000


@dataclass(frozen=True)
class Asked:
    """What an agent is asked to do, where it logs, and when it ends.

    :param log: a directory or a URI; None: nowhere.
    :param duration: such as ``1h``; None: it goes on.
    :param save: the file for what the policy has learned; None: nowhere.
    :param target: the URI of the machine that it is at work on; None: this one.
    """

    settings: AgentSettings
    log: str | None = None
    duration: str | None = None
    save: str | None = None
    target: str | None = None


def _text(fields: Fields, name: str) -> Any:
    return fields.text(name)


def _texts(fields: Fields, name: str) -> Any:
    """A list of texts, or one of them."""
    raw = fields.take(name)
    texts = [raw] if isinstance(raw, str) else raw
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) for one in texts):
        raise fields.refuse(name, raw, "a text, or a list of texts")
    return texts


def _weights(fields: Fields, name: str) -> Any:
    raw = fields.take(name)
    table = Fields(raw, f"{name} of {fields.where}")
    return {key: table.number(key, 0, _MOST) for key in raw}


def _flag(fields: Fields, name: str) -> Any:
    return fields.flag(name)


def _count(fields: Fields, name: str) -> Any:
    return fields.count(name, 0, _MOST)


def _number(fields: Fields, name: str) -> Any:
    return fields.number(name, 0, _MOST)


#: The keys of a file, which are the options of the command.
_KEYS: Mapping[str, Callable[[Fields, str], Any]] = MappingProxyType(
    dict.fromkeys(("policy", "objective", "window", "for", "log", "save", "default", "duration", "target"), _text)
    | dict.fromkeys(("arms", "slo"), _texts)
    | dict.fromkeys(("dry-run", "shadow", "no-trial"), _flag)
    | dict.fromkeys(("dwell", "settle", "seed", "probe-every"), _count)
    | dict.fromkeys(("swap-cost", "floor", "budget"), _number)
    | {"weights": _weights}
)
KEYS = tuple(_KEYS)


def read_config(path: str) -> dict[str, Any]:
    """The settings of a file, by the names of the options.

    Raises :class:`UsageError` for a file that cannot be read, an unknown key, or a value of another kind.
    """
    return said_in(read_toml(path, "configuration"), f"configuration {path}")


def said_in(table: object, where: str) -> dict[str, Any]:
    """The settings of a table, by the names of the options; ``where`` names it in errors.

    Raises :class:`UsageError` for an unknown key, or a value of another kind.
    """
    fields, found = Fields(table, where), {}
    for name, read in _KEYS.items():
        if name in fields:
            found[name] = read(fields, name)
        else:
            fields.take(name)  # so that it is among those that a misspelt key may have meant
    fields.end()
    return found


def asked_of(given: Mapping[str, Any], config: str | None = None) -> Asked:
    """What is asked by options, and by a file where an option does not say.

    :param given: name of an option, without its dashes → its value; None, false or empty where it was not given.

    Raises :class:`UsageError` for what cannot be done, in one line.
    """
    named = read_config(config) if config else {}
    said = named | {name: value for name, value in given.items() if _was_given(value)}
    if said.get("dry-run") and said.get("shadow"):
        raise UsageError("cannot use --dry-run with --shadow: only a shadow logs (drop one of the two)")
    if said.get("dry-run"):
        if given.get("log"):
            raise UsageError("cannot use --log with --dry-run: it logs nothing (use --shadow, or drop one of the two)")
        said.pop("log", None)
    if said.get("dry-run") or said.get("shadow"):
        if given.get("save"):
            raise UsageError("cannot use --save without acting: nothing is learned (drop it)")
        said.pop("save", None)
    if said.get("duration"):
        parse_duration(said["duration"])
    others = (said.get(name) for name in ("log", "duration", "save", "target"))
    return Asked(_settings(said), *others)


def _was_given(value: object) -> bool:
    return value is not None and value is not False and value != ()


def _settings(said: Mapping[str, Any]) -> AgentSettings:
    if not said.get("arms"):
        raise UsageError("cannot run without arms: name them (--arms eevdf,policy:short:rr=10; see `scheduler list`)")
    arms = with_eevdf(said["arms"]) if isinstance(said["arms"], list) else arms_of(said["arms"])
    return AgentSettings(
        arms=arms,
        default=said.get("default", str(EEVDF)),
        policy=said.get("policy", "thompson"),
        reward=_reward(said),
        exploring=_exploring(said),
        window=said.get("window", "1s"),
        scope=parse_scope(said["for"]) if "for" in said else None,
        slos=slos_of(said.get("slo", ())),
        mode="dry-run" if said.get("dry-run") else "shadow" if said.get("shadow") else "act",
        is_trusted=bool(said.get("no-trial")),
        probe_every=said.get("probe-every", PROBE_EVERY),
    )


def _reward(said: Mapping[str, Any]) -> RewardSettings:
    if "objective" in said and "weights" in said:
        raise UsageError("cannot use --objective with --weights: both say what a reward is (drop one of the two)")
    weights = said.get("weights")
    if isinstance(weights, str):
        weights = weights_of(weights)
    return RewardSettings(
        weights=weights if weights is not None else objective_of(said.get("objective", "L")),
        swap_cost=said.get("swap-cost", SWAP_COST),
        settle=said.get("settle", SETTLE),
        dwell=said.get("dwell", DWELL),
    )


def _exploring(said: Mapping[str, Any]) -> Settings:
    budget = said.get("budget", USUAL.budget)
    return Settings(floor=said.get("floor", USUAL.floor), budget=budget, seed=said.get("seed", USUAL.seed))
