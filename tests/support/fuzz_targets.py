"""What strangers write, and what reads it: a strategy that makes inputs, and a function that must take each of them.

Such a function may refuse an input by :class:`SchedtelError`, in one line. Any other exception is a find.
"""

import io
import re
import shutil
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from hypothesis import strategies as st

import schedtel
from schedtel.access.uri import host_and_port, is_uri, parse_address
from schedtel.cli.strict import StrictCommand
from schedtel.durations import parse_duration
from schedtel.errors import SchedtelError
from schedtel.flight.wire import parse_request
from schedtel.recordings.storage import hide_secrets
from schedtel.workloads.plan import make_plan
from schedtel.workloads.presets import preset_names, preset_text
from schedtel.workloads.spec import parse_workload

FTRACE = (
    b"          <idle>-0     [000] d... 100.000000: sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 "
    b"prev_state=R ==> next_comm=a next_pid=7 next_prio=120\n"
    b"               a-7     [000] d... 100.010000: sched_switch: prev_comm=a prev_pid=7 prev_prio=120 "
    b"prev_state=S ==> next_comm=swapper/0 next_pid=0 next_prio=120\n"
    b"          <idle>-0     [000] d... 100.020000: sched_wakeup: comm=a pid=7 prio=120 target_cpu=000\n"
)
PERF = (
    b"swapper     0 [000]   100.000000000: sched:sched_switch: prev_comm=swapper/0 prev_pid=0 prev_prio=120 "
    b"prev_state=R ==> next_comm=a next_pid=7 next_prio=120\n"
    b"      a     7 [000]   100.010000000: sched:sched_switch: prev_comm=a prev_pid=7 prev_prio=120 "
    b"prev_state=Z ==> next_comm=swapper/0 next_pid=0 next_prio=120\n"
)
REQUEST = b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer x\r\nConnection: close\r\n\r\n"
TICKET = b'{"stream": "tasks", "by": "comm", "start": "history", "after": 3}'
WORKLOADS = [preset_text(name).encode() for name in preset_names()]
WORDS = [
    "grpc://127.0.0.1:8815",
    "grpc+tls://[::1]:1",
    "grpc+unix:///run/s",
    "s3://key:secret@bucket/path",
    "1.5ms",
    "24h",
]


@dataclass(frozen=True)
class Target:
    """``finds`` are inputs that once did harm, or nearly so; they are tried on every run."""

    inputs: st.SearchStrategy[Any]
    take: Callable[[Any], None]
    finds: tuple[Any, ...] = ()


def edited(*seeds: bytes) -> st.SearchStrategy[bytes]:
    """One of the seeds with some of its parts replaced, repeated or left out; or any bytes."""
    edits = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 20), st.binary(max_size=12)), min_size=1, max_size=6)
    return st.one_of(st.binary(max_size=400), st.builds(_edit, st.sampled_from(seeds), edits))


def _edit(seed: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    for place, removed, added in edits:
        at = int(place * len(seed))
        seed = seed[:at] + added + seed[at + removed :]
    return seed


def refused_in_one_line(call: Callable[[], object]) -> None:
    said = ""
    try:
        call()
    except SchedtelError as error:
        said = str(error)
    assert "\n" not in said


# ---- what takes an input ----


def take_trace(text: bytes) -> None:
    refused_in_one_line(lambda: list(schedtel.import_trace(io.BytesIO(text), "24h")))


def take_text(text: str) -> None:
    refused_in_one_line(lambda: parse_duration(text))
    refused_in_one_line(lambda: parse_address(text))
    with suppress(ValueError):
        host, port = host_and_port(text)
        assert host.isascii()
        assert 0 <= port < 1 << 16
    assert is_uri(text) in (True, False)
    hide_secrets(text)


def take_ticket(ticket: bytes) -> None:
    refused_in_one_line(lambda: parse_request(ticket))


def take_workload(text: bytes) -> None:
    """Plan it, as far as it can be planned; nothing is run."""
    refused_in_one_line(lambda: make_plan(parse_workload(text.decode(errors="replace"), "fuzz")))


def take_option(given: tuple[click.Parameter, str]) -> None:
    """Parse one value of one option, as the command does; nothing is run."""
    parameter, value = given
    words = [f"{max(parameter.opts, key=len)}={value}"] if isinstance(parameter, click.Option) else ["--", value]
    command = StrictCommand("probe", params=[parameter])
    with suppress(click.UsageError, SchedtelError):
        context = command.make_context("probe", words)
        given_value = context.params[parameter.name or ""]
        assert given_value not in ("", None, ()), words


def recording_taker(recording: Path) -> Callable[[tuple[str, bytes]], None]:
    """A function that replaces one file of a recording and reads it."""

    def take(given: tuple[str, bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            shutil.copytree(recording, f"{folder}/copy")
            Path(f"{folder}/copy/{given[0]}").write_bytes(given[1])
            refused_in_one_line(lambda: [window.metrics for window in schedtel.read(f"{folder}/copy")])

    return take


def edited_files(recording: Path) -> st.SearchStrategy[tuple[str, bytes]]:
    files = {str(path.relative_to(recording)): path.read_bytes() for path in recording.rglob("*.parquet")}
    return st.one_of([st.tuples(st.just(name), edited(content)) for name, content in sorted(files.items())])


def http_taker(port: int) -> Callable[[bytes], None]:
    """A function that sends bytes to a server of metrics, which must then still answer a proper request."""

    def ask(request: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            with suppress(OSError):  # it may hang up before it has read all of it
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionResetError):
                return b"".join(iter(lambda: connection.recv(65_536), b""))
        return b""

    def take(request: bytes) -> None:
        ask(request)
        assert re.match(rb"HTTP/1\.[01] 200 OK", ask(REQUEST))

    return take
