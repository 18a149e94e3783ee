"""An arm ``scx:NAME@CGROUP`` in; the loader of a scheduler for that cgroup, and of one above it, or why not, out.

The kernel has a scheduler for a cgroup below another one only, which lends it CPUs. So such an arm attaches two:
``lender`` for the machine, and ``NAME`` for the cgroup and those below it (kernel/sched/ext.c, since Linux 7.1; the
form of objects that both need here, ``struct sched_ext_ops_cid``, since 7.2).
"""

from dataclasses import replace
from pathlib import Path

from schedtel.errors import CapabilityError, UsageError
from schedtel.host.cgroups import CgroupPaths, cgroup_in, cgroup_root
from schedtel.host.sched_ext import SYSFS, State, Sub, has_sub_schedulers
from schedtel.schedulers import sched_ext
from schedtel.schedulers.names import Arm
from schedtel.schedulers.sched_ext import OBJECTS, STALL_TIMEOUT_MS, Loader, own_loader
from schedtel.suggestions import did_you_mean

#: The scheduler of the machine while a cgroup has one of its own.
LENDER = "lender"
SUFFIX = ".sub.o"


def check(sysfs: Path = SYSFS) -> None:
    """Refuse a kernel or a user that cannot have such an arm. Raises :class:`CapabilityError`."""
    if not has_sub_schedulers():
        raise CapabilityError(
            "cannot attach a scheduler for one cgroup: this kernel has no sub-schedulers of sched_ext "
            "(they need Linux 7.2 or later with CONFIG_EXT_SUB_SCHED)"
        )
    sched_ext.check(sysfs)


def installed() -> list[str]:
    """Names of the schedulers that a cgroup can have."""
    return sorted({path.name.removesuffix(SUFFIX) for path in OBJECTS.glob(f"*{SUFFIX}")} - {LENDER})


def find_loader(arm: Arm, stall_timeout_ms: int = STALL_TIMEOUT_MS) -> Loader:
    """The loader of both schedulers. Raises :class:`UsageError` if the cgroup or the scheduler is not there."""
    identity = _cgroup_id(arm)
    known = installed()
    if arm.scheduler not in known:
        hint = did_you_mean(arm.scheduler, known) if known else f"none is in {OBJECTS}"
        raise UsageError(f"cannot use {arm}: no {arm.scheduler}{SUFFIX} is in {OBJECTS} ({hint})")
    below = ("--below", str(OBJECTS / f"{arm.scheduler}{SUFFIX}"), "--cgroup", str(identity))
    loader = own_loader(LENDER, OBJECTS / f"{LENDER}{SUFFIX}", stall_timeout_ms)
    return replace(loader, command=loader.command + below, sub=Sub(identity, arm.scheduler))


def by_cgroup(now: State | None) -> dict[str, str]:
    """The schedulers that cgroups have of their own, by the path of the cgroup, or ``id:`` and its id."""
    if now is None or not now.subs:
        return {}
    paths = CgroupPaths()
    return {paths.path_of(sub.cgroup_id) or f"id:{sub.cgroup_id}": sub.ops for sub in now.subs}


def _cgroup_id(arm: Arm) -> int:
    root = cgroup_root()
    place = cgroup_in(root, arm.cgroup)
    if place is None:
        raise UsageError(f"cannot use {arm}: no such cgroup (see `ls {root}`)")
    if place == root:
        raise UsageError(f"cannot use {arm}: it is the cgroup of all (write scx:{arm.scheduler})")
    return place.stat().st_ino
