"""What a guest needs besides the interpreter to run the units, with systemd as its first process: a second archive.

The archive holds the systemd of this machine (Debian's), its units for a boot to ``basic.target`` without a device
manager, and schedtel where docs/deployment.md installs it. That systemd starts only inside a guest.
"""

import sys
from pathlib import Path

from initramfs import HERE, ROOT, archive, copy, copy_program, interpreter_of_guest
from kernels import UnavailableError

SYSTEMD = "/usr/lib/systemd/systemd"
GUEST_UNIT = "guest-units.service"
#: The program that the kernel starts, and the unit that it starts in place of ``default.target``.
COMMAND_LINE = (f"rdinit={SYSTEMD}", f"systemd.unit={GUEST_UNIT}")
_PROGRAMS = (SYSTEMD, "/usr/lib/systemd/systemd-journald", "/usr/bin/systemctl", "/usr/bin/journalctl")
#: systemd starts services by it, since version 255.
_EXECUTOR = "/usr/lib/systemd/systemd-executor"
_UNITS = (
    "basic.target",
    "local-fs.target",
    "multi-user.target",
    "network.target",
    "shutdown.target",
    "slices.target",
    "sockets.target",
    "sysinit.target",
    "systemd-journald.service",
    "systemd-journald.socket",
    "systemd-journald-dev-log.socket",
)
_WANTED = (
    "sysinit.target.wants/systemd-journald.service",
    "sockets.target.wants/systemd-journald.socket",
    "sockets.target.wants/systemd-journald-dev-log.socket",
)
_UNIT_DIRECTORY = "usr/lib/systemd/system"
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/machine-id": "5c4ed7e1000000000000000000000001\n",
}
#: The script as pip writes it.
_CONSOLE_SCRIPT = """#!/opt/schedtel/bin/python
import sys
from schedtel.cli import main
sys.exit(main())
"""


def pack_services(scratch: Path) -> Path:
    """Build the archive in a directory; raises :class:`UnavailableError` where this machine has no systemd to copy."""
    absent = [path for path in _PROGRAMS if not Path(path).exists()]
    if absent:
        raise UnavailableError(f"needs {' and '.join(absent)} to put into the guest (Debian's package systemd)")
    root = scratch / "services"
    for directory in ("root", "home", "run", "var/tmp", "var/lib", "var/log", "usr/local/bin"):
        (root / directory).mkdir(parents=True)
    _pack_systemd(root)
    _pack_installation(root)
    for path in [*ROOT.glob("deploy/*.service"), HERE / GUEST_UNIT]:
        copy(path, root, f"etc/systemd/system/{path.name}")
    return archive(root, scratch / "services.cpio")


def _pack_systemd(root: Path) -> None:
    for program in (*_PROGRAMS, *[_EXECUTOR] * Path(_EXECUTOR).exists()):
        copy_program(Path(program), root)
    for name in _UNITS:
        copy(Path(f"/{_UNIT_DIRECTORY}/{name}"), root)
    for wanted in map(Path, _WANTED):
        (root / _UNIT_DIRECTORY / wanted.parent).mkdir(exist_ok=True)
        (root / _UNIT_DIRECTORY / wanted).symlink_to(f"../{wanted.name}")
    for name, text in _FILES.items():
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(text)


def _pack_installation(root: Path) -> None:
    """A virtual environment in /opt/schedtel and a link to its command, made as docs/deployment.md says."""
    home, interpreter = root / "opt/schedtel", interpreter_of_guest()
    (home / "bin").mkdir(parents=True)
    (home / "bin/python").symlink_to(interpreter)
    (home / "bin/schedtel").write_text(_CONSOLE_SCRIPT)
    (home / "bin/schedtel").chmod(0o755)
    (home / "pyvenv.cfg").write_text(f"home = {interpreter.parent}\n")
    library = home / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    library.mkdir(parents=True)
    (library / "site-packages").symlink_to("/packages")
    (root / "usr/local/bin/schedtel").symlink_to("/opt/schedtel/bin/schedtel")
