"""How the numbers of an observation, and the actions, are grouped, where they are of things that are alike."""

from typing import NamedTuple


class Layout(NamedTuple):
    """An observation is ``common`` numbers, then as many for each of some things; actions are as many for each of
    these, then ``others``. What is learned of one thing is true of all, so a learner has one network for them.

    :param alone: whether each thing is judged by its own numbers only, as a choice is that says all there is to say of
        itself; then one whose numbers are all 0 is not there. So there may be any number of them.
    """

    common: int
    things: int
    numbers: int
    actions: int
    others: int
    alone: bool = False

    @property
    def observation_size(self) -> int:
        """Numbers of an observation."""
        return self.common + self.things * self.numbers

    @property
    def action_count(self) -> int:
        """How many actions there are."""
        return self.things * self.actions + self.others
