"""What is chosen of an environment, besides how many there are, in; the same, checked, as JSON can hold it, out.

What a checkpoint says is checked by the same rules as what a person says, and opens no file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from schedtel.dags.dag import Dag
from schedtel.dags.families import is_preset, preset
from schedtel.dags.spec import as_table, graph_of, parse_graph
from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean

MOST_GRAPHS = 64


@dataclass(frozen=True)
class Option:
    """A thing to choose.

    :param usual: what it is if nothing is said; for a command, where there may be several, words.
    :param said: a person's word or number → what JSON can hold. Raises :class:`UsageError`.
    :param check: what JSON said → the same. Raises :class:`UsageError` for what cannot be.
    """

    usual: Any
    kind: type[str | float]
    about: str
    said: Callable[[Any], Any]
    check: Callable[[Any], Any]

    @property
    def is_list(self) -> bool:
        """Whether several may be given."""
        return isinstance(self.usual, list)

    def of(self, said: Any) -> Any:
        """What JSON can hold of what a person said: one value, or several of a list."""
        return self.check([self.said(one) for one in said] if self.is_list else self.said(said))


def number(name: str, usual: float, least: float, most: float, about: str) -> Option:
    """A number within limits."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
            raise UsageError(f"cannot use {name} {value!r:.20}: it must be a number from {least:g} to {most:g}")
        return float(value)

    return Option(usual, float, about, check, check)


def graphs(usual: str, about: str) -> Option:
    """Graphs: names of presets, and tables of what files had."""

    def said(spec: str) -> Any:
        dag = graph_of(spec)
        return spec if is_preset(spec) else as_table(dag)

    def check(value: Any) -> Any:
        dags_of(value)
        return value

    return Option([usual], str, about, said, check)


def dags_of(said: Any) -> list[Dag]:
    """The graphs of such an option. Raises :class:`UsageError` for what is none."""
    if not isinstance(said, list) or not 1 <= len(said) <= MOST_GRAPHS:
        raise UsageError(f"cannot use these graphs: there must be 1 to {MOST_GRAPHS} of them")
    dags = [preset(one) if isinstance(one, str) else parse_graph(one, "graph") for one in said]
    if len({dag.name for dag in dags}) < len(dags):
        raise UsageError("cannot use these graphs: two have one name (name each of them once)")
    return dags


def checked(environment: str, options: Mapping[str, Option], said: Mapping[str, Any]) -> dict[str, Any]:
    """All options of an environment, as usual where nothing is said. Raises :class:`UsageError` for what cannot be."""
    for name in said:
        if name not in options:
            found = did_you_mean(str(name), options) if options else "it has none"
            raise UsageError(f"cannot use {environment} with {str(name)[:40]!r}: it has no such option ({found})")
    return {name: option.check(said.get(name, option.usual)) for name, option in options.items()}
