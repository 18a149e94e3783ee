"""The name of an environment in; how it is made out. What it needs is imported when it is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from schedtel.environments.batched import Batched
from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean

if TYPE_CHECKING:
    from schedtel.environments.judging import Judge


@dataclass(frozen=True)
class Entry:
    """An environment by its name.

    :param make: how many of it → these.
    :param about: what is learned in it, for a person.
    :param truncates: whether an episode ends only since its time is over: then what comes after has a value.
    :param judge: what a policy for it is compared with; None: nothing.
    """

    make: Callable[[int], Batched]
    about: str
    truncates: bool = False
    judge: "Callable[[], Judge] | None" = None


def _migrate(count: int) -> Batched:
    from schedtel.environments.migrate import MigrateSim  # noqa: PLC0415  (numba)

    return MigrateSim(count)


def _migrate_judge() -> "Judge":
    from schedtel.environments.migrate_rules import JUDGE  # noqa: PLC0415  (numba)

    return JUDGE


def _swap(count: int) -> Batched:
    from schedtel.environments.swap import SwapSim  # noqa: PLC0415  (numba)

    return SwapSim(count)


def _swap_judge() -> "Judge":
    from schedtel.environments.swap_rules import JUDGE  # noqa: PLC0415  (numba)

    return JUDGE


ENVIRONMENTS: Mapping[str, Entry] = MappingProxyType(
    {
        "MigrateSim": Entry(
            _migrate, "keep threads on CPUs, on top of the balancer", truncates=True, judge=_migrate_judge
        ),
        "SwapSim": Entry(
            _swap, "choose the scheduler of the next window, while the load changes", truncates=True, judge=_swap_judge
        ),
    }
)


def entry_of(name: str) -> Entry:
    """The environment of this name. Raises :class:`UsageError` for another."""
    if name not in ENVIRONMENTS:
        raise UsageError(f"cannot use environment {name[:60]!r}: it is unknown ({did_you_mean(name, ENVIRONMENTS)})")
    return ENVIRONMENTS[name]
