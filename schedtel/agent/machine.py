"""What an agent acts on: one interface, whichever machine it is; and this machine behind it.

Another machine is a target of :mod:`schedtel.target`, whose switching is done there by this module, too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Protocol

from schedtel.agent.alone import only_agent
from schedtel.errors import SchedtelError, StreamError
from schedtel.schedulers.names import Selector
from schedtel.schedulers.selection import Changing
from schedtel.schedulers.switching import Schedulers
from schedtel.schedulers.threads import Seen

#: Name of a class → its threads.
Threads = Mapping[str, Sequence[Seen]]


class Machine(Protocol):
    """What the loop of an agent acts on.

    Each method raises :class:`SchedtelError` for what the machine refuses, and :class:`StreamError` once the machine
    itself is lost; by then it puts everything back by itself.
    """

    def tell(self, classes: Threads, /) -> None:
        """Say which threads each of some classes has from now on: for the next switch and the next rescan."""

    def switch(self, arm: str, /) -> int:
        """Put the last arm's changes back, and bring another one into effect. Returns how many things it changed."""
        ...

    def restore(self) -> None:
        """Put everything back."""

    def rescan(self) -> int:
        """Bring the arm into effect for threads that were born or classed since. Returns how many were changed."""
        ...

    def problem(self) -> str | None:
        """Why the arm is no longer in effect; None if it is."""
        ...

    def in_effect(self) -> str:
        """The scheduler that the kernel of that machine runs now: ``eevdf``, or the name of a sched_ext scheduler."""
        ...


def refusal(act: Callable[[], object]) -> str:
    """Have a machine act; returns what it refused, or else nothing. Raises :class:`StreamError` once it is lost."""
    try:
        act()
    except StreamError:
        raise
    except SchedtelError as error:
        return str(error)
    return ""


class ThisMachine(Schedulers):
    """This machine.

    :param names: of the classes that arms may name.
    :param scope: the threads that arms are for; None: all.
    :param options: as of :class:`Schedulers`.
    """

    def __init__(self, names: Iterable[str], scope: Selector | str | None = None, **options: Any) -> None:
        nobody: Sequence[Seen] = ()
        self._threads = dict.fromkeys(names, nobody)
        classes = {name: Changing(partial(self._threads.__getitem__, name)) for name in self._threads}
        super().__init__(scope, classes=classes, **options)

    def tell(self, classes: Threads) -> None:
        self._threads |= classes


@contextmanager
def this_machine(
    arms: Iterable[str], names: Iterable[str], scope: Selector | None, *, acts: bool, spares: Collection[int] = ()
) -> Iterator[ThisMachine]:
    """This machine, which can be switched to each of some arms; leaving the context puts everything back.

    :param acts: that it will be switched, which one agent at a time may do.
    :param spares: processes that no arm is for.

    Raises :class:`UsageError` while another agent acts, and as :meth:`Schedulers.check` for each arm.
    """
    with only_agent() if acts else nullcontext(), ThisMachine(names, scope, spares=spares) as machine:
        for arm in arms:
            machine.check(arm)
        yield machine
