"""What runs inside the guest to attach a sched_ext scheduler: an object file in; the scheduler, until SIGTERM, out."""

import ctypes
import os
import signal
import sys
from ctypes import c_char_p, c_int, c_void_p
from typing import NoReturn

#: enum bpf_map_type, include/uapi/linux/bpf.h.
_STRUCT_OPS = 26
_FAILED = 1
_SIGNATURES = {
    "bpf_object__open_file": (c_void_p, (c_char_p, c_void_p)),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_object__next_map": (c_void_p, (c_void_p, c_void_p)),
    "bpf_map__type": (c_int, (c_void_p,)),
    "bpf_map__attach_struct_ops": (c_void_p, (c_void_p,)),
    "bpf_link__destroy": (c_int, (c_void_p,)),
}


def main(path: str) -> None:
    """Load and attach the object's scheduler, and detach it at SIGTERM or SIGINT. A failure is a line on stderr."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    libbpf = _libbpf()
    opened = libbpf.bpf_object__open_file(os.fsencode(path), None) or _fail("open", path)
    if libbpf.bpf_object__load(opened):
        _fail("load", path)
    link = libbpf.bpf_map__attach_struct_ops(_operations(libbpf, opened, path)) or _fail("attach", path)
    signal.sigwait((signal.SIGTERM, signal.SIGINT))
    libbpf.bpf_link__destroy(link)


def _libbpf() -> ctypes.CDLL:
    libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(libbpf, name)
        function.restype, function.argtypes = result, arguments
    return libbpf


def _operations(libbpf: ctypes.CDLL, opened: int, path: str) -> int:
    """The map of the object that has the scheduler's operations."""
    found = libbpf.bpf_object__next_map(opened, None)
    while found and libbpf.bpf_map__type(found) != _STRUCT_OPS:
        found = libbpf.bpf_object__next_map(opened, found)
    return found or _fail("find the operations of", path)


def _fail(what: str, path: str) -> NoReturn:
    sys.stderr.write(f"cannot {what} {path}: {os.strerror(ctypes.get_errno())} (see `dmesg`)\n")
    sys.exit(_FAILED)


if __name__ == "__main__":
    main(sys.argv[1])
