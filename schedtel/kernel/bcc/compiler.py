"""The bcc of the distribution: settings in; file descriptors of maps and attached programs out.

This module finds bcc and puts the source text together. A process of its own compiles and loads the text
(:mod:`schedtel.kernel.bcc.child`).
"""

import importlib.util
import json
import mmap
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from glob import glob
from pathlib import Path
from typing import IO, Any

import numpy as np

from schedtel.errors import CapabilityError
from schedtel.kernel.bcc import child as bcc_child
from schedtel.kernel.bcc import slots, tracepoints
from schedtel.kernel.bcc.headers import find_headers
from schedtel.kernel.bcc.sources import one_text, source_path
from schedtel.kernel.privileges import advice

MAPS = ("controls", "cpus", "slots", "tids", "preemptions")
#: Where distributions keep the modules of their own Python.
_MODULE_DIRECTORIES = (
    "/usr/lib/python3/dist-packages",
    "/usr/lib/python3.*/site-packages",
    "/usr/lib64/python3.*/site-packages",
)
_FLAGS = ("-Wno-macro-redefined", "-Wno-unknown-attributes")
_MOST_FDS = 16
_LENGTH = 4


def module_directory() -> Path:
    """The directory of the distribution's module bcc. Raises :class:`CapabilityError` where there is none."""
    for pattern in _MODULE_DIRECTORIES:
        for directory in sorted(map(Path, glob(pattern)), reverse=True):
            if (directory / "bcc" / "libbcc.py").is_file():
                return directory
    raise CapabilityError(
        f"cannot find bcc{_namesake()}: it comes with the distribution, for its own Python 3 "
        "(apt install python3-bpfcc, or dnf install python3-bcc)"
    )


def _namesake() -> str:
    """For the error message: the package of the same name on PyPI, where that one is installed."""
    found = importlib.util.find_spec("bcc")
    if found is None or found.origin is None:
        return ""
    return f" (the one in {Path(found.origin).parent} is another, about lattices)"


def source_text(settings: np.ndarray, constants: Mapping[str, int]) -> str:
    """The whole source: settings and sizes as constants, then ``bcc.c``, then the layout that numpy expects.

    It is one text with all included files in it, since bcc rewrites lookups in tables in the main file alone.

    :param settings: one record of ``layout.SETTINGS``, shape ().
    """
    records, programs = source_path("records.h"), source_path("bcc/bcc.c")
    return "\n".join(
        [
            one_text(records),
            *(f"#define {name} {value}ULL" for name, value in constants.items()),
            f"static const struct settings settings = {{ {', '.join(_initialisers(settings))} }};",
            one_text(programs),
            *_assertions(),
        ]
    )


def _initialisers(settings: np.ndarray) -> Iterator[str]:
    for name in settings.dtype.names or ():
        value = settings[name]
        text = f"{int(value)}ULL" if value.ndim == 0 else "{ " + ", ".join(f"{int(v)}ULL" for v in value.flat) + " }"
        yield f".{name} = {text}"


def _assertions() -> Iterator[str]:
    """The offset at which numpy looks for each field, for the compiler to check before anything is loaded."""
    for struct, dtype in slots.CONTRACT.items():
        yield f'_Static_assert(sizeof(struct {struct}) == {dtype.itemsize}, "size of struct {struct}");'
        for name, (_, offset) in ((n, dtype.fields[n][:2]) for n in dtype.names or ()):  # type: ignore[index]
            yield f'_Static_assert(__builtin_offsetof(struct {struct}, {name}) == {offset}, "{struct}.{name}");'


class LoadedPrograms:
    """The programs in the kernel, not yet attached, and their maps.

    :param tracepoint_of: program of the text → its tracepoint.
    """

    def __init__(self, text: str, tracepoint_of: Mapping[str, str] = tracepoints.TRACEPOINTS) -> None:
        self._tracepoint_of = dict(tracepoint_of)
        directory, headers = module_directory(), find_headers()
        with headers.whole() as tree:
            self._start(tree)
            try:
                self._load(text, directory)
            except BaseException:
                self.close()
                raise

    def _start(self, headers: Path | None) -> None:
        """Start the process that has bcc compile."""
        self._complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed in close())
        self._channel, childs_end = socket.socketpair()
        command = [sys.executable, "-I", bcc_child.__file__, str(childs_end.fileno())]
        with childs_end:
            self._child = subprocess.Popen(
                command,
                env=dict(os.environ) | ({"BCC_KERNEL_SOURCE": str(headers)} if headers else {}),
                pass_fds=[childs_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
            )
        self._fds: list[int] = []

    def _load(self, text: str, directory: Path) -> None:
        programs = self._tracepoint_of
        wanted = {"module_directory": str(directory), "text": text, "flags": _FLAGS, "maps": MAPS, "programs": programs}
        self._send(wanted)
        fds = self._receive()
        self._maps = dict(zip(MAPS, fds, strict=False))
        # Kept open: a window's counts must not fail for want of a descriptor.
        self._counts = {
            name: os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
            for name, fd in zip(programs, fds[len(MAPS) :], strict=True)
        }
        self._fds += self._counts.values()

    def map_fd(self, name: str) -> int:
        return self._maps[name]

    def attach(self) -> None:
        """Attach all programs, in the order in which they are named. The process that holds bcc ends after that."""
        self._send({"attach": True})
        self._receive()
        self._child.wait()

    def counts(self) -> dict[str, dict[str, int]]:
        """Program → what the kernel counts of it: runs, their time in ns, runs skipped; 0 for what it does not."""
        return {name: _program_counts(fdinfo) for name, fdinfo in self._counts.items()}

    def close(self) -> None:
        """Detach and unload."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()
        self._channel.close()
        self._child.kill()
        self._child.wait()
        self._complaints.close()

    def _send(self, message: dict[str, Any]) -> None:
        payload = json.dumps(message).encode()
        try:
            self._channel.sendall(len(payload).to_bytes(_LENGTH, "little") + payload)
        except OSError as error:
            raise self._failure({}) from error

    def _receive(self) -> list[int]:
        """The descriptors of the next step. Raises :class:`CapabilityError` if the step failed."""
        head, fds, _, _ = socket.recv_fds(self._channel, _LENGTH, _MOST_FDS)
        self._fds += fds
        answer = json.loads(self._channel.recv(int.from_bytes(head, "little"), socket.MSG_WAITALL) or b"{}")
        if not answer or "failed" in answer:
            raise self._failure(answer)
        return list(fds)

    def _failure(self, answer: dict[str, Any]) -> CapabilityError:
        self._child.wait()
        self._complaints.seek(0)
        return failure(answer, self._complaints.read().decode(errors="replace"))


def failure(answer: dict[str, Any], complaints: str) -> CapabilityError:
    """The error, in one line: from the process's answer and from what bcc wrote to its stderr."""
    what, number = answer.get("failed", "run bcc"), answer.get("errno", 0)
    cause = answer.get("reason") or (os.strerror(number) if number else "bcc failed")
    told = re.search(r"(?:fatal )?error: .*|^.*(?:not permitted|denied|unbounded|invalid).*$", complaints, re.MULTILINE)
    return CapabilityError(f"cannot {what}: {cause}{f'; bcc: {told[0].strip()}' if told else ''} ({advice(number)})")


def _program_counts(fdinfo: int) -> dict[str, int]:
    lines = os.pread(fdinfo, mmap.PAGESIZE, 0).decode("ascii").splitlines()
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    return {name: int(fields.get(name, 0)) for name in ("run_cnt", "run_time_ns", "recursion_misses")}
