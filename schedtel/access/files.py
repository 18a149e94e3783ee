"""Paths that a user names in; the contents of small files (a token, a certificate), or files to write, out."""

import errno
import os
import stat
import time
from contextlib import suppress

from schedtel.errors import UsageError

#: Four times the authorities that a distribution trusts, as one PEM file.
_MOST_BYTES = 1 << 20
#: How long a named pipe may have no reader, and how often it is tried.
_PATIENCE_S, _PAUSE_S = 3.0, 0.05


def read_file(path: str, what: str) -> bytes:
    """The file's content; the parameters and errors are those of :func:`read_with_mode`."""
    return read_with_mode(path, what)[0]


def read_with_mode(path: str, what: str, most_bytes: int = _MOST_BYTES) -> tuple[bytes, int]:
    """The content of a regular file, and its mode (``st_mode``).

    A device may have no end, and a pipe may have no writer, so both are refused.

    :param what: what the file should contain, in words for the message.
    :param most_bytes: how large it may be, in whole MiB.

    Raises :class:`UsageError` where the file cannot be read, is not regular, or is larger.
    """
    if not path or "\0" in path:
        raise UsageError(f"cannot read {what} {path!r}: this is no path (name a file)")
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(most_bytes + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise UsageError(f"cannot read {what} {path}: {error.strerror} (check the path)") from error
    if not stat.S_ISREG(mode):
        raise UsageError(f"cannot read {what} {path}: it is no regular file (copy it to one)")
    if len(content) > most_bytes:
        raise UsageError(f"cannot read {what} {path}: it is larger than {most_bytes >> 20} MiB (is it the right file?)")
    return content, mode


def _without_waiting(path: str, flags: int) -> int:
    """Open the file. Without O_NONBLOCK, opening a pipe would wait for its writer."""
    return os.open(path, flags | os.O_NONBLOCK)


def write_whole(
    path: str | os.PathLike[str], content: bytes, *, folder: int | None = None, replaces: bool = True
) -> None:
    """Write a file that only its owner reads. It appears when it is whole and on the disk.

    :param folder: descriptor of the directory that a relative path is of; None: the working directory.
    :param replaces: whether it may take the place of another file.

    Raises :class:`OSError`; :class:`FileExistsError` for one that is there and may not be replaced.
    """
    head, name = os.path.split(path)
    unfinished = os.path.join(head, f".{name}.unfinished")
    with suppress(FileNotFoundError):
        os.unlink(unfinished, dir_fd=folder)  # left by a writer that was killed, or planted
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(unfinished, flags, 0o600, dir_fd=folder)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        if replaces:
            os.rename(unfinished, path, src_dir_fd=folder, dst_dir_fd=folder)
        else:
            os.link(unfinished, path, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished, dir_fd=folder)


def open_to_write(path: str, flags: int) -> int:
    """An opener for :func:`open`, of files that only their owner reads. It waits for a pipe's reader, but not for ever.

    Raises :class:`OSError` like :func:`os.open`, and after 3 s without a reader.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            descriptor = os.open(path, flags | os.O_NONBLOCK, 0o600)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > deadline:
                raise OSError(errno.ENXIO, "no program reads this pipe", path) from error
            time.sleep(_PAUSE_S)
        else:
            os.set_blocking(descriptor, True)
            return descriptor
