"""Load generators of others: an entry of a workload in; the command line that runs it, its seed fixed, out."""

import shlex
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from schedtel.durations import NS_PER_S
from schedtel.errors import CapabilityError, UsageError
from schedtel.workloads.fields import Fields

#: Words before the arguments, made of the seed and the length of the run in ns.
_Words = Callable[[int, int], list[str]]


@dataclass(frozen=True)
class Tool:
    """A program of others.

    :param program: its name on PATH.
    :param advice: how to have it.
    :param words: what precedes the arguments.
    :param tasks: what the command names of its tasks begin with. Where the program gives its workers a name of their
        own, the task that only waits for them is not one of them.
    """

    program: str
    advice: str
    words: _Words
    tasks: str


def _stress_ng(seed: int, duration_ns: int) -> list[str]:
    # Its seed is a number of 64 bits (stress-ng --seed); --timeout takes whole seconds, and the run ends it on time.
    return ["--seed", str(seed), "--timeout", f"{-(-duration_ns // NS_PER_S) + 1}s"]


def _nothing(_seed: int, _duration_ns: int) -> list[str]:
    return []


#: Of these, stress-ng alone has an option for a seed.
TOOLS = {
    "stress-ng": Tool("stress-ng", "apt install stress-ng", _stress_ng, "stress-ng-"),
    "rt-app": Tool("rt-app", "apt install rt-app", _nothing, "rt-app"),
    "perf bench sched": Tool(
        "perf", "apt install linux-perf", lambda _seed, _duration_ns: ["bench", "sched"], "sched-"
    ),
    "hackbench": Tool("hackbench", "apt install rt-tests", _nothing, "hackbench"),
    "schbench": Tool(
        "schbench",
        "no package of Debian; build mason/schbench of git.kernel.org",
        lambda _seed, duration_ns: ["-r", str(-(-duration_ns // NS_PER_S))],
        "schbench-",
    ),
}


@dataclass(frozen=True)
class External:
    """A program of others that runs beside the classes, from the start to the end of the run.

    :param tasks: what the command names of its tasks begin with; empty: as the tool names them.
    """

    name: str
    tool: str
    arguments: tuple[str, ...] = ()
    tasks: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def is_task(self, comm: str) -> bool:
        """Whether a command name is that of one of its tasks."""
        return comm.startswith(self.tasks or TOOLS[self.tool].tasks)

    def command(self, seed: int, duration_ns: int) -> list[str]:
        """The command line. Raises :class:`CapabilityError` where the program is not installed."""
        tool = TOOLS[self.tool]
        path = shutil.which(tool.program)
        if path is None:
            raise CapabilityError(f"cannot run external.{self.name}: {tool.program} is not on PATH ({tool.advice})")
        return [path, *tool.words(seed, duration_ns), *self.arguments]


def installed() -> dict[str, str | None]:
    """Each tool's name → the path of its program, or None where it is not installed."""
    return {name: shutil.which(tool.program) for name, tool in TOOLS.items()}


def read_external(name: str, raw: object) -> External:
    """The entry ``[external.NAME]``. Raises :class:`UsageError` for an unknown tool or arguments that are no texts."""
    fields = Fields(raw, f"external.{name}"[:60])
    found = External(name, fields.choice("tool", TOOLS), _arguments(fields), fields.text("tasks", ""))
    fields.end()
    return found


def _arguments(fields: Fields) -> tuple[str, ...]:
    raw = fields.take("arguments", "")
    if isinstance(raw, str):
        try:
            raw = shlex.split(raw)
        except ValueError as error:
            raise UsageError(f"cannot use {fields.where}: arguments: {error} (close the quotation)") from None
    if not isinstance(raw, list) or not all(isinstance(word, str) and "\0" not in word for word in raw):
        raise fields.refuse("arguments", raw, "a text, or a list of texts")
    return tuple(raw)
