"""An address in; Ray, connected to its cluster, out. Or one of this process's own, which ends with it.

Whoever made a cluster is trusted: Ray runs what it is sent.
"""

import importlib.util
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from schedtel.errors import CapabilityError

#: Addresses of Ray's that are no host: a cluster that this machine belongs to, and one that is made for this process.
_NO_HOST = ("auto", "local")
_PATIENCE_S = 5
_MOST_TOLD = 300
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Ray ends its processes with ours, by the kernel; what they wrote is removed once our end of a pipe is closed.
_REMOVER = """
import os, shutil, sys, time
sys.stdin.read()
for _ in range(100):
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]):
        break
    time.sleep(0.1)
"""


def refuse_without_ray(option: str = "--ray-address") -> None:
    """Raise :class:`CapabilityError` where Ray is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise CapabilityError(f"cannot use {option}: Ray is not installed (pip install 'schedtel[ray]')")


def connected(address: str) -> Any:
    """Ray, connected to a cluster. Raises :class:`CapabilityError` without Ray, and for one that is out of reach."""
    refuse_without_ray()
    refuse_out_of_reach(address)
    try:
        return _begun(address=address)
    except _NotBegunError as error:
        raise CapabilityError(
            f"cannot reach the cluster at {address}: {error} "
            "(is it running? one with a token needs RAY_AUTH_MODE=token)"
        ) from error


@contextmanager
def own_cluster(cpus: int, memory: int) -> Iterator[Any]:
    """Ray with a cluster of this machine. Only processes with its token, which is drawn, may use it.

    It ends with the context, and with this process, however that ends.

    :param cpus: how many tasks Ray counts on; :param memory: bytes for what they hand over.

    Raises :class:`CapabilityError` without Ray, and where it does not start.
    """
    refuse_without_ray("--workers")
    own = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": _token(),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",  # by default they wait for all else on the machine
    }
    before = {name: os.environ.get(name) for name in own}
    with _removed_folder() as folder:
        os.environ.update(own)
        try:
            ray = _begun_here(cpus, memory, f"{folder}/r")  # Ray lets all users into that, and the folder none
            try:
                yield ray
            finally:
                ray.shutdown()
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


@cache
def _token() -> str:
    """One for all clusters of this process: Ray keeps the first that it has read."""
    return secrets.token_hex(32)


@contextmanager
def _removed_folder() -> Iterator[str]:
    """A folder that is removed in the end, also after SIGKILL. Its path is short, since sockets are in it."""
    folder = tempfile.mkdtemp(prefix="schedtel-")
    command = [sys.executable, "-ISc", _REMOVER, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as remover:
        yield folder
        assert remover.stdin is not None
        remover.stdin.close()


def _begun_here(cpus: int, memory: int, folder: str) -> Any:
    own = {"_temp_dir": folder, "_node_ip_address": "127.0.0.1"}
    try:
        return _begun(num_cpus=cpus, object_store_memory=memory, **own)
    except _NotBegunError as error:
        raise CapabilityError(
            f"cannot start Ray on this machine: {error} (a busy machine may be too slow for it: try again)"
        ) from error


class _NotBegunError(Exception):
    """What Ray says of that it is not there."""


def _begun(**options: Any) -> Any:
    import ray  # noqa: PLC0415  (an extra, which takes a second to import)

    try:
        with _kept_handlers():
            ray.init(log_to_driver=False, configure_logging=False, include_dashboard=False, **options)
    except Exception as error:  # Ray has no class of its own for a node that does not start
        raise _NotBegunError((str(error).strip() or type(error).__name__).splitlines()[0][:_MOST_TOLD]) from error
    return ray


def last_line_of(error: Exception) -> str:
    """What Ray says at the end of an error, whose first lines are of its own processes."""
    return (str(error).strip() or type(error).__name__).splitlines()[-1][:_MOST_TOLD]


def refuse_out_of_reach(address: str) -> None:
    """Raise :class:`CapabilityError` for a host that does not answer: Ray waits long for it, and ends the process."""
    if address in _NO_HOST:
        return
    try:
        parts = urllib.parse.urlsplit(address if "://" in address else f"//{address}")
        socket.create_connection((parts.hostname or "", parts.port or 0), _PATIENCE_S).close()
    except (OSError, ValueError) as error:
        raise CapabilityError(f"cannot reach a cluster at {address}: {error} (give HOST:6379, or auto)") from error


@contextmanager
def _kept_handlers() -> Iterator[None]:
    """Ray sets handlers of its own for signals."""
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
