"""What runs inside a guest of the lab: swaps of schedulers while windows are read; both as JSON on stdout.

The objects are loaded once and attached in turns, so a swap takes milliseconds, and no program is started for it.
"""

import ctypes
import itertools
import json
import os
import subprocess
import sys
import threading
import time

import schedtel
from schedtel.windows import invariants

OBJECTS = "/usr/lib/sched_ext"
STRUCT_OPS = 26
HOGS = 3
WINDOW = "100ms"
#: A whole number of windows would have every swap at the same distance from an edge.
HELD_S = 0.13


class Schedulers:
    """Objects of sched_ext, loaded once."""

    def __init__(self, names):
        self.libbpf = ctypes.CDLL("libbpf.so.1")
        for name in ("bpf_object__open_file", "bpf_object__next_map", "bpf_map__attach_struct_ops"):
            getattr(self.libbpf, name).restype = ctypes.c_void_p
        self.maps = {name: self.loaded(name) for name in names}

    def loaded(self, name):
        opened = ctypes.c_void_p(self.libbpf.bpf_object__open_file(f"{OBJECTS}/{name}.bpf.o".encode(), None))
        assert opened.value, name
        assert self.libbpf.bpf_object__load(opened) == 0, name
        found = None
        while True:
            found = ctypes.c_void_p(self.libbpf.bpf_object__next_map(opened, found))
            if self.libbpf.bpf_map__type(found) == STRUCT_OPS:
                return found

    def attached(self, name):
        link = self.libbpf.bpf_map__attach_struct_ops(self.maps[name])
        assert link, name
        return ctypes.c_void_p(link)

    def detach(self, link):
        assert self.libbpf.bpf_link__destroy(link) == 0


def shown():
    """The scheduler by the kernel's files."""
    with open("/sys/kernel/sched_ext/state") as file:
        if file.read().strip() == "disabled":
            return "eevdf"
    with open("/sys/kernel/sched_ext/root/ops") as file:
        return file.read().strip()


def swap(schedulers, names, count, swaps):
    """Attach and detach in turns; each swap is the time before it, the time after it, and the scheduler since then."""
    link = None
    for _, name in zip(range(count), itertools.cycle([names[0], None, names[1], None]), strict=False):
        time.sleep(HELD_S)
        before = time.monotonic_ns()
        if name:
            link = schedulers.attached(name)
        else:
            schedulers.detach(link)
            while shown() != "eevdf":
                time.sleep(0.001)
        swaps.append((before, time.monotonic_ns(), shown()))


def main(count):
    names, swaps, windows = ["fifo", "vtime"], [], []
    schedulers = Schedulers(names)
    hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(HOGS)]
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # a slow guest's hogs would hold this process up
    swapping = threading.Thread(target=swap, args=(schedulers, names, count, swaps))
    with schedtel.live(window=WINDOW) as source:
        swapping.start()
        for window in source:
            windows.append(window)
            if not swapping.is_alive():
                source.stop()
    for hog in hogs:
        hog.kill()
    pairs = zip([None, *windows], windows, strict=False)
    broken = [str(found) for before, window in pairs for found in invariants.check(window, before) if not found.holds]
    labels = [(window.start_ns, window.end_ns, window.summary["scheduler"][0].as_py()) for window in windows]
    print(json.dumps({"swaps": swaps, "windows": labels, "broken": broken}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
