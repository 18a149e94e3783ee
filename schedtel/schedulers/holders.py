"""The journals of this machine in; the running processes that wrote them, asked to end, and what dead ones left, out.

A journal's name says which process wrote it. Before that process gets a signal, it is held by a pidfd, and is known to
be the same: it started when the name says, and belongs to the user who owns the journal, in all of its ids. So neither
a number that was used again nor a name that somebody made up has another process ended. What a journal of another user
tells is never done: it is that user's word, and root would put it back with root's power.
"""

import contextlib
import itertools
import os
import select
import signal
import stat
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from schedtel.errors import SchedtelError
from schedtel.foreign_text import text_of
from schedtel.schedulers import threads
from schedtel.schedulers.changes import Change, read
from schedtel.schedulers.journal import default_directory, journals, owner_of, read_journal

#: To detach a scheduler may take 20 s; so long is asked for and waited.
PATIENCE_S = 30.0
_POLL_S = 0.01
#: Of a directory of another user, who may fill it.
_MOST_JOURNALS = 1000
_WORDS = {
    "attributes": "attributes of {} thread{}",
    "affinity": "CPUs of {} thread{}",
    "autogroup": "{} autogroup{}",
    "file": "{} file{} of cgroups",
    "loader": "{} sched_ext scheduler{}",
    "service": "what org.scx.Loader runs",
}


class Holder(NamedTuple):
    """A process that holds changes, and the journal in which they are."""

    pid: int
    start: int
    uid: int
    journal: Path

    def comm(self) -> str:
        """Its command name, as the kernel has it; empty if it has ended."""
        found = threads.read_thread(self.pid, self.pid)
        return text_of(found.comm) if found and found.start == self.start else ""

    def changes(self) -> list[Change]:
        """What its journal tells now; nothing of another user's, and nothing once it is gone."""
        if self.uid != os.geteuid():
            return []
        with contextlib.suppress(OSError):
            descriptor = os.open(self.journal, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                return read_journal(descriptor)
            finally:
                os.close(descriptor)
        return []

    def end(self, patience_s: float = PATIENCE_S) -> bool:
        """Ask it to end by SIGTERM, and wait until it has, and its journal is gone. Returns whether both are so."""
        end = time.monotonic() + patience_s
        try:
            process = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return self._is_undone(end)
        try:
            if _is_same(self):
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(process, signal.SIGTERM)
                poll = select.poll()
                poll.register(process, select.POLLIN)
                if not poll.poll(patience_s * 1000):
                    return False
        finally:
            os.close(process)
        return self._is_undone(end)

    def _is_undone(self, end: float) -> bool:
        """Whether the journal is gone: by its process, or by its guard, which may still be about to."""
        while os.path.lexists(self.journal):
            if time.monotonic() > end:
                return False
            time.sleep(_POLL_S)
        return True


def running() -> list[Holder]:
    """The processes that hold changes: those of this user, and for root those of all users."""
    return [holder for holder in _named() if _is_same(holder)]


def left_by_others() -> list[Path]:
    """For root: journals of other users whose process has ended, which only these users can have put back."""
    return [holder.journal for holder in _named() if holder.uid != os.geteuid() and not _is_same(holder)]


def remaining(changes: Iterable[Change]) -> list[Change]:
    """Those of some changes that still show what was set."""
    return [change for change in changes if _shows(change)]


def counted(changes: Iterable[Change]) -> dict[str, int]:
    """How many things of each kind were changed."""
    return dict(sorted(Counter(kind for kind, _ in {(change.kind, change.key) for change in changes}).items()))


def described(changes: Iterable[Change]) -> str:
    """The same in words for a person."""
    return ", ".join(_WORDS[kind].format(n, "" if n == 1 else "s") for kind, n in counted(changes).items())


def _shows(change: Change) -> bool:
    try:
        return read(change) == change.after
    except (OSError, SchedtelError):
        return False


def _named() -> Iterator[Holder]:
    """The processes that the names of journals tell, whether they are still there or not."""
    own = default_directory()
    for path in journals(own):
        yield from _holder(path, os.geteuid())
    if os.geteuid() == 0:
        for directory in _directories_of_others():
            with contextlib.suppress(OSError):
                uid = directory.lstat().st_uid
                names = directory.iterdir() if _is_private(directory) else ()
                for path in sorted(itertools.islice(names, _MOST_JOURNALS)):
                    yield from _holder(path, uid)


def _directories_of_others() -> Iterator[Path]:
    yield from Path("/run/user").glob("*/schedtel")
    yield from Path(tempfile.gettempdir()).glob("schedtel-*")


def _is_private(directory: Path) -> bool:
    found = directory.lstat()
    return stat.S_ISDIR(found.st_mode) and not stat.S_IMODE(found.st_mode) & 0o077 and found.st_uid != os.geteuid()


def _holder(path: Path, uid: int) -> Iterator[Holder]:
    named = owner_of(path)
    with contextlib.suppress(OSError):
        found = path.lstat()
        if named and stat.S_ISREG(found.st_mode) and found.st_uid == uid:
            yield Holder(*named, uid, path)


def _is_same(holder: Holder) -> bool:
    """Whether the process still is the one that the journal's name tells, and its owner's in all of its user ids."""
    found = threads.read_thread(holder.pid, holder.pid)
    if found is None or found.is_over or found.start != holder.start:
        return False
    try:
        with open(f"/proc/{holder.pid}/status", encoding="utf-8", errors="replace") as file:
            ids = next(line.split()[1:] for line in file if line.startswith("Uid:"))
    except (OSError, StopIteration):
        return False
    return set(map(int, ids)) == {holder.uid}
