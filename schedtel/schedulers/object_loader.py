"""A program: an object file of sched_ext in; its scheduler, attached until SIGTERM or SIGINT, out.

With ``--below`` and ``--cgroup``, a second object's scheduler is attached below the first one's, for one cgroup.

With ``--wait`` it loads the object, writes a byte to standard output, and attaches once it reads one from standard
input. So what takes seconds, to open and to load, is done while another scheduler still runs.
"""

import argparse
import ctypes
import os
import signal
import sys
from contextlib import suppress
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import NoReturn

#: What it writes once the object is loaded, and what tells it to attach.
LOADED, ATTACH = b"l", b"a"
#: enum bpf_map_type, include/uapi/linux/bpf.h.
_STRUCT_OPS = 26
#: include/uapi/linux/btf.h: BTF_KIND_STRUCT; the parts of struct btf_type and struct btf_member, in words.
_STRUCT, _TYPE_WORDS, _MEMBER_WORDS = 4, 3, 3
_MOST_MEMBERS, _OFFSET = 0xFFFF, 0xFFFFFF
_FAILED = 1
#: The forms of the operations: an object has one of them. Below it, members of theirs.
_OPERATIONS = (b"sched_ext_ops_cid", b"sched_ext_ops")
_TIMEOUT, _CGROUP = b"timeout_ms", b"sub_cgroup_id"
#: Beside the object, where the machine's own are too old to know `.struct_ops.link`: those that libbpf needs first.
_LIBRARIES = ("libz.so.1", "libzstd.so.1", "libelf.so.1", "libbpf.so.1")
#: That of the guard: a scheduler that starves everybody does not keep this process from detaching it.
_PRIORITY = 99
_SIGNATURES = {
    "bpf_object__open_file": (c_void_p, (c_char_p, c_void_p)),
    "bpf_object__load": (c_int, (c_void_p,)),
    "bpf_object__btf": (c_void_p, (c_void_p,)),
    "bpf_object__next_map": (c_void_p, (c_void_p, c_void_p)),
    "bpf_map__type": (c_int, (c_void_p,)),
    "bpf_map__initial_value": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "bpf_map__attach_struct_ops": (c_void_p, (c_void_p,)),
    "bpf_link__destroy": (c_int, (c_void_p,)),
    "btf__find_by_name_kind": (c_int, (c_void_p, c_char_p, c_uint32)),
    "btf__type_by_id": (POINTER(c_uint32), (c_void_p, c_uint32)),
    "btf__name_by_offset": (c_char_p, (c_void_p, c_uint32)),
}


def main() -> None:
    """Load and attach the objects' schedulers, and detach them at the end. A failure is a line on stderr."""
    words = _words()
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT))
    libbpf = _libbpf(Path(words.object).parent)
    loaded = [(words.object, _loaded(libbpf, words.object, words.timeout_ms))]
    if words.below:
        loaded.append((words.below, _loaded(libbpf, words.below, words.timeout_ms, words.cgroup)))
    if words.wait and not _is_told_to_attach():
        return
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_PRIORITY))
    links = [libbpf.bpf_map__attach_struct_ops(operations) or _fail("attach", path) for path, operations in loaded]
    signal.sigwait((signal.SIGTERM, signal.SIGINT))
    for link in reversed(links):
        libbpf.bpf_link__destroy(link)


def _loaded(libbpf: ctypes.CDLL, path: str, timeout_ms: int | None, cgroup: int | None = None) -> int:
    """The map with the operations of an object, which is loaded."""
    opened = libbpf.bpf_object__open_file(os.fsencode(path), None) or _fail("open", path)
    operations = _operations(libbpf, opened, path)
    for member, number, kind in ((_TIMEOUT, timeout_ms, c_uint32), (_CGROUP, cgroup, c_uint64)):
        if number is not None:
            _set(libbpf, opened, operations, member, kind(number)) or _fail(f"set {member.decode()} of", path)
    if libbpf.bpf_object__load(opened):
        _fail("load", path)
    return operations


def _words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="object_loader")
    parser.add_argument("--wait", action="store_true", help="attach when a byte is read from standard input")
    parser.add_argument("--timeout-ms", type=int, help="ops.timeout_ms, instead of the object's own")
    parser.add_argument("--below", metavar="OBJECT", help="attach this one as well, for a cgroup below the machine's")
    parser.add_argument("--cgroup", type=int, metavar="ID", help="that cgroup")
    parser.add_argument("object")
    return parser.parse_args()


def _is_told_to_attach() -> bool:
    """Say that the object is loaded, and wait. The end of standard input says that it is no longer wanted."""
    os.write(1, LOADED)
    return os.read(0, 1) == ATTACH


def _libbpf(beside: Path) -> ctypes.CDLL:
    for name in _LIBRARIES:
        if (beside / name).exists():
            ctypes.CDLL(str(beside / name))  # the next ones find it by its name
    own = beside / _LIBRARIES[-1]
    libbpf = ctypes.CDLL(str(own) if own.exists() else _LIBRARIES[-1], use_errno=True)
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


def _set(libbpf: ctypes.CDLL, opened: int, operations: int, member: bytes, number: c_uint32 | c_uint64) -> bool:
    """Set a member in what libbpf will load, which is laid out as the object's own BTF says. Returns whether it can."""
    size = c_size_t()
    value = libbpf.bpf_map__initial_value(operations, byref(size))
    offset = _offset(libbpf, libbpf.bpf_object__btf(opened), member)
    if not value or offset is None or offset + ctypes.sizeof(number) > size.value:
        return False
    type(number).from_address(value + offset).value = number.value
    return True


def _offset(libbpf: ctypes.CDLL, btf: int, name: bytes) -> int | None:
    """Where a member is in the operations, in bytes."""
    numbers = (libbpf.btf__find_by_name_kind(btf, form, _STRUCT) for form in _OPERATIONS)
    number = next((found for found in numbers if found >= 0), None)
    if number is None:
        return None
    found = libbpf.btf__type_by_id(btf, number)
    for member in range(found[1] & _MOST_MEMBERS):
        at = _TYPE_WORDS + member * _MEMBER_WORDS
        if libbpf.btf__name_by_offset(btf, found[at]) == name:
            return (found[at + 2] & _OFFSET) // 8
    return None


def _fail(what: str, path: str) -> NoReturn:
    sys.stderr.write(f"cannot {what} {path}: {os.strerror(ctypes.get_errno())} (see `dmesg`)\n")
    sys.exit(_FAILED)


if __name__ == "__main__":
    main()
