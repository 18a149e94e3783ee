"""A choice of an arm, and the windows that follow, in; when it has run long enough, and which windows count, out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from schedtel.agent.context import Context
from schedtel.agent.policies.protocol import Decision
from schedtel.agent.reward import RewardSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schedtel.windows.window import Window


@dataclass(frozen=True)
class Choice:
    """An arm for the next windows, and why.

    :param decision: of the policy, with the chances; None where it had no say.
    :param guard: why it had none; empty where it decided.
    :param why: in words.
    :param barred: arms that could not be taken, and why.
    """

    arm: str
    why: str
    decision: Decision | None = None
    guard: str = ""
    barred: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Turn:
    """A choice in effect.

    :param arm: the arm that runs, which is EEVDF where the choice is only on paper.
    :param context: by which it was chosen; None for what ran before the first choice.
    :param swapped: another arm ran before.
    """

    choice: Choice
    arm: str
    context: Context | None = None
    swapped: bool = False
    gap_ns: int | None = None
    windows: list[Window] = field(default_factory=list)

    def is_over(self, reward: RewardSettings) -> bool:
        """Whether it has run for as long as any: with a swap for the dwell, else without the windows to settle."""
        return len(self.windows) >= reward.dwell - (0 if self.swapped else reward.settle)

    def counted(self, reward: RewardSettings) -> Sequence[Window]:
        """The windows that count: those after the settled ones, without any in which schedulers have changed."""
        windows = reward.counted(self.windows, swapped=self.swapped) or self.windows
        return [window for window in windows if "+" not in str(window.summary["scheduler"][0].as_py() or "")]
