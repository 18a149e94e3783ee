"""Formats of tracepoints in tracefs in; the bits of ``prev_state`` that say runnable and dead, out.

The value for "preempted" is not a constant of the kernel's interface: it is one above the states that can be reported,
and they have changed (include/linux/sched.h: TASK_REPORT_MAX). But the tracepoint's own format says which bit it prints
as ``+``, and which as ``X`` and ``Z``, so the kernel's version does not matter.
"""

import re
from pathlib import Path

from schedtel.errors import CapabilityError

_TRACEFS = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
#: Program → the tracepoint that it is attached to.
TRACEPOINTS = {
    "on_exit": "sched:sched_process_exit",
    "on_newtask": "task:task_newtask",
    "on_exec": "sched:sched_process_exec",
    "on_arrival": "sched:sched_wakeup_new",
    "on_wakeup": "sched:sched_wakeup",
    "on_switch": "sched:sched_switch",
}
#: The same of the programs that follow CPU hotplug; left out where the kernel has none.
HOTPLUG = {"on_cpu_step": "cpuhp:cpuhp_enter", "on_cpu_step_done": "cpuhp:cpuhp_exit"}
_STEPS = Path("/sys/devices/system/cpu/hotplug/states")
#: Constant of ``bpf/bcc/bcc.c`` → the kernel's name of the step (cpuhp_hp_states[], kernel/cpu.c).
_STEP_NAMES = {"CPU_UP_STEP": "cpu:bringup", "CPU_DOWN_STEP": "cpu:teardown"}
_DEAD = "XZ"


def tracefs() -> Path:
    """Where tracefs is mounted. Raises :class:`CapabilityError` if it is not, or may not be read."""
    for root in _TRACEFS:
        try:
            if (root / "events").is_dir():
                return root
        except PermissionError as error:
            raise CapabilityError(
                f"cannot read {root}: {error.strerror} (run as root, or mount tracefs with a mode that lets you)"
            ) from error
    raise CapabilityError(
        f"cannot find tracefs: it is not mounted at {_TRACEFS[0]} (mount -t tracefs tracefs {_TRACEFS[0]})"
    )


def formats() -> dict[str, str]:
    """Program → the format of its tracepoint.

    Raises :class:`CapabilityError` for a tracepoint that is missing or may not be read.
    """
    root = tracefs()
    formats_of, missing = {}, []
    for program, tracepoint in TRACEPOINTS.items():
        try:
            formats_of[program] = (root / "events" / tracepoint.replace(":", "/") / "format").read_text()
        except FileNotFoundError:
            missing.append(tracepoint)
        except PermissionError as error:
            raise CapabilityError(f"cannot read the format of {tracepoint}: {error.strerror} (run as root)") from error
    if missing:
        raise CapabilityError(f"cannot find tracepoints {', '.join(missing)} in {root} (use another kernel)")
    return formats_of


def hotplug_steps() -> dict[str, int]:
    """The kernel's numbers of the steps at which a CPU comes and has gone; empty where it does not tell of them."""
    root = tracefs()
    try:
        lines = _STEPS.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    numbers = {name.strip(): int(number) for number, _, name in (line.partition(":") for line in lines)}
    told = all((root / "events" / tracepoint.replace(":", "/")).is_dir() for tracepoint in HOTPLUG.values())
    if not told or not numbers.keys() >= set(_STEP_NAMES.values()):
        return {}
    return {constant: numbers[name] for constant, name in _STEP_NAMES.items()}


def runnable_states(switch_format: str) -> int:
    """Bits of ``prev_state`` that mean "preempted while runnable", from the format of sched_switch.

    Raises :class:`CapabilityError` if the format does not say.
    """
    printed_as_plus = re.search(r"REC->prev_state & (\([^?{}\"]*\)) \? \"\+\"", switch_format)
    if printed_as_plus is None:
        raise CapabilityError("cannot tell a preempted task from a sleeping one: sched_switch prints no + (use core)")
    return _value(printed_as_plus[1])


def dead_states(switch_format: str) -> int:
    """Bits of ``prev_state`` that mean that the task will never run again, from the format of sched_switch.

    Raises :class:`CapabilityError` if the format does not say.
    """
    named = re.findall(r"\{ (0x[0-9a-fA-F]+|\d+), \"([A-Za-z])\" \}", switch_format)
    bits = sum(int(value, 0) for value, name in named if name in _DEAD)
    if not bits:
        raise CapabilityError("cannot tell a dead task from a sleeping one: sched_switch prints no X or Z (use core)")
    return bits


def _value(expression: str) -> int:
    """The value of a constant expression of C that has only numbers, ``| + - <<`` and parentheses."""
    if not re.fullmatch(r"[0-9a-fA-FxX|+\-<() ]+", expression):
        raise CapabilityError(f"cannot understand {expression!r} in the format of sched_switch (use core)")
    return int(eval(expression, {"__builtins__": {}}))  # numbers and operators, checked above
