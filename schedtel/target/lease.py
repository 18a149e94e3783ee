"""A controller that is heard of in; the right to act on this machine, for as long as it is, out.

Whoever acts holds the lease, an experiment or an agent that switches schedulers. What was done under a lease is undone
before another one is given.
"""

import hmac
import secrets
import threading
import time
from collections.abc import Callable

from schedtel.errors import StreamError, UsageError

#: Seconds without a word of the controller after which it is taken for gone. With the time that a worker has to end,
#: this is less than five.
LEASE_S = 2.5
#: How often a controller says that it is there.
HEARTBEAT_S = 0.5
#: Nice value of the threads that say and hear so, beside whatever else keeps the CPUs busy (setpriority(2)).
NICE = -10


class Lease:
    """The lease of a target. Every method may be called from any thread.

    :param heard: called when a lease is given or given back, so that whoever waits for :meth:`left_s` looks again.
    """

    def __init__(self, heard: Callable[[], object], length_s: float = LEASE_S) -> None:
        self._heard, self._length_s = heard, length_s
        self._changed = threading.Condition()
        self._key = ""
        self._until = 0.0

    def take(self) -> str:
        """The key of a new lease. Raises :class:`StreamError` while another one is not over and undone."""
        with self._changed:
            if self._key:
                raise StreamError("busy: another controller uses it (try again later)")
            self._key, self._until = secrets.token_hex(16), time.monotonic() + self._length_s
            key = self._key
        self._heard()
        return key

    def renew(self, key: str) -> None:
        """Note that the holder was heard of. Raises :class:`UsageError` for a key of no lease that goes on."""
        with self._changed:
            now = time.monotonic()
            if not self._is_key(key) or now >= self._until:
                raise UsageError("this session is over: nothing was heard of the controller (run it again to go on)")
            self._until = now + self._length_s

    def give_back(self, key: str, patience_s: float) -> None:
        """End the lease; wait until what was done under it is undone, for so many seconds at most."""
        with self._changed:
            if not self._is_key(key):
                return
            self._until = 0.0
        self._heard()
        with self._changed:
            self._changed.wait_for(lambda: not self._is_key(key), patience_s)

    def left_s(self) -> float | None:
        """Seconds until the lease is over, 0 if it is; None if there is none."""
        with self._changed:
            return max(0.0, self._until - time.monotonic()) if self._key else None

    def free(self) -> None:
        """Another lease may be given: what was done under the last one is undone."""
        with self._changed:
            self._key = ""
            self._changed.notify_all()

    def _is_key(self, key: str) -> bool:
        return bool(self._key) and hmac.compare_digest(key.encode(errors="replace"), self._key.encode())
