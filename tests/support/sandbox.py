"""A unit file in, a command under the restrictions of that unit out: what a service may do, without systemd.

Run by root as ``python sandbox.py UNIT STAGING WRITABLE -- COMMAND…``, in a mount namespace of its own. It takes from
the unit: capabilities, user, no new privileges, a read-only tree but for one directory, hidden homes and processes,
system calls and address families (by libseccomp), and no memory that is writable and executable. The caller makes the
private network (unshare -n). It leaves out limits of memory, devices, addresses and namespaces: systemd applies those
by cgroups and filters of its own.
"""

import ctypes
import errno
import os
import shlex
import socket
import subprocess
import sys
from pathlib import Path

#: A user of the range from which systemd takes dynamic users (systemd.exec(5)).
DYNAMIC_USER = 61200
HOMES = ("/root", "/home", "/run/user")
_ALLOW, _ERRNO, _EQUAL = 0x7FFF0000, 0x00050000, 4  # seccomp.h: SCMP_ACT_ALLOW, SCMP_ACT_ERRNO(x), SCMP_CMP_EQ
_SET_MDWE, _REFUSE_EXEC_GAIN = 65, 1  # include/uapi/linux/prctl.h
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE, _RDONLY = 442, -100, 0x8000, 1


def settings(unit):
    """The [Service] section of a unit: name → values, in order."""
    found = {}
    section = Path(unit).read_text(encoding="utf-8").partition("[Service]")[2].partition("\n[")[0]
    for line in section.splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def command(unit):
    """The words of ExecStart."""
    return shlex.split(settings(unit)["ExecStart"][-1])


def is_on(unit, name):
    return settings(unit).get(name, ["no"])[-1] == "yes"


# ---- system calls ----


def syscalls(unit):
    """The names that the filter lets through, in the order in which systemd reads its lines (systemd.exec(5))."""
    allowed = set()
    for line in settings(unit)["SystemCallFilter"]:
        names = {name for word in line.lstrip("~").split() for name in _expand(word)}
        allowed = allowed - names if line.startswith("~") else allowed | names
    return allowed


def _expand(word):
    if not word.startswith("@"):
        return [word]
    listing = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True)
    lines = [line.strip() for line in listing.stdout.splitlines()[1:]]
    return [name for line in lines if line and not line.startswith("#") for name in _expand(line)]


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


def _filter_syscalls(unit):
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | errno.EPERM)))
    for name in sorted(syscalls(unit) - {"socket"}):
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number >= 0:  # a name without a number belongs to another architecture
            _check(library.seccomp_rule_add(context, ctypes.c_uint32(_ALLOW), number, 0))
    number = library.seccomp_syscall_resolve_name(b"socket")
    for family in settings(unit)["RestrictAddressFamilies"][-1].split():
        is_it = _Comparison(0, _EQUAL, getattr(socket, family), 0)
        _check(library.seccomp_rule_add_array(context, ctypes.c_uint32(_ALLOW), number, 1, ctypes.byref(is_it)))
    _check(library.seccomp_load(context))


def _check(result):
    if result:
        raise OSError(-result, os.strerror(-result))


# ---- files ----


def _mount(*words):
    subprocess.run(["mount", *words], check=True)


def _hide_homes(staging, kept):
    """Empty the home directories, but for what the interpreter and this checkout need of them."""
    for number, home in enumerate(home for home in HOMES if os.path.isdir(home)):
        held = []
        for path in (path for path in kept if Path(path).is_relative_to(home)):
            place = f"{staging}/{number}-{len(held)}"
            os.makedirs(place, exist_ok=True)
            _mount("--rbind", path, place)
            held.append((place, path))
        _mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", home)
        for place, path in held:
            os.makedirs(path)
            _mount("--rbind", place, path)


def _set_read_only(path, on, flags):
    attributes = (ctypes.c_uint64 * 4)(_RDONLY if on else 0, 0 if on else _RDONLY, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, path.encode(), flags, ctypes.byref(attributes), 32):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def _restrict_files(unit, staging, writable):
    if os.stat("/proc/self/ns/mnt").st_ino == os.stat(f"/proc/{os.getppid()}/ns/mnt").st_ino:
        raise SystemExit("not in a mount namespace of its own")
    if is_on(unit, "ProtectHome"):
        _hide_homes(staging, {sys.base_prefix, os.path.realpath(sys.prefix + "/..")})
    if settings(unit).get("ProtectProc") == ["invisible"]:
        _mount("-t", "proc", "-o", "hidepid=invisible", "proc", "/proc")
    _mount("--bind", writable, writable)
    _set_read_only("/", True, _AT_RECURSIVE)
    _set_read_only(writable, False, 0)


# ---- the two steps: as root, and as the service's user ----


def _as_user(unit):
    def capabilities(name):
        return "".join(f",+{c.removeprefix('CAP_').lower()}" for c in settings(unit)[name][-1].split())

    ambient = capabilities("AmbientCapabilities")
    words = [f"--bounding-set=-all{capabilities('CapabilityBoundingSet')}", f"--inh-caps=-all{ambient}"]
    words.append(f"--ambient-caps=-all{ambient}")
    words += [f"--reuid={DYNAMIC_USER}", f"--regid={DYNAMIC_USER}", "--clear-groups"] * is_on(unit, "DynamicUser")
    return ["setpriv", *words, *["--no-new-privs"] * is_on(unit, "NoNewPrivileges")]


def main():
    unit, staging, writable, _, *words = sys.argv[1:]
    if os.geteuid() == 0:
        _restrict_files(unit, staging, writable)
        os.execvp("setpriv", [*_as_user(unit), sys.executable, *sys.argv])
    os.umask(int(settings(unit)["UMask"][-1], 8))
    if is_on(unit, "MemoryDenyWriteExecute"):
        _check(ctypes.CDLL(None).prctl(_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0))
    _filter_syscalls(unit)
    os.execvp(words[0], words)


if __name__ == "__main__":
    main()
