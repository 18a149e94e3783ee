"""Run a command under a seccomp filter: ``refuse.py ERRNO COMMAND...`` refuses bpf(BPF_PROG_LOAD).

The kernel itself then answers as it does under a security module, a lockdown, or where it is too old.
"""

import ctypes
import os
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_BPF = {"x86_64": 321, "aarch64": 280}[os.uname().machine]
_PROG_LOAD = 5
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000


def _program(number: int) -> bytes:
    """A filter of all bpf(2) with BPF_PROG_LOAD (struct seccomp_data: the call at 0, its first argument at 16)."""
    lines = [
        (_LOAD, 0, 0, 0),
        (_JUMP_IF_EQUAL, 0, 3, _BPF),
        (_LOAD, 0, 0, 16),
        (_JUMP_IF_EQUAL, 0, 1, _PROG_LOAD),
        (_RETURN, 0, 0, _ERRNO | number),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *line) for line in lines)


def main() -> None:
    number, command = int(sys.argv[1]), sys.argv[2:]
    code = ctypes.create_string_buffer(_program(number))
    head = struct.pack("@HxxxxxxP", len(code) // 8, ctypes.addressof(code))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, head, 0, 0):
        sys.exit(f"no seccomp filters: {os.strerror(ctypes.get_errno())}")
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
