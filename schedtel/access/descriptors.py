"""The limit on descriptors of this process, and errors that mean that something has run out for now."""

import contextlib
import errno
import os
import resource
from collections.abc import Iterator

#: Errors of a machine or a process that has run out of descriptors or memory. They pass when others give some back.
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN)
#: More than a server needs. Python and its children look at each possible descriptor where a limit is very high.
_ENOUGH = 65_536


def raise_limit() -> int:
    """Raise the soft limit of descriptors to the hard limit, or to 65,536 if that is less; return the soft limit.

    A sandbox may forbid it. Then the limit stays as it is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return soft_limit()


def soft_limit() -> int:
    """One more than the highest descriptor that this process may have now."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _ENOUGH if soft == resource.RLIM_INFINITY else soft


class Reserve:
    """A descriptor that is kept, so that another one can be opened when this process or the machine has none left."""

    def __init__(self) -> None:
        self._held: int | None = None
        self._take()

    @contextlib.contextmanager
    def given_up(self) -> Iterator[None]:
        """Inside the context, there is room for one descriptor more. Whatever opens it closes it inside."""
        self.close()
        try:
            yield
        finally:
            self._take()

    def _take(self) -> None:
        with contextlib.suppress(OSError):  # another thread has it now, and the next time may do without
            self._held = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        held, self._held = self._held, None
        if held is not None:
            os.close(held)
