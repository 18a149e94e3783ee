"""The name of an environment in; how it is made out. What it needs is imported when it is made."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from schedtel.environments.batched import Batched
from schedtel.environments.options import Option, checked, dags_of, graphs, number
from schedtel.errors import UsageError
from schedtel.suggestions import did_you_mean

if TYPE_CHECKING:
    from schedtel.environments.judging import Judge


@dataclass(frozen=True)
class Entry:
    """An environment by its name.

    :param make: how many of it, and its options → these.
    :param about: what is learned in it, for a person.
    :param algorithms: how it can be learned, the usual way first.
    :param options: what may be chosen of it, by the names that ``make`` and ``judge`` have for it.
    :param discount: what a reward of the next step is usually worth, against one of this step.
    :param truncates: whether an episode ends only since its time is over: then what comes after has a value.
    :param has_configurations: whether it is :class:`~schedtel.environments.batched.Configured`.
    :param judge: its options → what a policy for it is compared with.
    """

    make: Callable[..., Batched]
    about: str
    algorithms: tuple[str, ...]
    judge: "Callable[..., Judge]"
    options: Mapping[str, Option] = field(default_factory=dict)
    discount: float = 1.0
    truncates: bool = False
    has_configurations: bool = False


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


_GRAPHS = graphs("cholesky-5", "A graph to schedule, as `schedtel dag solve` takes it; may be given several times.")
_NOISE = number("noise", 0.0, 0.0, 0.9, "Jobs take their times, times a factor drawn in 1 ± this.")
_SCALE = number("scale", 1.6, 0.1, 100, "Factor of the published times, by which alone EDF meets all deadlines.")


def _dag(count: int, graph: Any = _GRAPHS.usual, noise: float = _NOISE.usual) -> Batched:
    from schedtel.environments.dag_policy import CHOICES  # noqa: PLC0415  (numba)
    from schedtel.environments.dag_sim import DagSim  # noqa: PLC0415

    return DagSim(dags_of(graph), count, choices=CHOICES, noise=noise)


def _dag_judge(graph: Any, noise: float) -> "Judge":
    from schedtel.environments.dag_rules import judge_of  # noqa: PLC0415  (numba)

    return judge_of(dags_of(graph), noise)


def _periodic(count: int, scale: float = _SCALE.usual) -> Batched:
    from schedtel.environments.periodic_sim import PeriodicSim  # noqa: PLC0415  (numba)

    return PeriodicSim(count, scale=scale)


def _periodic_judge(scale: float) -> "Judge":
    from schedtel.environments.periodic_rules import judge_of  # noqa: PLC0415  (numba)

    return judge_of(scale)


ENVIRONMENTS: Mapping[str, Entry] = MappingProxyType(
    {
        "MigrateSim": Entry(
            _migrate,
            "keep threads on CPUs, on top of the balancer",
            ("dqn", "ppo"),
            _migrate_judge,
            discount=0.95,
            truncates=True,
        ),
        "DagSim": Entry(
            _dag,
            "schedule graphs of jobs on CPUs and GPUs, and when to wait",
            ("reinforce", "ppo"),
            _dag_judge,
            {"graph": _GRAPHS, "noise": _NOISE},
        ),
        "PeriodicSim": Entry(
            _periodic,
            "meet the deadlines of periodic pipelines",
            ("ppo", "reinforce", "dqn"),
            _periodic_judge,
            {"scale": _SCALE},
            has_configurations=True,
        ),
        "SwapSim": Entry(
            _swap,
            "choose the scheduler of the next window, while the load changes",
            ("dqn", "ppo"),
            _swap_judge,
            discount=0.95,
            truncates=True,
        ),
    }
)


def entry_of(name: str) -> Entry:
    """The environment of this name. Raises :class:`UsageError` for another."""
    if name not in ENVIRONMENTS:
        raise UsageError(f"cannot use environment {name[:60]!r}: it is unknown ({did_you_mean(name, ENVIRONMENTS)})")
    return ENVIRONMENTS[name]


def options_of(name: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """All options of an environment, as usual where nothing is said. Raises :class:`UsageError` for what cannot be."""
    return checked(name, entry_of(name).options, said)
