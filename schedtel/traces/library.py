"""The replay library: bpf/replay/replay.c, which ships compiled; loaded, with the structs that cross its border."""

import ctypes
import functools

from schedtel.kernel.bcc import slots
from schedtel.records.native import load_library
from schedtel.traces.events import EVENT


class ReplayState(ctypes.Structure):
    """``struct replay`` of bpf/replay/event.h."""

    _fields_ = (
        ("controls", ctypes.c_void_p),
        ("cpus", ctypes.c_void_p),
        ("slots", ctypes.c_void_p),
        ("tids", ctypes.c_void_p),
        ("preemptions", ctypes.c_void_p),
        ("cpu_count", ctypes.c_uint32),
        ("slot_count", ctypes.c_uint32),
        ("tid_count", ctypes.c_uint32),
        ("wakeups_traced", ctypes.c_uint32),
        ("exits_seen", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
        ("event", ctypes.c_void_p),
    )


@functools.cache
def replay_library() -> ctypes.CDLL:
    """The loaded library. Raises :class:`CapabilityError` where the package lacks it, or has one of another version."""
    sizes = {
        "replay_size": ctypes.sizeof(ReplayState),
        "replay_event_size": EVENT.itemsize,
        "replay_slot_size": slots.SLOT.itemsize,
        "replay_cpu_size": slots.SLOT_CPU.itemsize,
    }
    library = load_library("replay", sizes)
    library.replay.restype = ctypes.c_uint64
    library.replay.argtypes = [ctypes.POINTER(ReplayState), ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32]
    return library
