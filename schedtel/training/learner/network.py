"""Observations in; a value, and a number for each action, out. Only this module and its users import torch."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from schedtel.environments.layout import Layout
from schedtel.errors import CapabilityError
from schedtel.simulator.compiling import kept

try:
    import torch
except ImportError:
    raise CapabilityError("cannot train: torch is not installed (pip install 'schedtel[learn]')") from None

Arrays = Mapping[str, NDArray[np.generic]]
#: More threads make these small matrices slower, and much slower where other programs run.
torch.set_num_threads(1)
#: Layers before the last; and the gain of that, with which all actions begin nearly equal.
_HIDDEN, _LAST_GAIN = 2, 0.1
#: Of Adam: how much of the means of slopes, and of their squares, is kept; what is added to a root.
_KEPT, _SQUARES_KEPT, _TINY = 0.9, 0.999, 1e-5


class Network(torch.nn.Module):  # type: ignore[misc]  # torch's types are not read
    """Two hidden layers and one that gives a value v and a number a for each action.

    As action values they are v + a - mean(a): the duelling form (Z. Wang et al., 2016). As a policy, a are logits.

    :param sizes: inputs and outputs of each layer.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], seed: int) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.Linear(*size) for size in sizes)
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for number, layer in enumerate(self.layers):
                gain = 2**0.5 if number < _HIDDEN else _LAST_GAIN
                torch.nn.init.orthogonal_(layer.weight, gain, generator=draw)
                torch.nn.init.zeros_(layer.bias)

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values of shape (n,), and numbers of shape (n, actions)."""
        x = torch.relu(self.layers[0](observations))
        x = self.layers[2](torch.relu(self.layers[1](x)))
        return x[:, 0], x[:, 1:]

    def action_values(self, observations: torch.Tensor) -> torch.Tensor:
        """Shape (n, actions)."""
        value, numbers = self(observations)
        return value[:, None] + numbers - numbers.mean(1, keepdim=True)


class SharedNetwork(Network):
    """The same for things that are alike: each is seen with what is common, then with the mean of all of them.

    (M. Zaheer et al., "Deep Sets", 2017.) What the actions of a thing are worth does not depend on its place.
    """

    def __init__(self, layout: Layout, hidden: int, seed: int) -> None:
        first, second = (layout.common + layout.numbers, hidden), (2 * hidden, hidden)
        super().__init__([first, second, (hidden, layout.actions), (hidden, 1 + layout.others)], seed)
        self._layout = layout

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As :meth:`Network.forward`."""
        count, layout = len(observations), self._layout
        common = observations[:, None, : layout.common].expand(-1, layout.things, -1)
        things = observations[:, layout.common :].view(count, layout.things, layout.numbers)
        x = torch.relu(self.layers[0](torch.cat([common, things], 2)))
        mean = x.mean(1, keepdim=True).expand(-1, layout.things, -1)
        x = torch.relu(self.layers[1](torch.cat([x, mean], 2)))
        whole = self.layers[3](x.mean(1))
        return whole[:, 0], torch.cat([self.layers[2](x).view(count, -1), whole[:, 1:]], 1)


class ScoringNetwork(Network):
    """The number of an action is the score of one thing, by its own numbers; the value is that of their mean.

    A thing whose numbers are all 0 is not there. The scores need no other layers than the first three, so these are a
    model for :mod:`schedtel.models.network`.
    """

    def __init__(self, layout: Layout, hidden: int, seed: int) -> None:
        super().__init__([(layout.numbers, hidden), (hidden, hidden), (hidden, 1), (hidden, 1)], seed)
        self._layout, self.scoring_layers = layout, tuple(self.layers)[:3]

    def forward(self, observations: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """As :meth:`Network.forward`."""
        things = observations.view(len(observations), self._layout.things, self._layout.numbers)
        there = (things != 0).any(2)
        x = torch.relu(self.layers[1](torch.relu(self.layers[0](things[there]))))
        scores = things.new_zeros(there.shape).masked_scatter(there, self.layers[2](x)[:, 0])
        sums = things.new_zeros(len(things), x.shape[1]).index_add(0, there.nonzero()[:, 0], x)
        return self.layers[3](sums / there.sum(1, keepdim=True).clamp(min=1))[:, 0], scores


def network_of(numbers: int, actions: int, hidden: int, seed: int, layout: Layout | None = None) -> Network:
    """A network for observations of so many numbers, or of a layout."""
    if layout:
        return (ScoringNetwork if layout.alone else SharedNetwork)(layout, hidden, seed)
    return Network([(numbers, hidden), (hidden, hidden), (hidden, actions + 1)], seed)


def arrays_of(name: str, parts: Mapping[str, torch.Tensor]) -> dict[str, NDArray[np.generic]]:
    """Tensors by their name → arrays by a longer name."""
    return {f"{name}.{part}": tensor.detach().numpy().copy() for part, tensor in parts.items()}


def fill(name: str, parts: Mapping[str, torch.Tensor], arrays: Arrays) -> None:
    """Put arrays into the tensors that :func:`arrays_of` took them from.

    Raises :class:`ValueError` where one is missing, of another shape or type, or not finite.
    """
    with torch.no_grad():
        for part, tensor in parts.items():
            found = arrays.get(f"{name}.{part}")
            if found is None or found.shape != tuple(tensor.shape) or found.dtype != tensor.numpy().dtype:
                raise ValueError(f"{name}.{part}")
            if not np.isfinite(found).all():
                raise ValueError(f"{name}.{part}")
            tensor.copy_(torch.from_numpy(found.copy()))


def weights_of(network: Network) -> dict[str, NDArray[np.float32]]:
    """Its weights by their names: not copies, so they change as it learns."""
    return {name: weights.detach().numpy() for name, weights in network.named_parameters()}


@kept
def descend(
    weights: NDArray[np.float32],
    slopes: NDArray[np.float32],
    mean: NDArray[np.float32],
    squares: NDArray[np.float32],
    rate: np.float32,
    root: np.float32,
) -> None:
    """Adam (D. P. Kingma, J. L. Ba, 2015). The last two are corrected for means that began at 0."""
    new, new_square, tiny = np.float32(1 - _KEPT), np.float32(1 - _SQUARES_KEPT), np.float32(_TINY)
    for i in range(weights.shape[0]):
        mean[i] += new * (slopes[i] - mean[i])
        squares[i] += new_square * (slopes[i] * slopes[i] - squares[i])
        weights[i] -= rate * mean[i] / (np.sqrt(squares[i]) / root + tiny)


def step_of_adam(
    weights: NDArray[np.float32],
    slopes: NDArray[np.float32],
    mean: NDArray[np.float32],
    squares: NDArray[np.float32],
    rate: float,
    count: float,
) -> None:
    """Take step number ``count`` against slopes, as they are: what torch does, without what it does around that, which
    takes longer than the step.
    """
    rate, root = rate / (1 - _KEPT**count), (1 - _SQUARES_KEPT**count) ** 0.5
    descend(weights, slopes, mean, squares, np.float32(rate), np.float32(root))


class Optimiser:
    """Adam over a network's weights, whose moments can be saved."""

    def __init__(self, network: Network, rate: float, largest: float) -> None:
        self._network, self._rate, self._largest = network, rate, largest
        betas = (_KEPT, _SQUARES_KEPT)
        self._adam = torch.optim.Adam(network.parameters(), lr=rate, betas=betas, eps=_TINY, fused=True)
        for weights in network.parameters():  # made at the first step otherwise, and so not there to be filled
            self._adam.state[weights] = {
                "step": torch.zeros(()),
                "exp_avg": torch.zeros_like(weights),
                "exp_avg_sq": torch.zeros_like(weights),
            }
        self._arrays = {
            name: [each.detach().numpy().reshape(-1) for each in (weights, *self._adam.state[weights].values())]
            for name, weights in network.named_parameters()
        }

    def descend(self, loss: torch.Tensor, share: float = 1.0) -> None:
        """Take a step against the slope of a loss; a slope that is too large is shortened.

        :param share: of the rate, for this step.
        """
        self._adam.param_groups[0]["lr"] = self._rate * share
        self._adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._network.parameters(), self._largest, foreach=True)
        self._adam.step()

    def follow(self, slopes: Mapping[str, NDArray[np.float32]]) -> None:
        """Take a step against slopes, by each array of the weights."""
        for name, (weights, steps, mean, squares) in self._arrays.items():
            steps[0] += 1
            step_of_adam(weights, slopes[name].reshape(-1), mean, squares, self._rate, float(steps[0]))

    def tensors(self) -> dict[str, torch.Tensor]:
        """The moments and the number of steps, by weights."""
        return {
            f"{name}.{part}": tensor
            for name, weights in self._network.named_parameters()
            for part, tensor in self._adam.state[weights].items()
        }
