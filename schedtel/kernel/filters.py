"""A user's choice of tasks in; load-time constants of the BPF programs out."""

import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schedtel.durations import parse_duration
from schedtel.errors import UsageError
from schedtel.foreign_text import text_of_path
from schedtel.host import procfs
from schedtel.host.cgroups import SEE_ALL_CGROUPS, cgroup_root, is_whole

_KERNEL_THREADS = {"include": 0, "exclude": 1, "only": 2}
_COMM_LENGTH = 16
#: Condition → the plural of what it names, for messages. A condition may have several values: a task must meet one.
_SEVERAL = {
    "cgroup": "cgroups",
    "pid": "processes",
    "tid": "threads",
    "uid": "user ids",
    "comm": "command names",
}


@dataclass(frozen=True)
class Filter:
    """Which tasks get rows of their own. All conditions must hold; all other tasks are folded into ``other``.

    The first five conditions also take a list or a tuple of values. The kernel side compares with one value, so
    :meth:`settings` refuses several different ones.

    :param cgroup: a cgroup and everything below it: its path inside the cgroup v2 hierarchy, or that of its directory.
    :param pid: a process (tgid) with its threads and all their descendants, those alive at attach included.
    :param tid: one thread.
    :param uid: a user id.
    :param comm: tasks whose command name begins with this (at most 15 bytes).
    :param kernel_threads: ``include``, ``exclude`` or ``only``.
    :param min_activity: least running plus waiting time in a window, such as ``1ms``; None: any activity at all.
    :param all_tasks: give tasks that slept through the window a row as well.
    """

    cgroup: str | Sequence[str] | None = None
    pid: int | Sequence[int] | None = None
    tid: int | Sequence[int] | None = None
    uid: int | Sequence[int] | None = None
    comm: str | Sequence[str] | None = None
    kernel_threads: str = "include"
    min_activity: str | None = None
    all_tasks: bool = False

    def __post_init__(self) -> None:
        """Replace a list of one value by the value, and a longer one by a tuple without duplicates."""
        for name in _SEVERAL:
            given = getattr(self, name)
            if isinstance(given, list | tuple):
                values = tuple(dict.fromkeys(given))
                object.__setattr__(self, name, values[0] if len(values) == 1 else values)

    def describe(self) -> str:
        """The conditions as text, for a header or a file's metadata; empty when there are none."""
        defaults = Filter()
        chosen = {k: v for k, v in vars(self).items() if v != getattr(defaults, k)}
        text = " ".join(f"{k}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for k, v in chosen.items())
        return text_of_path(text)

    @property
    def follows_exec(self) -> bool:
        """Whether an exec may change the filter's answer: by the task's name, user or tid, or as a kernel thread."""
        return any(value is not None for value in (self.comm, self.uid, self.tid)) or self.kernel_threads != "include"

    def settings(self) -> dict[str, object]:
        """Fields of ``struct settings``.

        Raises :class:`UsageError` for a wrong value, and for one that names nothing on this machine.
        """
        if self.all_tasks and self.min_activity is not None:
            raise UsageError(
                "cannot use min_activity with all_tasks: one leaves out what the other asks for (drop one)"
            )
        values: dict[str, object] = {"min_activity_ns": 0 if self.all_tasks else 1}
        if self.min_activity is not None:
            values["min_activity_ns"] = parse_duration(self.min_activity)
        if self.kernel_threads not in _KERNEL_THREADS:
            raise UsageError(f"cannot use kernel_threads {self.kernel_threads!r}: it is include, exclude or only")
        values["kernel_threads"] = _KERNEL_THREADS[self.kernel_threads]
        for name, settings_of in _CONDITIONS.items():
            value = _only_value(name, getattr(self, name))
            values |= {} if value is None else settings_of(value)
        return values


def _only_value(name: str, given: Any) -> Any:
    """The value of a condition. Raises :class:`UsageError` for several values, and for none of them."""
    if not isinstance(given, tuple):
        return given
    several = _SEVERAL[name]
    if not given:
        raise UsageError(f"cannot filter by no {several}: the list is empty (give one value, or None for all tasks)")
    shown = ", ".join(map(str, given))
    raise UsageError(f"cannot filter by several {several}: {shown} (give one; a run has one value for each condition)")


def _uid(uid: int) -> int:
    if not isinstance(uid, int) or not 0 <= uid < 2**32 - 1:
        raise UsageError(f"cannot filter by uid {uid}: it must be from 0 to {2**32 - 2}")
    return uid


def _existing(number: int, kind: str) -> int:
    """The number, if a thread has it; for a process, if its leader has it. Raises :class:`UsageError` for any other."""
    if not procfs.sees_all_pids():
        raise UsageError(
            f"cannot filter by {kind} {number}: in a pid namespace it is another's number (run the container with "
            "--pid=host)"
        )
    try:
        tgid = procfs.status_number(number, b"Tgid")
    except (OSError, ValueError):
        tgid = None
    if tgid is None or (kind == "process" and tgid != number):
        raise UsageError(f"cannot filter by {kind} {number}: no such {kind} (see `ps -eLf`)")
    return number


def _comm_settings(comm: str) -> dict[str, object]:
    prefix = os.fsencode(comm)
    if not prefix or len(prefix) >= _COMM_LENGTH:
        raise UsageError(f"cannot filter by command name {comm!r}: give 1 to 15 bytes (the kernel keeps no more)")
    mask = b"\xff" * len(prefix)
    words = [struct.unpack("=2Q", part.ljust(_COMM_LENGTH, b"\0")) for part in (prefix, mask)]
    return {"by_comm": 1, "comm_value": words[0], "comm_mask": words[1]}


def _cgroup_settings(cgroup: str) -> dict[str, object]:
    root = cgroup_root()
    if not is_whole(root):  # the filter needs the level below the machine's root, which is not known there
        raise UsageError(f"cannot filter by cgroup {cgroup!r}: {root} is only a container's part ({SEE_ALL_CGROUPS})")
    if not cgroup or "\0" in cgroup:
        raise UsageError(f"cannot filter by cgroup {cgroup!r}: this is no path (see `ls {root}`)")
    given = Path(cgroup)
    path = given if given.is_relative_to(root) else root / cgroup.strip("/")
    if not (path / "cgroup.procs").is_file():
        raise UsageError(f"cannot filter by cgroup {cgroup!r}: no such cgroup below {root} (see `ls {root}`)")
    return {"by_cgroup": 1, "cgroup_id": path.stat().st_ino, "cgroup_level": len(path.relative_to(root).parts)}


#: Condition → function from its value to fields of ``struct settings``.
_CONDITIONS: dict[str, Callable[[Any], dict[str, object]]] = {
    "pid": lambda pid: {"by_process": 1, "tgid": _existing(pid, "process")},
    "tid": lambda tid: {"by_tid": 1, "tid": _existing(tid, "thread")},
    "uid": lambda uid: {"by_uid": 1, "uid": _uid(uid)},
    "comm": _comm_settings,
    "cgroup": _cgroup_settings,
}
