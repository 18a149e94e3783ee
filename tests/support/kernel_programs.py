"""The BPF programs of this kernel, as it lists them itself, whoever loaded them."""

import ctypes

from schedtel.kernel.libbpf import ProgInfo

_LIBRARY = ctypes.CDLL("libbpf.so.1", use_errno=True)


def program_ids(name):
    """The ids of all loaded programs of this name."""
    found, number = set(), ctypes.c_uint32(0)
    while _LIBRARY.bpf_prog_get_next_id(number, ctypes.byref(number)) == 0:
        fd = _LIBRARY.bpf_prog_get_fd_by_id(number)
        if fd < 0:  # unloaded meanwhile
            continue
        info, size = ProgInfo(), ctypes.c_uint32(ctypes.sizeof(ProgInfo))
        if (
            _LIBRARY.bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size)) == 0
            and info.name == name.encode()
        ):
            found.add(number.value)
        ctypes.CDLL(None).close(fd)
    return found
