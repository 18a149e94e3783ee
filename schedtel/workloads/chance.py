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

    def uniform(self, count: int) -> NDArray[np.float64]:
        """``count`` numbers between 0 and 1, neither included."""
        return ((self._bits.random_raw(count) >> np.uint64(11)) + 0.5) * _STEP

    def exponential(self, count: int) -> NDArray[np.float64]:
        """``count`` numbers of mean 1."""
        return -np.log(self.uniform(count))

    def normal(self, count: int) -> NDArray[np.float64]:
        """``count`` standard normal numbers (Box and Muller, 1958)."""
        radius, angle = np.sqrt(2 * self.exponential(count)), 2 * np.pi * self.uniform(count)
        return radius * np.cos(angle)
