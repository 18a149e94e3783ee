"""What runs inside the guest between its boot and its job: nothing in; the job's files, written, out.

The host takes a snapshot of the guest here, and each run goes on from it. So that the snapshot is exact, a watchdog
stops the guest in virtual time while all CPUs are idle; so that a run does not depend on the length of its job, it
begins at a moment that does not either. Two devices of qemu serve for that, by their files in sysfs:

    i6300esb         a watchdog, which stops the guest (hw/watchdog/wdt_i6300esb.c of qemu)
    ivshmem-plain    memory shared with the host, which has the job once the guest goes on
"""

import io
import mmap
import os
import tarfile
import time
from pathlib import Path

#: Vendor and device, as sysfs has them.
WATCHDOG, SHARED_MEMORY = ("0x8086", "0x25ab"), ("0x1af4", "0x1110")
#: How much memory is shared with the host: a job's length in eight bytes, and the job as a tar archive.
SHARED_SIZE = 4 << 20
LENGTH_SIZE = 8
_DEVICES = Path("/sys/bus/pci/devices")
#: Its registers in PCI configuration space, and their values: count microseconds and interrupt nobody; begin.
_CONFIG, _MICROSECONDS, _LOCK, _ENABLE = 0x60, 0x07, 0x68, 0x02
#: It stops the guest 2 * 2^20 * 0.96 µs after it was enabled. The guest sleeps until later than that...
_STOPPED_S = 2.1
#: ... and then has this long to take its job.
_TAKEN_S = 0.4


def wait_for_job() -> None:
    """Sleep until there is a job, and unpack it. Each time this sleeps, the host may take its snapshot."""
    shared = _Shared()
    while True:
        begin = time.monotonic()
        _enable_watchdog()
        _sleep_until(begin + _STOPPED_S)
        packed = shared.read()
        if packed:
            _unpack(packed)
            _sleep_until(begin + _STOPPED_S + _TAKEN_S)
            return


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _device(kind: tuple[str, str]) -> Path:
    for device in sorted(_DEVICES.iterdir()):
        if kind == ((device / "vendor").read_text().strip(), (device / "device").read_text().strip()):
            return device
    raise LookupError(f"no PCI device {kind}")


def _enable_watchdog() -> None:
    descriptor = os.open(_device(WATCHDOG) / "config", os.O_RDWR)
    try:
        os.pwrite(descriptor, _MICROSECONDS.to_bytes(2, "little"), _CONFIG)
        os.pwrite(descriptor, bytes([_ENABLE]), _LOCK)
    finally:
        os.close(descriptor)


class _Shared:
    """The memory that the host shares: the second of its device's regions."""

    def __init__(self) -> None:
        device = _device(SHARED_MEMORY)
        (device / "enable").write_text("1")
        with open(device / "resource2", "rb") as file:
            self._memory = mmap.mmap(file.fileno(), SHARED_SIZE, prot=mmap.PROT_READ)

    def read(self) -> bytes:
        """The job; empty as long as there is none."""
        length = int.from_bytes(self._memory[:LENGTH_SIZE], "big")
        return self._memory[LENGTH_SIZE : LENGTH_SIZE + length]


def _unpack(packed: bytes) -> None:
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall("/", filter="data")
