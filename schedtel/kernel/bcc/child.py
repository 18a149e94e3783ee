"""The process that holds bcc: a source text in; file descriptors of maps and attached programs out. Then it ends.

It is a process of its own, running this file as a script without the package, because of what bcc brings along: a
compiler, 135 MB of memory, complaints that C++ writes to stderr, an environment variable that bcc must have, and a
module of the distribution's Python. It sends the descriptors to the parent over a Unix socket; with them, maps and
programs live on without this process.

Each step is one message in each direction: a length, JSON, and descriptors beside it.
"""

import array
import ctypes
import json
import os
import socket
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

_LENGTH = 4


def _receive(channel: socket.socket) -> dict[str, Any]:
    length = int.from_bytes(channel.recv(_LENGTH, socket.MSG_WAITALL), "little")
    return json.loads(channel.recv(length, socket.MSG_WAITALL) or b"{}")


def _send(channel: socket.socket, message: dict[str, Any], fds: list[int]) -> None:
    payload = json.dumps(message).encode()
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    channel.sendmsg([len(payload).to_bytes(_LENGTH, "little")], ancillary)
    channel.sendall(payload)


class _StepError(Exception):
    """Its arguments are what failed, and the error number, or 0."""


def _step(what: str, call: Callable[[], Any]) -> Any:
    """Call into bcc, which raises bare Exceptions and leaves the reason in errno."""
    ctypes.set_errno(0)
    try:
        return call()
    except Exception as error:
        raise _StepError(what, ctypes.get_errno()) from error


def _serve(channel: socket.socket) -> None:
    """Compile and load the programs that the parent requests; attach them when its second message comes."""
    request = _receive(channel)
    sys.path.append(request["module_directory"])
    import bcc  # noqa: PLC0415  (the request says where it is)

    module = _step("compile the BPF programs", lambda: bcc.BPF(text=request["text"], cflags=request["flags"]))
    programs = [
        _step(f"load BPF program {name}", partial(module.load_func, name.encode(), bcc.BPF.TRACEPOINT)).fd
        for name in request["programs"]
    ]
    maps = [bcc.libbcc.lib.bpf_table_fd(module.module, name.encode()) for name in request["maps"]]
    _send(channel, {"ready": True}, maps + programs)
    if not _receive(channel):  # the parent has given up
        return
    for name, tracepoint in request["programs"].items():
        _step(f"attach BPF program {name}", partial(module.attach_tracepoint, tp=tracepoint, fn_name=name))
    _send(channel, {"attached": True}, list(module.tracepoint_fds.values()))


def _main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        try:
            _serve(channel)
        except _StepError as failure:
            _send(channel, {"failed": failure.args[0], "errno": failure.args[1]}, [])
        except (ImportError, OSError, AttributeError) as error:
            _send(channel, {"failed": "use bcc", "reason": f"{type(error).__name__}: {error}"}, [])
        channel.shutdown(socket.SHUT_WR)
    os._exit(0)  # at a normal exit, bcc would detach the programs, which belong to the parent now


if __name__ == "__main__":
    _main()
