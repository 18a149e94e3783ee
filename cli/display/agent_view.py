"""What an agent sees, thinks and does in; a page of it for a person out, on a terminal that redraws itself."""

import math
import sys
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live

from schedtel.agent.status import ArmView, Status
from schedtel.cli.display.cells import Grid, Screen, below, line, terminal_console
from schedtel.durations import format_duration
from schedtel.windows.features import FEATURES

_UNITS = {feature.name: feature.unit for feature in FEATURES}
_MODES = {"act": "bold green", "dry-run": "bold yellow", "shadow": "bold yellow", "observe": "bold yellow"}
#: Characters of an interval's picture, and the reward at its ends: an eighth of the cost, and eight times.
_PICTURE, _END = 31, math.log(8)
#: On a terminal narrower than this the pictures are left out, and features are told in two columns.
_WIDE = 112
#: What the columns beside the names of arms take up, without and with the pictures; and bounds for the names.
_FIGURES, _PICTURES = 50, 33
_SHORTEST_ARM, _LONGEST_ARM = 8, 40


def rendered(status: Status, width: int = 140) -> RenderableType:
    """The page of one status, for a terminal of this width."""
    is_wide = width >= _WIDE
    arms, seen = _arms(status, width, is_wide=is_wide), _seen(status, 3 if is_wide else 2)
    return Group(_headline(status), below(_did(status)), below(arms), below(seen), below(_costs(status)))


def _headline(status: Status) -> RenderableType:
    return line(
        ("schedtel agent ", "bold cyan"),
        (status.mode, _MODES.get(status.mode, "bold red")),
        " · the kernel runs ",
        (status.scheduler, "bold green"),
        f" · window {status.window_id}",
    )


def _did(status: Status) -> RenderableType:
    swap = status.chosen if status.running == status.chosen else f"{status.running or '?'} → {status.chosen}"
    pieces: list[RenderableType] = [line((swap, "bold"), f"  {status.words}")]
    if status.guard:
        pieces.append(line(("guard: ", "bold red"), status.guard))
    return Group(*pieces)


def _arms(status: Status, width: int, *, is_wide: bool) -> RenderableType:
    room = width - _FIGURES - (_PICTURES if is_wide else 0)
    table = Grid()
    table.column("")
    table.column("arm", most=max(_SHORTEST_ARM, min(_LONGEST_ARM, room)))
    for header in ("cost", "interval", "chance", "times"):
        table.column(header, right=True)
    if is_wide:
        table.column(_scale())
    for arm in status.arms:
        mark = "▶" if arm.arm == status.chosen else "·" if arm.arm == status.running else ""
        style = "dim" if arm.barred else "bold" if arm.arm == status.chosen else ""
        chance = "-" if arm.propensity is None else f"{100 * arm.propensity:.1f} %"
        figures = (_cost(arm.mean), _between(arm), chance, str(arm.decisions))
        table.row(mark, arm.arm, *figures, *([_picture(arm)] if is_wide else []), style=style)
    barred = [line((f"{arm.arm} may not run: ", "yellow"), arm.barred) for arm in status.arms if arm.barred]
    return Group(table, *barred)


def _cost(reward: float | None) -> str:
    """A reward as the change of cost that it stands for; 0 is a change of +0."""
    return "-" if reward is None else f"{100 * math.expm1(min(50.0, 0.0 - reward)):+.1f} %"


def _between(arm: ArmView) -> str:
    if arm.low is None or arm.high is None or not math.isfinite(arm.high - arm.low):
        return ""
    return f"{_cost(arm.high)} … {_cost(arm.low)}"


def _scale() -> str:
    """The header of the pictures: less cost to the left, as much as the default arm's in the middle."""
    return f"{'-88 %':<{_PICTURE // 2}}0{'+700 %':>{_PICTURE // 2}}"


def _picture(arm: ArmView) -> str:
    """A line from one end of the interval to the other, with the mean on it, and a mark for the default arm's cost."""
    cells = [" "] * _PICTURE
    cells[_PICTURE // 2] = "╎"
    if arm.mean is None:
        return "".join(cells)
    low, high = (arm.mean if end is None else end for end in (arm.low, arm.high))
    first, last = _place(high), _place(low)
    cells[first : last + 1] = "─" * (last + 1 - first)
    cells[_place(arm.mean)] = "●"
    return "".join(cells)


def _place(reward: float) -> int:
    share = (min(_END, max(-_END, -reward)) + _END) / (2 * _END)
    return round(share * (_PICTURE - 1))


def _seen(status: Status, columns: int) -> RenderableType:
    table = Grid(header=False)
    for _ in range(columns):
        table.column(style="dim")
        table.column(right=True)
    cells = [cell for name, value in status.features.items() for cell in (name, _value(name, value))]
    width = 2 * columns
    for first in range(0, len(cells), width):
        row = cells[first : first + width]
        table.row(*row, *[""] * (width - len(row)))
    return table


def _value(name: str, value: float) -> str:
    return format_duration(value) if _UNITS.get(name) == "ns" else f"{value:.4g}"


def _costs(status: Status) -> RenderableType:
    reward = "not known yet" if status.reward is None else f"{status.reward:+.3f} (cost {_cost(status.reward)})"
    gap = "none yet" if status.gap_ns is None else format_duration(status.gap_ns)
    costs = f"agent {100 * status.cpu_share:.2f} % of a CPU · gap of the last swap {gap}"
    explored = f"{100 * status.exploration_share:.1f} % of decisions on arms believed worse"
    return line((f"last reward {reward} · {explored} · {costs}", "dim"))


class AgentView:
    """Draws each status: in place on a terminal, and one page after the other elsewhere. A context manager.

    :param screen: where it is drawn; None: stdout.
    """

    def __init__(self, screen: Screen | None = None) -> None:
        self._console = screen or terminal_console()
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal and sys.stdout.isatty():
            self._live = Live(console=self._console, screen=True, auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        live, self._live = self._live, None
        if live:
            live.stop()

    def update(self, status: Status) -> None:
        """Draw this status."""
        if self._live:
            self._live.update(rendered(status, self._console.width), refresh=True)
        else:
            self._console.print(rendered(status, self._console.width))
