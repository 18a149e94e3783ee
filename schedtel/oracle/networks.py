"""Samples in; networks that have learned from them out, by torch, which no other module imports.

The pointer network's arrays go to numpy. The recurrent ones, an LSTM and a GRU over the roles that ran on a CPU one
after the other, are there to be compared with; they stay here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

from schedtel.errors import CapabilityError
from schedtel.oracle.candidates import MOST_CANDIDATES
from schedtel.oracle.pointer import SHAPES, Weights
from schedtel.oracle.rules import logs
from schedtel.oracle.runs import Kind, Left, Run, cut
from schedtel.oracle.samples import Samples
from schedtel.oracle.scores import score

_BATCH, _RATE = 512, 6e-3
#: Of recurrent networks: sequences of a batch, and how often a role must come to have an index.
_SEQUENCES, _LEAST = 16, 5
_EMBEDDING, _LAYERS = 32, 2
#: The index where a sequence is over.
_NO_SWITCH = -1


def torch_here() -> ModuleType:
    """torch, on one thread. Raises :class:`CapabilityError` where it is not installed."""
    try:
        import torch  # noqa: PLC0415  (of an extra)
    except ImportError as error:
        raise CapabilityError("cannot train: torch is not installed (pip install 'schedtel[learn]')") from error
    torch.set_num_threads(1)
    return torch


# ---- the pointer network ----


def trained_pointer(samples: Sequence[Samples], seed: int, epochs: int) -> Weights:
    """A pointer network that has learned from the forecasts of some runs.

    :param seed: of its first weights and of the order of the samples. The same seed gives the same network with the
        same version of torch on the same kind of processor.
    """
    torch = torch_here()
    torch.manual_seed(seed)
    features = torch.from_numpy(np.concatenate([each.features for each in samples]))
    counts = torch.from_numpy(np.concatenate([each.counts for each in samples]))
    answers = torch.from_numpy(np.concatenate([each.answers for each in samples]))
    layers = {name: torch.nn.Parameter(_first(torch, name)) for name in SHAPES}
    optimizer = torch.optim.Adam(layers.values(), _RATE)
    steps = epochs * -(-len(answers) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _RATE, max(2, steps))
    for _ in range(epochs):
        for rows in torch.randperm(len(answers)).split(_BATCH):
            found = pointer_scores(torch, layers, features[rows], counts[rows])
            loss = torch.nn.functional.cross_entropy(found, answers[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return Weights(**{name: layer.detach().numpy().copy() for name, layer in layers.items()})


def _first(torch: ModuleType, name: str) -> Any:
    shape = SHAPES[name]
    if name.startswith("b"):
        return torch.zeros(shape)
    return torch.randn(shape) * (2 / shape[0]) ** 0.5


def pointer_scores(torch: ModuleType, layers: dict[str, Any], features: Any, counts: Any) -> Any:
    """The scores of :func:`schedtel.oracle.pointer.scores` for several forecasts at once, as tensors."""
    is_there = torch.arange(MOST_CANDIDATES)[None] < counts[:, None]
    layer = torch.relu(features @ layers["w1"] + layers["b1"])
    layer = torch.relu(layer @ layers["w2"] + layers["b2"])
    mean = (layer * is_there[:, :, None]).sum(1) / counts[:, None].clamp(min=1)
    beside = torch.relu(layer @ layers["w3"] + (mean @ layers["w3_mean"] + layers["b3"])[:, None])
    raw = (beside @ layers["w4"]).masked_fill(~is_there, -1e9)
    return torch.cat([raw, (mean @ layers["w_other"] + layers["b_other"])[:, None]], 1)


# ---- recurrent networks ----


@dataclass(frozen=True)
class Recurrent:
    """A trained LSTM or GRU, and the index of each role that it knows; 0 is for all others."""

    network: Any
    indices: dict[str, int]

    def forecasts(self, samples: Samples) -> np.ndarray:
        """Logarithms of the chances of the candidates of a run.

        What the network gives to roles that it does not know is divided among the candidates that have such roles. So
        it can be right about one of them, where it is the only one.
        """
        torch, run = torch_here(), samples.run
        by_switch = np.zeros((run.switches, len(self.indices) + 1), np.float32)
        with torch.no_grad():
            for rows, ids, extra in _by_cpu(run, self.indices):
                given = self.network(torch.from_numpy(ids)[None], torch.from_numpy(extra)[None])[0]
                by_switch[rows] = torch.softmax(given, 1).numpy()
        index = np.array([self.indices.get(role, 0) for role in run.roles], np.int64)
        given = by_switch[samples.switches]
        is_there = samples.tasks >= 0
        places = np.where(is_there, index[samples.tasks.clip(min=0)], 0)
        unknown = is_there & (places == 0)
        chances = np.take_along_axis(given, places, axis=1)
        return logs(np.where(unknown, chances / unknown.sum(axis=1, keepdims=True).clip(min=1), chances), samples)


@dataclass(frozen=True)
class Tuning:
    """What is chosen of a recurrent network: its learning rate, the width of its layers, and how many switches of a CPU
    it learns from at once.
    """

    rate: float
    width: int
    length: int


#: What is tried: each of these values in turn, the others being the best so far. It begins with the first tuning.
FIRST = Tuning(rate=1e-2, width=128, length=64)
TRIED: dict[str, tuple[Any, ...]] = {"rate": (1e-2, 3e-3, 3e-2, 1e-1), "width": (64, 256), "length": (16, 256)}


def forecast_part(samples: Samples) -> Run:
    """The part of a run that its forecasts are of: recurrent networks learn from as much as pointer networks do."""
    return cut(samples.run, 0, int(samples.switches.max()) + 2)


def tried_tunings(kind: str, sets: Sequence[Sequence[Samples]], epochs: int) -> dict[Tuning, float]:
    """The NLL of each tuning on the last of each workload's runs, when the network learns from the others; nothing
    where there are no others.

    :param sets: of each dataset, the forecasts of runs to learn from.
    """
    runs: list[Run] = []
    judged: list[Samples] = []
    for samples in sets:
        last = {each.run.workload: each for each in samples}
        judged += last.values()
        runs += [forecast_part(each) for each in samples if last[each.run.workload] is not each]
    found: dict[Tuning, float] = {}
    for name, values in TRIED.items() if runs else ():
        for tuning in [replace(best(found), **{name: value}) for value in values]:
            found[tuning] = _loss(trained_recurrent(kind, runs, 0, epochs, tuning), judged)
    return found


def best(tried: dict[Tuning, float]) -> Tuning:
    """The tuning with the least NLL; the first one where none was tried."""
    return min(tried, key=tried.__getitem__, default=FIRST)


def _loss(network: Recurrent, samples: Sequence[Samples]) -> float:
    return float(np.mean([score(network.forecasts(each), each).nll for each in samples]))


def trained_recurrent(kind: str, runs: Sequence[Run], seed: int, epochs: int, tuning: Tuning) -> Recurrent:
    """An LSTM or a GRU of two layers that has learned which role comes after those before it on a CPU.

    :param kind: ``LSTM`` or ``GRU``.
    """
    torch = torch_here()
    torch.manual_seed(seed)
    often = Counter(run.roles[task] for run in runs for task in _switches(run)["task"].tolist())
    indices = {role: place for place, (role, count) in enumerate(often.most_common(), 1) if count >= _LEAST}
    ids, extra = _sequences(runs, indices, tuning.length)
    network = _network(torch, kind, len(indices) + 1, tuning.width)
    optimizer = torch.optim.Adam(network.parameters(), tuning.rate)
    given, more = torch.from_numpy(ids), torch.from_numpy(extra)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, tuning.rate, max(2, epochs * -(-len(ids) // _SEQUENCES)))
    for _ in range(epochs):
        for rows in torch.randperm(len(ids)).split(_SEQUENCES):
            found = network(given[rows, :-1].clamp(min=0), more[rows, :-1])
            asked = given[rows, 1:].flatten()
            loss = torch.nn.functional.cross_entropy(found.flatten(0, 1), asked, ignore_index=_NO_SWITCH)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return Recurrent(network.eval(), indices)


def _network(torch: ModuleType, kind: str, roles: int, width: int) -> Any:
    class Network(torch.nn.Module):  # type: ignore[misc, name-defined]  # torch is only known at run time
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(roles, _EMBEDDING)
            self.layers = getattr(torch.nn, kind)(_EMBEDDING + 2, width, _LAYERS, batch_first=True)
            self.head = torch.nn.Linear(width, roles)

        def forward(self, ids: Any, extra: Any) -> Any:
            return self.head(self.layers(torch.cat([self.embedding(ids), extra], -1))[0])

    return Network()


def _switches(run: Run) -> np.ndarray:
    return run.events[run.events["kind"] == Kind.SWITCH]


def _by_cpu(run: Run, indices: dict[str, int]) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each CPU: the places of its switches, the indices of the roles that come, and two numbers beside each.

    These are the logarithm of the time since the switch before, and whether the task that leaves goes on waiting.
    """
    switches, found = _switches(run), []
    index = np.array([indices.get(role, 0) for role in run.roles], np.int64)
    for cpu in np.unique(switches["cpu"]).tolist():
        rows = np.flatnonzero(switches["cpu"] == cpu)
        own = switches[rows]
        apart = np.log10(np.diff(own["time_ns"], prepend=own["time_ns"][:1]) + 1.0) / 5 - 1
        extra = np.stack([apart, own["left"] != Left.BLOCKED], 1).astype(np.float32)
        found.append((rows, index[own["task"]], extra))
    return found


def _sequences(runs: Sequence[Run], indices: dict[str, int], length: int) -> tuple[np.ndarray, np.ndarray]:
    """All switches in sequences of one more than ``length``, each of one CPU of one run, with _NO_SWITCH behind."""
    ids, extra = [np.zeros((0, length + 1), np.int64)], [np.zeros((0, length + 1, 2), np.float32)]
    for run in runs:
        for _, own, beside in _by_cpu(run, indices):
            for begin in range(0, len(own) - 1, length):
                part = slice(begin, begin + length + 1)
                behind = (0, length + 1 - len(own[part]))
                ids.append(np.pad(own[part], behind, constant_values=_NO_SWITCH)[None])
                extra.append(np.pad(beside[part], (behind, (0, 0)))[None])
    return np.concatenate(ids), np.concatenate(extra)
