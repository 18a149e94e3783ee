"""The files of a group in, cgroup or autogroup; the files to write for a setting, and to what, out."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from schedtel.errors import CapabilityError, UsageError
from schedtel.host.cgroups import cgroup_in, cgroup_root, cpu_hierarchy, directories
from schedtel.schedulers.settings import Setting

#: sched_prio_to_weight[0] is 1024 in v1 and 100 in v2: cgroup_weight of include/linux/cgroup.h.

_SHARES_OF_DEFAULT, _WEIGHT_OF_DEFAULT = 1024, 100
_AUTOGROUP = re.compile(rb"/(autogroup-\d+) nice (-?\d+)")


def cgroup_directory(path: str) -> Path:
    """The directory of a cgroup, which is named by its path inside a hierarchy, or by that of its directory.

    Where the cpu controller is still in a hierarchy of version 1, as it is on a hybrid system, that comes first.

    Raises :class:`UsageError` if there is none.
    """
    for root in roots():
        place = cgroup_in(root, path)
        if place is not None:
            return place
    raise UsageError(f"cannot select by cgroup {path!r}: no such cgroup (see `ls {' '.join(map(str, roots()))}`)")


def roots() -> list[Path]:
    """Where cgroups are mounted: the hierarchy with the cpu controller, and that of version 2, if it is another.

    Raises :class:`CapabilityError` if neither is.
    """
    first = cpu_hierarchy()
    found = [Path(first)] if first else []
    try:
        return list(dict.fromkeys([*found, cgroup_root()]))
    except CapabilityError:
        if found:
            return found
        raise


def unit_directories(unit: str) -> list[Path]:
    """The cgroups of a systemd unit, ``x`` being ``x.service``: one in each hierarchy that has it.

    Raises :class:`UsageError` if none has.
    """
    name = unit if "." in unit else f"{unit}.service"
    found = [
        Path(directory.path)
        for root in roots()
        for directory in directories(str(root))
        if directory.path is not None and os.path.basename(directory.path) == name
    ]
    if not found:
        raise UsageError(f"cannot select by unit {unit!r}: no cgroup has this name (see `systemctl status {name}`)")
    return found


def thread_ids_in(cgroup: Path) -> Iterator[int]:
    """The tids of the threads in a cgroup and in those below it."""
    for directory in directories(str(cgroup)):
        for name in ("cgroup.threads", "tasks"):  # of version 2 and of version 1
            try:
                with open(f"{directory.path}/{name}", encoding="ascii") as file:
                    yield from map(int, file.read().split())
                    break
            except OSError:  # the other version, or removed meanwhile
                continue


class Knob(NamedTuple):
    """A file of a cgroup.

    :param value: what is written there, and what the kernel shows afterwards.
    :param is_written: whether it is; else it is what the kernel sets by itself when what follows is undone.
    """

    path: str
    value: str
    is_written: bool = True


def files_for(setting: Setting, cgroup: Path) -> list[Knob]:
    """The files of a cgroup that a setting concerns, in the order in which they are written.

    Raises :class:`CapabilityError` if the cgroup has no such file, or this user may not write it.
    """
    is_v2 = (cgroup / "cpu.weight").exists() or (cgroup / "cpu.max").exists()
    wanted = (_in_v2 if is_v2 else _in_v1)(setting)
    for name, *_ in wanted:
        if not (cgroup / name).exists():
            raise CapabilityError(
                f"cannot set {setting} of {cgroup}: it has no {name} (it is a root, or its parent's "
                "cgroup.subtree_control lacks the cpu controller)"
            )
        if not os.access(cgroup / name, os.W_OK):
            raise CapabilityError(f"cannot set {setting} of {cgroup}: this user may not write {name} (run as root)")
    return [Knob(str(cgroup / name), value, is_written) for name, value, is_written in wanted]


def _in_v2(setting: Setting) -> list[Knob]:
    if setting.word == "weight":
        return [Knob("cpu.weight", str(setting.values[0]))]
    if setting.word == "max":
        return [Knob("cpu.max", "{} {}".format(*setting.values))]
    return _idle(Knob("cpu.weight", str(_WEIGHT_OF_DEFAULT), is_written=False))


def _in_v1(setting: Setting) -> list[Knob]:
    if setting.word == "weight":
        return [Knob("cpu.shares", str(max(2, round(setting.values[0] * _SHARES_OF_DEFAULT / _WEIGHT_OF_DEFAULT))))]
    if setting.word == "max":
        quota_us, period_us = setting.values
        return [Knob("cpu.cfs_period_us", str(period_us)), Knob("cpu.cfs_quota_us", str(quota_us))]
    return _idle(Knob("cpu.shares", str(_SHARES_OF_DEFAULT), is_written=False))


def _idle(weight: Knob) -> list[Knob]:
    """A cgroup that ceases to be idle has the default weight, and not its own (sched_group_set_idle())."""
    return [weight, Knob("cpu.idle", "1")]


def autogroup_of(pid: int) -> tuple[str, int] | None:
    """The name and the nice value of a process's autogroup; None if it has ended, or the kernel has none."""
    try:
        with open(f"/proc/{pid}/autogroup", "rb") as file:
            found = _AUTOGROUP.match(file.read())
    except OSError:
        return None
    return (found[1].decode(), int(found[2])) if found else None


def require_autogroups() -> None:
    """Raise :class:`CapabilityError` where autogroups have no effect: not built in, or switched off."""
    switch = Path("/proc/sys/kernel/sched_autogroup_enabled")
    if not switch.exists():
        raise CapabilityError(
            "cannot set autogroups: this kernel has none (CONFIG_SCHED_AUTOGROUP; use nice, or cgroups)"
        )
    if switch.read_text().strip() == "0":
        raise CapabilityError("cannot set autogroups: they are off (sysctl -w kernel.sched_autogroup_enabled=1)")
