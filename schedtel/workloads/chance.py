"""A seed and a name in; uniform and normal numbers that are the same with every version of numpy, out.

numpy promises that ``random_raw`` of a bit generator never changes (NEP 19), and does not promise it of
``Generator.exponential`` and its like. So everything is drawn by inversion from these bits.
"""

import numpy as np
from numpy.typing import NDArray

#: The step between two doubles in [1, 2), halved: 53 bits of the generator become a number in (0, 1).
_STEP = 2.0**-53


class Chance:
    """One stream of numbers. Streams of other names or purposes are independent of it, so adding a class changes no
    other.
    """

    def __init__(self, seed: int, name: str, purpose: str) -> None:
        words = [seed, *name.encode(), 256, *purpose.encode()]  # 256 is no byte, so no two names run together
        self._bits = np.random.PCG64(np.random.SeedSequence(words))
        self._terms = (seed, name, purpose)

    def beside(self, purpose: str) -> "Chance":
        """A stream for another purpose of the same name, where one is drawn from in turns that depend on the other."""
        seed, name, own = self._terms
        return Chance(seed, name, f"{own}/{purpose}")

    def uniform(self, count: int) -> NDArray[np.float64]:
        """``count`` numbers between 0 and 1, neither included."""
        drawn: NDArray[np.uint64] = self._bits.random_raw(count)
        return ((drawn >> np.uint64(11)).astype(np.float64) + 0.5) * _STEP

    def exponential(self, count: int) -> NDArray[np.float64]:
        """``count`` numbers of mean 1."""
        return -np.log(self.uniform(count))

    def normal(self, count: int) -> NDArray[np.float64]:
        """``count`` standard normal numbers (Box and Muller, 1958)."""
        pairs = self.uniform(2 * count).reshape(count, 2)  # one after the other, so that more of them begin as fewer do
        return np.sqrt(-2 * np.log(pairs[:, 0])) * np.cos(2 * np.pi * pairs[:, 1])
