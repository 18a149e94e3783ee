"""A user's choice of tasks in; load-time constants of the BPF programs out."""

import os
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from schedtel.durations import parse_duration
from schedtel.errors import UsageError
from schedtel.foreign_text import text_of_path
from schedtel.host import procfs
from schedtel.host.cgroups import SEE_ALL_CGROUPS, cgroup_in, cgroup_root, is_whole

#: How many values each condition may have: FILTER_VALUES of bpf/records.h.
MOST_VALUES = 8
_KERNEL_THREADS = {"include": 0, "exclude": 1, "only": 2}
_COMM_LENGTH = 16


@dataclass(frozen=True)
class Filter:
    """Which tasks get rows of their own. All conditions must hold; all other tasks are folded into ``other``.

    The first five parameters take one value or several, up to 8: then a task meets the condition if it meets it for
    any of the values.

    :param cgroup: a cgroup and everything below it: its path inside the cgroup v2 hierarchy, or that of its directory.
    :param pid: a process (tgid) with its threads and all their descendants, those alive at attach included.
    :param tid: one thread.
    :param uid: a user id.
    :param comm: tasks whose command name begins with this (at most 15 bytes).
    :param kernel_threads: ``include``, ``exclude`` or ``only``.
    :param min_activity: least running plus waiting time in a window, such as ``1ms``; None: any activity at all.
    :param all_tasks: give tasks that slept through the window a row as well.
    """

    cgroup: str | Iterable[str] | None = None
    pid: int | Iterable[int] | None = None
    tid: int | Iterable[int] | None = None
    uid: int | Iterable[int] | None = None
    comm: str | Iterable[str] | None = None
    kernel_threads: str = "include"
    min_activity: str | None = None
    all_tasks: bool = False

    def __post_init__(self) -> None:
        for name in _UNIONS:
            object.__setattr__(self, name, _distinct(getattr(self, name)))

    def describe(self) -> str:
        """The conditions as text, for a header or a file's metadata; empty when there are none."""
        defaults = Filter()
        given = {name: value for name, value in vars(self).items() if value != getattr(defaults, name)}
        text = " ".join(f"{name}={','.join(map(str, _as_tuple(value)))}" for name, value in given.items())
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
        for name, settings_of in _UNIONS.items():
            if getattr(self, name) is not None:
                values |= settings_of(self._values(name))
        return values

    def _values(self, name: str) -> tuple[Any, ...]:
        """The values of one condition. Raises :class:`UsageError` where there are none, or too many."""
        values = _as_tuple(getattr(self, name))
        if not values:
            raise UsageError(f"cannot filter by an empty list of {name}: it would select no task (give one, or None)")
        if len(values) > MOST_VALUES:
            raise UsageError(
                f"cannot filter by {len(values)} values of {name}: at most {MOST_VALUES} are possible "
                "(filter by what the tasks have in common, such as a cgroup or user)"
            )
        return values


def _distinct(given: Any) -> Any:
    """One value, or None, as it is; several as a tuple in which each comes once, and one of those as itself."""
    if isinstance(given, str) or not isinstance(given, Iterable):
        return given
    values = tuple(dict.fromkeys(given))
    return values[0] if len(values) == 1 else values


def _as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _filled_up(values: Iterable[Any], unused: object = 0) -> tuple[Any, ...]:
    """Values for a field of ``struct settings`` that has room for ``MOST_VALUES``."""
    values = tuple(values)
    return values + (unused,) * (MOST_VALUES - len(values))


def _process_settings(pids: tuple[int, ...]) -> dict[str, object]:
    return {"by_process": len(pids), "tgid": _filled_up(_existing(pid, "process") for pid in pids)}


def _tid_settings(tids: tuple[int, ...]) -> dict[str, object]:
    return {"by_tid": len(tids), "tid": _filled_up(_existing(tid, "thread") for tid in tids)}


def _uid_settings(uids: tuple[int, ...]) -> dict[str, object]:
    return {"by_uid": len(uids), "uid": _filled_up(map(_uid, uids))}


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
        tgid = procfs.status_number(number, b"Tgid") if isinstance(number, int) else None
    except (OSError, ValueError):
        tgid = None
    if tgid is None or (kind == "process" and tgid != number):
        raise UsageError(f"cannot filter by {kind} {number}: no such {kind} (see `ps -eLf`)")
    return number


def _comm_settings(comms: tuple[str, ...]) -> dict[str, object]:
    values, masks = zip(*map(_words_of, comms), strict=True)
    return {"by_comm": len(comms), "comm_value": _filled_up(values, (0, 0)), "comm_mask": _filled_up(masks, (0, 0))}


def _words_of(comm: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """A prefix, and the mask that covers as many bytes, each as the two words that the programs compare."""
    prefix = os.fsencode(comm)
    if not prefix or len(prefix) >= _COMM_LENGTH:
        raise UsageError(f"cannot filter by command name {comm!r}: give 1 to 15 bytes (the kernel keeps no more)")
    mask = b"\xff" * len(prefix)
    value, covered = (struct.unpack("=2Q", part.ljust(_COMM_LENGTH, b"\0")) for part in (prefix, mask))
    return value, covered


def _cgroup_settings(cgroups: tuple[str, ...]) -> dict[str, object]:
    ids, levels = zip(*map(_place_of, cgroups), strict=True)
    return {"by_cgroup": len(cgroups), "cgroup_id": _filled_up(ids), "cgroup_level": _filled_up(levels)}


def _place_of(cgroup: str) -> tuple[int, int]:
    """A cgroup's id, and how many levels it is below the root."""
    root = cgroup_root()
    if not is_whole(root):  # the filter needs the level below the machine's root, which is not known there
        raise UsageError(f"cannot filter by cgroup {cgroup!r}: {root} is only a container's part ({SEE_ALL_CGROUPS})")
    if not cgroup or "\0" in cgroup:
        raise UsageError(f"cannot filter by cgroup {cgroup!r}: this is no path (see `ls {root}`)")
    path = cgroup_in(root, cgroup)
    if path is None:
        raise UsageError(f"cannot filter by cgroup {cgroup!r}: no such cgroup below {root} (see `ls {root}`)")
    return path.stat().st_ino, len(path.relative_to(root).parts)


#: The conditions that take several values: name → values in, fields of ``struct settings`` out.
_UNIONS: Mapping[str, Callable[[tuple[Any, ...]], dict[str, object]]] = {
    "pid": _process_settings,
    "tid": _tid_settings,
    "uid": _uid_settings,
    "comm": _comm_settings,
    "cgroup": _cgroup_settings,
}
