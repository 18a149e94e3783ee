"""A setting in; whether this kernel and this user can apply it and undo it again out, by trying.

The trial is a thread of this process that changes itself and ends. So no capability, limit or security module has to be
known by name, and nothing else is touched.
"""

import threading
from collections.abc import Callable
from typing import TypeVar

from schedtel.errors import CapabilityError, UsageError
from schedtel.host.cpus import online_cpus
from schedtel.schedulers import attributes
from schedtel.schedulers.attributes import FIFO, OTHER, RR, Attributes
from schedtel.schedulers.knobs import require_autogroups
from schedtel.schedulers.settings import Setting

_Result = TypeVar("_Result")
_ADVICE = "run as root, or grant CAP_SYS_NICE"


def require(setting: Setting) -> None:
    """Check that a setting can be applied to threads of this user, and undone.

    Raises :class:`CapabilityError` if the kernel or this user cannot, :class:`UsageError` for CPUs that are not online.
    """
    if setting.kind == "attributes":
        in_a_thread(lambda: _try(setting))
    elif setting.kind == "affinity":
        offline = sorted(set(setting.values) - online_cpus())
        if offline:
            raise UsageError(f"cannot use {setting}: CPU {offline[0]} is not online (see `lscpu`)")
    elif setting.kind == "autogroup":
        require_autogroups()


def default_slice_ns() -> int:
    """The slice of a fair thread that has asked for none; 0 if this kernel has no custom slices."""
    return in_a_thread(_default_slice)


def _default_slice() -> int:
    """Of a thread that is fair or idle; one that was made real-time may always go back."""
    now = attributes.get(0) or Attributes()
    policy = OTHER if now.policy in (FIFO, RR) else now.policy
    attributes.put(0, Attributes(policy, now.nice, 0, 0, now.reset_on_fork))
    return (attributes.get(0) or Attributes()).slice_ns


def _try(setting: Setting) -> None:
    now = attributes.get(0) or Attributes()
    wanted = attributes.wanted(setting, now)
    if wanted is None:  # this process is real-time or idle itself, and tells nothing about others
        return
    try:
        attributes.put(0, wanted)
    except OSError as error:
        raise CapabilityError(f"cannot use {setting}: {error.strerror} ({_ADVICE})") from error
    _compare(setting, wanted)
    try:
        attributes.put(0, now)
    except OSError as error:
        raise CapabilityError(
            f"cannot use {setting}: this user could not undo it: {error.strerror} ({_ADVICE})"
        ) from error


def _compare(setting: Setting, wanted: Attributes) -> None:
    """Read back what was set: a kernel without custom slices takes one without a word."""
    shown = attributes.get(0)
    if shown is None or shown.policy != wanted.policy or (setting.word == "slice" and shown != wanted):
        raise CapabilityError(
            f"cannot use {setting}: the kernel shows {shown} afterwards (it has no custom slices; Linux 6.12 has)"
        )


def in_a_thread(work: Callable[[], _Result]) -> _Result:
    """What the work returns, done in a thread of its own, whose attributes and affinity end with it; its error, too."""
    results: list[_Result] = []
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            results.append(work())
        except BaseException as error:  # noqa: BLE001  (it is raised again, in the caller's thread)
            errors.append(error)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
