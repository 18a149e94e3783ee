"""A machine and its user in; what an agent can switch between there, and a configuration to begin with, out."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schedtel.agent.classes import CLASSES
from schedtel.agent.cold_start import PRETRAINED, card
from schedtel.errors import SchedtelError
from schedtel.foreign_text import Printable
from schedtel.host.cgroups import cgroup_root
from schedtel.host.sched_ext import has_sub_schedulers, read_state
from schedtel.schedulers import sched_ext
from schedtel.schedulers.choices import Choice
from schedtel.schedulers.names import EEVDF
from schedtel.schedulers.switching import Schedulers

#: Where the system's D-Bus listens, which scx_loader is asked on.
_BUS = Path("/run/dbus/system_bus_socket")


@dataclass(frozen=True)
class Survey:
    """What a machine has.

    :param facts: what was found, in words, by what was looked for.
    :param arms: those that can be switched to, the kernel's own first.
    :param scoped: those that can be switched to for chosen threads, and not for all of the machine.
    :param refused: those that the shipped policy knows and an agent cannot have → why.
    """

    facts: Mapping[str, str]
    arms: Sequence[str]
    scoped: Sequence[str]
    refused: Mapping[str, str]


def survey() -> Survey:
    """Look at this machine. Nothing but a thread of this process is changed to find out."""
    found = Schedulers().arms()
    installed = [choice.arm for choice in found if choice.usable and choice.arm.startswith("scx:")]
    wanted = dict.fromkeys([str(EEVDF), *card()["arms"], *installed])
    refused = {arm: why for arm in wanted if (why := _why_not(arm, f"pid={os.getpid()}"))}
    usable = [arm for arm in wanted if arm not in refused]
    scoped = [arm for arm in usable if _why_not(arm, None)]
    return Survey(dict(_facts(found)), [arm for arm in usable if arm not in scoped], scoped, refused)


def _why_not(arm: str, scope: str | None) -> str:
    """What an arm lacks here; empty where it can be switched to."""
    try:
        with Schedulers(scope, classes=dict.fromkeys(CLASSES, ())) as schedulers:
            schedulers.check(arm)
    except SchedtelError as error:
        return str(error)
    return ""


def _facts(found: Sequence[Choice]) -> Iterator[tuple[str, str]]:
    state = read_state()
    yield "kernel", platform.release()
    yield "CPUs", str(os.cpu_count())
    yield "sched_ext", "not built in" if state is None else f"{state.state}, {state.ops or 'no scheduler'}"
    yield "sub-schedulers", _sub_schedulers()
    yield "schedulers on the path", ", ".join(f"scx_{name}" for name in sched_ext.installed()) or "none"
    policies = [choice for choice in found if choice.arm.startswith("policy:")]
    for usable, words in ((True, "policies this user may set"), (False, "policies refused")):
        named = [choice.arm.removeprefix("policy:") for choice in policies if choice.usable is usable]
        yield words, ", ".join(named) or "none"
    yield "cgroups", _cgroups()
    yield "loader bus", _loader_bus()


def _sub_schedulers() -> str:
    if not has_sub_schedulers():
        return "not in this kernel: an scx: arm is for the whole machine"
    return "in this kernel: an arm scx:NAME@CGROUP is for one cgroup"


def _cgroups() -> str:
    try:
        root = cgroup_root()
        controllers = (root / "cgroup.controllers").read_text().split()
    except (SchedtelError, OSError):
        return "no cgroup v2 hierarchy"
    return f"v2, {'with' if 'cpu' in controllers else 'without'} the cpu controller"


def _loader_bus() -> str:
    if not _BUS.is_socket():
        return "no system D-Bus"
    return "scx_loader is on the path" if shutil.which("scx_loader") else "system D-Bus, and no scx_loader on the path"


# ---- the configuration ----


def configuration(survey: Survey, target: str | None = None) -> str:
    """A configuration of `schedtel agent run` to begin with, as TOML: its keys are names of options.

    :param target: the URI of the machine, if it is not this one.
    """
    facts = [f"# {name}: {_in_ascii(text)}" for name, text in survey.facts.items()]
    arms = [f"    {_quoted(arm)}," for arm in survey.arms]
    scoped = [f"    # {_quoted(arm)}," for arm in survey.scoped]
    return "\n".join(
        [
            f"# What `schedtel agent init` found on {'this machine' if target is None else 'the target'}:",
            *facts,
            "",
            *([] if target is None else ["# The machine that is watched and acted on.", f"target = {_quoted(target)}"]),
            "# What the agent may choose from; the first one is the kernel's own.",
            "arms = [",
            *arms,
            *(
                ['    # These set all threads, so they need a scope: the key `for`, such as for = "unit=nginx".']
                if scoped
                else []
            ),
            *scoped,
            "]",
            "# The policy that ships with schedtel, and learns on.",
            f'policy = "{PRETRAINED}"',
            "# What an arm is chosen for: L, p99 wakeup wait, mean TAT, throughput or fairness.",
            'objective = "L"',
            'window = "2s"',
            "# What is restored at the end, and whenever something is wrong.",
            f'default = "{EEVDF}"',
            "# The directory that every decision is written to.",
            'log = "agent-log"',
            "",
        ]
    )


def _in_ascii(text: str) -> str:
    return Printable(text).encode("ascii", "backslashreplace").decode()


def _quoted(arm: str) -> str:
    """A basic string of TOML, whose escapes are those of JSON."""
    return json.dumps(arm)
