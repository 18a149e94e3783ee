"""Paths that a user may name by mistake or on purpose: no file, no end, no reader, no end of the name."""

import os


def hostile_paths(folder):
    """Make the files in a folder; returns the paths, some of which are of the system."""
    os.mkfifo(folder / "pipe")
    (folder / "empty").touch()
    (folder / "garbage").write_bytes(bytes(range(256)) * 64)
    with open(folder / "sparse", "wb") as sparse:
        sparse.truncate(1 << 40)
    (folder / "loop").symlink_to("loop")
    (folder / "closed").mkdir(mode=0)
    ours = [str(folder / name) for name in ("pipe", "empty", "garbage", "sparse", "loop", "closed", "missing")]
    return [
        *ours,
        "",
        " ",
        "-",
        "/proc",
        ".",
        "/dev/zero",
        "/dev/full",
        "/dev/null",
        "/dev/null/x",
        "/proc/self/mem",
        *_NAMES,
    ]


#: None of these is a place outside of the working directory where root could write.
_NAMES = ("x" * 5_000, "x/" * 3_000, "\udcff\udcfe", "\x1b[2J", "two\nlines", "~", "$(reboot)", "%s%n")
