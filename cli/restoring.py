"""What schedtel holds and has left on this machine in; all of it put back, and told, out."""

import time

from schedtel.cli import lines
from schedtel.cli.arms import complain
from schedtel.host.sched_ext import DISABLING, ENABLED, read_state
from schedtel.schedulers import holders
from schedtel.schedulers.changes import Change
from schedtel.schedulers.holders import Holder
from schedtel.schedulers.in_kernel import wait
from schedtel.schedulers.journal import undo_forgotten

#: A scheduler that is about to go is gone within this.
_GOING_S = 10.0


def restore_all() -> bool:
    """Have everything put back, and tell what was. Returns whether nothing had to be left."""
    done = [_end(holder) for holder in holders.running()]
    for forgotten in undo_forgotten():
        lines.answer(f"put back what an ended program had left: {holders.described(forgotten.changes) or 'nothing'}")
        done.append(_is_complete(forgotten.failed))
    for path in holders.left_by_others():
        complain(f"left alone: {path}: another user's program has ended (that user can run schedtel scheduler restore)")
        done.append(False)
    if not done:
        lines.answer("nothing is held, and nothing was left")
    return _is_kernels_own() and all(done)


def _end(holder: Holder) -> bool:
    held, name = holder.changes(), holder.comm()
    if not holder.end():
        complain(f"left: process {holder.pid} has not put everything back in time (kill -9 it: then its guard does)")
        return False
    lines.answer(f"ended process {holder.pid} ({name}): put back {holders.described(held) or 'what it held'}")
    return _is_complete(holders.remaining(held))


def _is_complete(left: list[Change]) -> bool:
    if left:
        complain(f"left: {holders.described(left)}: the kernel refuses (run as root)")
    return not left


def _is_kernels_own() -> bool:
    """Whether the kernel's own scheduler runs; else says whose does. One that is about to go is waited for."""
    wait(lambda: (now := read_state()) is None or now.state != DISABLING, time.monotonic() + _GOING_S)
    now = read_state()
    if now is None or now.state != ENABLED:
        return True
    complain(f"left alone: {now.ops} is attached by another program (stop it, or the service that runs it)")
    return False
