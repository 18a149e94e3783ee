"""Trees and bytes in; cpio archives as the kernel unpacks them, which are the same for the same input, out.

The format is "newc": Documentation/driver-api/early-userspace/buffer-format.rst of the kernel tree. The kernel unpacks
several archives in one file, one after the other. Names are sorted, all files belong to root and have no time.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

_END = "TRAILER!!!"
_COPIED_AT_ONCE = 1 << 20


def pack_tree(root: Path, file: BinaryIO) -> None:
    """Write an archive of all that is below a directory."""
    for number, path in enumerate(sorted(root.rglob("*")), 1):
        _pack_path(path, str(path.relative_to(root)), number, file)
    _header(file, _END, 0, 0, 0)


def pack_files(files: Mapping[str, bytes], file: BinaryIO, multiple: int = 4) -> None:
    """Write an archive of files by their paths, all executable, and of the directories that these need.

    :param multiple: zeros follow to a multiple of this size.
    """
    begin = file.tell()
    names = {str(parent) for name in files for parent in Path(name).parents} - {".", "/"}
    for number, name in enumerate(sorted(names), 1):
        _header(file, name.lstrip("/"), number, stat.S_IFDIR | 0o755, 0)
    for number, (name, content) in enumerate(sorted(files.items()), len(names) + 1):
        _header(file, name.lstrip("/"), number, stat.S_IFREG | 0o755, len(content))
        file.write(content)
        _pad(file)
    _header(file, _END, 0, 0, 0)
    file.write(bytes(-(file.tell() - begin) % multiple))


def _pack_path(path: Path, name: str, number: int, file: BinaryIO) -> None:
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        target = os.fsencode(os.readlink(path))
        _header(file, name, number, stat.S_IFLNK | 0o777, len(target))
        file.write(target)
    elif stat.S_ISDIR(status.st_mode):
        _header(file, name, number, stat.S_IFDIR | 0o755, 0)
    else:
        mode = 0o755 if status.st_mode & stat.S_IXUSR else 0o644
        _header(file, name, number, stat.S_IFREG | mode, status.st_size)
        with open(path, "rb") as source:
            while block := source.read(_COPIED_AT_ONCE):
                file.write(block)
    _pad(file)


def _header(file: BinaryIO, name: str, number: int, mode: int, size: int) -> None:
    raw = os.fsencode(name) + b"\0"
    # Inode, mode, user, group, links, time, size, two devices of two numbers each, length of the name, no checksum.
    fields = (number, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(raw), 0)
    file.write(b"070701" + b"".join(b"%08x" % field for field in fields) + raw)
    _pad(file)


def _pad(file: BinaryIO) -> None:
    file.write(bytes(-file.tell() % 4))
