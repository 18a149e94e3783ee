"""What schedtel holds and has left on this machine in; all of it put back, and what there is to say of it, out."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from schedtel.host.sched_ext import DISABLING, ENABLED, read_state
from schedtel.schedulers import holders
from schedtel.schedulers.holders import Holder
from schedtel.schedulers.in_kernel import wait
from schedtel.schedulers.journal import undo_forgotten

#: A scheduler that is about to go is gone within this.
_GOING_S = 10.0


@dataclass(frozen=True)
class Restored:
    """What was put back, or had to be left.

    :param text: that, for a person.
    :param is_complete: whether all of it was put back.
    :param pid: of the program that was asked to end; None for what was left by one that had ended.
    :param changes: how many things of each kind were put back, as far as a journal told.
    """

    text: str
    is_complete: bool
    pid: int | None = None
    changes: dict[str, int] = field(default_factory=dict)


def restore_all() -> Iterator[Restored]:
    """Have everything put back. Yields what was, and last what runs though it is not the kernel's own."""
    for holder in holders.running():
        yield _ended(holder)
    for forgotten in undo_forgotten():
        left = holders.described(forgotten.failed)
        what = f"put back what an ended program had left: {holders.described(forgotten.changes) or 'nothing'}"
        yield Restored(
            f"left: {left}: the kernel refuses (run as root)" if left else what,
            not left,
            changes=holders.counted(forgotten.changes),
        )
    for path in holders.left_by_others():
        why = "another user's program has ended (that user can run schedtel scheduler restore)"
        yield Restored(f"left alone: {path}: {why}", is_complete=False)
    ops = _attached_by_another()
    if ops:
        what = f"left alone: {ops} is attached by another program (stop it, or the service that runs it)"
        yield Restored(what, is_complete=False)


def _ended(holder: Holder) -> Restored:
    held, name = holder.changes(), holder.comm()
    if not holder.end():
        what = f"left: process {holder.pid} has not put everything back in time (kill -9 it: then its guard does)"
        return Restored(what, is_complete=False, pid=holder.pid)
    left = holders.described(holders.remaining(held))
    if left:
        return Restored(f"left: {left} of process {holder.pid}: the kernel refuses (run as root)", False, holder.pid)
    what = f"ended process {holder.pid} ({name}): put back {holders.described(held) or 'what it held'}"
    return Restored(what, is_complete=True, pid=holder.pid, changes=holders.counted(held))


def _attached_by_another() -> str | None:
    """The sched_ext scheduler that the kernel still runs. One that is about to go is waited for."""
    wait(lambda: (now := read_state()) is None or now.state != DISABLING, time.monotonic() + _GOING_S)
    now = read_state()
    return (now.ops or "a scheduler") if now and now.state == ENABLED else None
