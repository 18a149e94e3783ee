"""This kernel and this user in; the arms that can be switched to here, and what the others lack, out."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from schedtel.errors import SchedtelError
from schedtel.host.sched_ext import read_state
from schedtel.schedulers import sched_ext, sub_schedulers, trial
from schedtel.schedulers.in_kernel import not_built_in
from schedtel.schedulers.sched_ext import Loader
from schedtel.schedulers.settings import EXAMPLES, parse_setting

#: Settings that are made in a cgroup, which has to be named to say whether they work there.
_IN_CGROUPS = ("weight", "max", "group-idle")


@dataclass(frozen=True)
class Choice:
    """An arm, or an example of a kind of arm, and whether it works here. ``why`` says what it lacks; empty if it works.

    ``usable`` is None where that depends on a cgroup that is not named yet, or on a service that is not asked.
    """

    arm: str
    usable: bool | None
    why: str = ""


def choices(loaders: Mapping[str, Loader], sysfs: Path) -> list[Choice]:
    """``eevdf``, an example of each policy setting, each sched_ext scheduler, for a cgroup too, and ``loader:``.

    Nothing but a thread of this process is changed to find out, and no service is asked.
    """
    return [
        Choice("eevdf", usable=True),
        *map(_of_policy, EXAMPLES),
        *_of_sched_ext(loaders, sysfs),
        *_of_sub_schedulers(sysfs),
        _of_service(sysfs),
    ]


def _of_policy(word: str) -> Choice:
    example = "cpus=0" if word == "cpus" else EXAMPLES[word].partition(" or ")[0]
    if word in _IN_CGROUPS:
        return Choice(f"policy:cgroup=/x:{example}", usable=None, why="where the cgroup has the cpu controller")
    try:
        trial.require(parse_setting(example))
    except SchedtelError as error:
        return Choice(f"policy:{example}", usable=False, why=str(error))
    return Choice(f"policy:{example}", usable=True)


def _of_sched_ext(loaders: Mapping[str, Loader], sysfs: Path) -> Iterator[Choice]:
    try:
        sched_ext.check(sysfs)
    except SchedtelError as error:
        yield Choice("scx:NAME", usable=False, why=str(error))
        return
    names = dict.fromkeys([*loaders, *sched_ext.installed()])
    if not names:
        yield Choice("scx:NAME", usable=False, why="no scx_NAME is on the path (install a sched_ext scheduler)")
    for name in names:
        yield _of_loader(name, loaders)


def _of_loader(name: str, loaders: Mapping[str, Loader]) -> Choice:
    with contextlib.suppress(SchedtelError):
        sched_ext.find_loader(name, loaders)
        return Choice(f"scx:{name}", usable=True)
    return Choice(f"scx:{name}", usable=False, why="its program is not on the path")


def _of_sub_schedulers(sysfs: Path) -> Iterator[Choice]:
    try:
        sub_schedulers.check(sysfs)
    except SchedtelError as error:
        yield Choice("scx:NAME@/x", usable=False, why=str(error))
        return
    names = sub_schedulers.installed()
    if not names:
        yield Choice("scx:NAME@/x", usable=False, why=f"no NAME{sub_schedulers.SUFFIX} is in {sched_ext.OBJECTS}")
    for name in names:
        yield Choice(f"scx:{name}@/x", usable=None, why="where there is such a cgroup")


def _of_service(sysfs: Path) -> Choice:
    if read_state(sysfs) is None:
        return Choice("loader:NAME", usable=False, why=str(not_built_in()))
    return Choice("loader:NAME", usable=None, why="where the service org.scx.Loader has it")
