"""Failures of arms in; which arms may not be used for now, out, also after a restart of the agent.

An arm that fails is out of use for half a minute, and for twice as long with each failure that follows; an arm that has
worked for an hour since is as good as new. Time is CLOCK_MONOTONIC, so a step of the wall clock changes nothing. After
a restart of the machine, that clock begins anew: then an arm waits for what was left when the file was written.

The file is JSON, of mode 0600, in a directory in which no other user can replace it. What is in it is checked, since a
file may be damaged or come from elsewhere.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from schedtel.access.directories import open_directory
from schedtel.access.files import write_whole
from schedtel.errors import RecordingError, UsageError
from schedtel.host.procfs import boot_id

NAME = "quarantine.json"
_VERSION = 1
_S = 1_000_000_000
_FIRST_NS, _LONGEST_NS, _FORGIVEN_NS = 30 * _S, 3600 * _S, 3600 * _S
_MOST_BYTES, _MOST_ARMS, _MOST_FAILURES, _MOST_TEXT = 1 << 20, 256, 1000, 4096


@dataclass(frozen=True)
class Ban:
    """How often an arm has failed, until when it is out of use (CLOCK_MONOTONIC), and why."""

    failures: int
    until_ns: int
    why: str


class Quarantine:
    """Arms that have failed.

    :param directory: where the file is kept, which is made if it is missing; None: nothing is kept.
    :param clock: CLOCK_MONOTONIC in nanoseconds.
    :param tell: is given one line when the file can no longer be written.
    :param boot: of this boot of the machine; None: the kernel's own.

    Raises :class:`UsageError` if the file is none of ours, or another user could replace it, and
    :class:`RecordingError` if it cannot be read.
    """

    def __init__(
        self,
        directory: Path | None,
        clock: Callable[[], int],
        tell: Callable[[str], object] = lambda _: None,
        boot: str | None = None,
    ) -> None:
        self._directory, self._clock, self._tell, self._boot = directory, clock, tell, boot or boot_id()
        self._bans: dict[str, Ban] = {}
        self._fails = False
        if directory:
            self._bans = self._read(directory)

    def add(self, arm: str, why: str) -> Ban:
        """Note a failure of an arm; it is out of use from now on."""
        now, before = self._clock(), self._bans.get(arm)
        failures = 1 if before is None or self._is_forgiven(before) else before.failures + 1
        pause_ns = min(_LONGEST_NS, _FIRST_NS << min(failures - 1, 20))
        ban = self._bans[arm] = Ban(min(failures, _MOST_FAILURES), now + pause_ns, why[:_MOST_TEXT])
        self._write()
        return ban

    def why(self, arm: str) -> str:
        """Why an arm is out of use, and for how long; empty if it may be used."""
        ban = self._bans.get(arm)
        left_ns = ban.until_ns - self._clock() if ban else 0
        return f"in quarantine for {-(-left_ns // _S)} s: {ban.why}" if ban and left_ns > 0 else ""

    def _is_forgiven(self, ban: Ban) -> bool:
        return self._clock() > ban.until_ns + _FORGIVEN_NS

    def _write(self) -> None:
        """Write the file. Where that fails, the agent goes on: what it knows is not lost before it ends."""
        if self._directory is None:
            return
        now = self._clock()
        bans = {arm: asdict(ban) for arm, ban in self._bans.items()}
        content = json.dumps({"version": _VERSION, "boot": self._boot, "written_ns": now, "arms": bans}).encode()
        try:
            _replace(self._directory, content)
            self._fails = False
        except (OSError, UsageError) as error:
            if not self._fails:
                self._tell(f"the list of arms in quarantine is not kept: {error}")
            self._fails = True

    def _read(self, directory: Path) -> dict[str, Ban]:
        path = directory / NAME
        try:
            content = _content(directory)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise RecordingError(f"cannot read {path}: {error.strerror} (check who owns it, or remove it)") from error
        try:
            said = json.loads(content)
            bans = {_text(arm): _ban(ban) for arm, ban in said["arms"].items()}
            boot, written_ns, version = _text(said["boot"]), _integer(said["written_ns"]), _integer(said["version"])
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(f"cannot use {path}: it is no list of arms in quarantine (remove it)") from error
        if version != _VERSION or len(bans) > _MOST_ARMS:
            raise UsageError(f"cannot use {path}: it is of another version of schedtel (remove it)")
        return {arm: self._as_of_now(ban, written_ns if boot != self._boot else None) for arm, ban in bans.items()}

    def _as_of_now(self, ban: Ban, written_ns: int | None) -> Ban:
        """The ban by this boot's clock, and no longer than any is.

        :param written_ns: when it was written, by the clock of another boot; None: of this one.
        """
        now = self._clock()
        until_ns = ban.until_ns if written_ns is None else now + ban.until_ns - written_ns
        return Ban(ban.failures, min(until_ns, now + _LONGEST_NS), ban.why)


def _content(directory: Path) -> bytes:
    """The file's bytes, if it is a regular file that only this user can write. Raises :class:`OSError`."""
    path = directory / NAME
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o022:
            raise UsageError(f"cannot use {path}: others may have written it (remove it)")
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise UsageError(f"cannot use {path}: it is larger than any (remove it)")
    return content


def _replace(directory: Path, content: bytes) -> None:
    """Put the file in the place of the one before, whole. Raises :class:`OSError` and :class:`UsageError`."""
    folder = open_directory(directory)
    try:
        write_whole(NAME, content, folder=folder)
    finally:
        os.close(folder)


def _ban(said: Mapping[str, Any]) -> Ban:
    failures = _integer(said["failures"])
    if not 1 <= failures <= _MOST_FAILURES:
        raise ValueError("no number of failures")
    return Ban(failures, _integer(said["until_ns"]), _text(said["why"]))


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise TypeError("no time")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _MOST_TEXT:
        raise TypeError("no text")
    return value
