"""The service org.scx.Loader in, and what it is to run; what it runs, and ran before, out.

scx_loader (https://github.com/sched-ext/scx-loader) has root attach a sched_ext scheduler for whoever polkit allows to
ask. Its calls return before anything has happened, and it says afterwards what it was asked for. So its word is taken
for what is to be put back, and the kernel's for what runs.
"""

import json
from typing import Any

from schedtel.errors import CapabilityError, UsageError
from schedtel.schedulers.names import MODES, Arm
from schedtel.schedulers.system_bus import Bus, NoAnswerError, connected
from schedtel.suggestions import did_you_mean

NAME = "org.scx.Loader"
_SERVICE = (NAME, "/org/scx/Loader", NAME)
_SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
_UNIT = "org.freedesktop.systemd1.Unit"
#: What it says while it runs nothing.
_NOTHING = "unknown"
_PROGRAM = "scx_"
#: The unit that attaches a scheduler by itself, and starts it anew where another has taken its place.
_RIVAL = "scx.service"
_HAS_NOT = ("org.freedesktop.DBus.Error.UnknownProperty", "org.freedesktop.DBus.Error.InvalidArgs")
_ABSENT = ("org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner")


def check(arm: Arm) -> None:
    """Refuse an arm that the service could not run, before anything is changed.

    Raises :class:`CapabilityError` without the library, the bus or the service, or beside ``scx.service``, and
    :class:`UsageError` for a scheduler that the service does not have.
    """
    with connected() as bus:
        supported = _supported(bus)
        if f"{_PROGRAM}{arm.scheduler}" not in supported:
            known = [name.removeprefix(_PROGRAM) for name in supported]
            raise UsageError(f"cannot use {arm}: {NAME} does not have it: {did_you_mean(arm.scheduler, known)}")
        if _is_active(bus, _RIVAL):
            raise CapabilityError(
                f"cannot use {arm}: {_RIVAL} is active, which attaches a scheduler itself (systemctl stop {_RIVAL})"
            )


def read_running() -> str | None:
    """What the service runs, as a text for :func:`run`; None if it is not there."""
    with connected() as bus:
        if not bus.has(NAME):
            return None
        name = str(bus.property_of(_SERVICE, "CurrentScheduler"))
        if name == _NOTHING:
            return text_of(None)
        return json.dumps([name, int(bus.property_of(_SERVICE, "SchedulerMode")), _arguments(bus)])


def text_of(arm: Arm | None) -> str:
    """An arm as the text that :func:`read_running` returns while the service runs it; None: nothing."""
    return json.dumps([f"{_PROGRAM}{arm.scheduler}", MODES[arm.mode], []] if arm else [_NOTHING, 0, []])


def ops_of(text: str) -> str | None:
    """The name that the kernel shows while the service runs this; None for nothing."""
    name = str(json.loads(text)[0])
    return None if name == _NOTHING else name.removeprefix(_PROGRAM)


def run(text: str) -> None:
    """Have the service run what a text of :func:`read_running` says. It is asked; what came of it, the kernel says.

    Raises :class:`CollectorError` if it refuses, as for a user whom polkit does not allow to ask.
    """
    name, mode, arguments = json.loads(text)
    with connected() as bus:
        if name == _NOTHING:
            bus.call(_SERVICE, "StopScheduler")
        elif arguments:
            bus.call(_SERVICE, "SwitchSchedulerWithArgs", "sas", name, arguments)
        elif bus.property_of(_SERVICE, "CurrentScheduler") == _NOTHING:
            bus.call(_SERVICE, "StartScheduler", "su", name, mode)
        else:
            bus.call(_SERVICE, "SwitchScheduler", "su", name, mode)


def _supported(bus: Bus) -> list[str]:
    """The programs that it can run. The bus starts the service for this where it can."""
    try:
        found: Any = bus.property_of(_SERVICE, "SupportedSchedulers")
    except NoAnswerError as error:
        raise CapabilityError(
            f"cannot use loader: arms: the system's D-Bus has no {NAME}: {error.name} (install scx_loader, or use scx:)"
        ) from error
    return [str(name) for name in found]


def _arguments(bus: Bus) -> list[str]:
    """The scheduler's own arguments; none where the service is older than the property."""
    try:
        return [str(word) for word in bus.property_of(_SERVICE, "CurrentSchedulerArgs")]
    except NoAnswerError as error:
        if error.name not in _HAS_NOT:
            raise
        return []


def _is_active(bus: Bus, unit: str) -> bool:
    """Whether systemd runs a unit, or is about to. It does not where it is not there, or does not know the unit."""
    try:
        if not bus.has(_SYSTEMD[0]):
            return False
        path = bus.call(_SYSTEMD, "GetUnit", "s", unit)
        return bus.property_of((_SYSTEMD[0], path, _UNIT), "ActiveState") in ("active", "activating", "reloading")
    except NoAnswerError as error:
        if error.name.endswith(".NoSuchUnit") or error.name in _ABSENT:
            return False
        raise
