"""Run in place of a service, as ``probe.py CGROUPS [DEVICE ADDRESS]``: tries what no service needs; JSON on stdout.

The JSON says who the process is, and why the kernel refused each attempt; null where it did not.
"""

import json
import mmap
import os
import socket
import sys

TWO_CAPABILITIES = 1 << 38 | 1 << 39  # include/uapi/linux/capability.h: CAP_PERFMON, CAP_BPF


def refused(action):
    try:
        action()
    except OSError as error:
        return error.strerror
    return None


def connect(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
        packets.sendto(b"schedtel", (address, 9))


def attempts(cgroups):
    return {
        "/etc": lambda: open("/etc/schedtel-probe", "w"),
        "kernel's settings": lambda: open("/proc/sys/kernel/bpf_stats_enabled", "w"),
        "cgroups": lambda: os.mkdir(cgroups + "/schedtel-probe"),
        "packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        "other users' processes": lambda: os.stat("/proc/1/status"),
        "code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
        "chroot": lambda: os.chroot("/"),
    }


def main():
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    cgroups, *beyond = sys.argv[1:]
    tried = attempts(cgroups)
    if beyond:
        tried |= {"devices": lambda: os.stat(beyond[0]), "addresses": lambda: connect(beyond[1])}
    who = {
        "capabilities": [int(status[name], 16) for name in ("CapEff", "CapBnd", "CapAmb")],
        "user": os.getuid(),
        "no new privileges": status["NoNewPrivs"].strip(),
    }
    print(json.dumps({"who": who, "refused": {name: refused(action) for name, action in tried.items()}}))


if __name__ == "__main__":
    main()
