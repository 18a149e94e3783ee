"""Windows of a machine that is sampled, with the kernel's own counts around and within them."""

import time
from contextlib import contextmanager

from kernel_books import Books
from observe import collecting
from waiting import PATIENCE_S


class Around:
    """Windows of a machine that is sampled, and the kernel's own counts around and within them."""

    def __init__(self, collected):
        self.collected, self.inner, self.outer = collected, {}, {}

    @property
    def vectors(self):
        return [window.features() for window in self.collected.windows]

    def total(self, name):
        return sum(vector[name] or 0 for vector in self.vectors)

    def of_time(self, average):
        """An average number of tasks, as task-nanoseconds over all windows."""
        return sum(vector[average] * vector["window_ns"] for vector in self.vectors)

    def latest(self, name):
        return self.vectors[-1][name]


@contextmanager
def sampled(window="200ms", **options):
    """Collect while the body runs. Yields an :class:`Around`, complete after the body."""
    outer = Books.now()
    with collecting(window, machine=True, **options) as collected:
        around, inner = Around(collected), Books.now()
        around.inner_so_far = lambda: Books.now().since(inner)
        collected.await_windows(1)
        yield around
        around.inner = Books.now().since(inner)
    around.outer = Books.now().since(outer)


def assert_between(around, name, apart=0):
    assert around.inner[name] - apart <= around.total(name) <= around.outer[name] + apart, name


def until(around, name, least, act):
    """Act until the kernel itself has counted so much."""
    end = time.monotonic() + PATIENCE_S
    while around.inner_so_far()[name] < least and time.monotonic() < end:
        act()
