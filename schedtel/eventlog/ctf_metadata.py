"""The metadata of a CTF trace, in its language TSDL (https://diamon.org/ctf), and the records that it describes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

import numpy as np

from schedtel.eventlog.recording import EventRecording

_NS_PER_S = 10**9
_TYPES = {"S16": "text_t", "<i4": "int32_t", "<i8": "int64_t"}


@dataclass(frozen=True)
class Event:
    """An event of LTTng: number, name, stream, and its fields with their numpy types."""

    number: int
    name: str
    stream: int
    fields: tuple[tuple[str, str], ...]

    @cached_property
    def record(self) -> np.dtype:
        """The event as it is in a stream."""
        return np.dtype([("id", "<u2"), ("timestamp", "<u8"), *self.fields])

    def text(self) -> str:
        """The event in TSDL. Fields have an underscore before their names, as LTTng's, which readers take away."""
        lines = "".join(f"\t\t{_TYPES[kind]} _{name}{'[16]' if kind == 'S16' else ''};\n" for name, kind in self.fields)
        head = f'\tname = "{self.name}";\n\tid = {self.number};\n\tstream_id = {self.stream};\n'
        return f"event {{\n{head}\tfields := struct {{\n{lines}\t}};\n}};\n"


def _ints(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, "<i4") for name in names)


_WHOSE = (("comm", "S16"), *_ints("tid", "prio"))
_WAKEUP = (*_WHOSE, *_ints("target_cpu"))
#: What happened, by our name for it; those of lives in the second stream.
EVENTS = {
    "switch": Event(
        1,
        "sched_switch",
        0,
        (
            *[("prev_comm", "S16"), *_ints("prev_tid", "prev_prio"), ("prev_state", "<i8")],
            *[("next_comm", "S16"), *_ints("next_tid", "next_prio")],
        ),
    ),
    "wakeup": Event(2, "sched_wakeup", 0, _WAKEUP),
    "wakeup_new": Event(3, "sched_wakeup_new", 0, _WAKEUP),
    "migrate": Event(4, "sched_migrate_task", 0, (*_WHOSE, *_ints("orig_cpu", "dest_cpu"))),
    "newtask": Event(
        5,
        "sched_process_fork",
        1,
        (
            *[("parent_comm", "S16"), *_ints("parent_tid", "parent_pid")],
            *[("child_comm", "S16"), *_ints("child_tid", "child_pid")],
        ),
    ),
    "exec": Event(6, "sched_process_exec", 1, (("filename", "S16"), *_ints("tid", "old_tid"))),
    "exit": Event(7, "sched_process_exit", 1, _WHOSE),
    "alive_begin": Event(8, "lttng_statedump_start", 1, ()),
    "alive": Event(
        9,
        "lttng_statedump_process_state",
        1,
        (
            *[*_ints("tid", "vtid", "pid", "vpid", "ppid", "vppid"), ("name", "S16")],
            *_ints("type", "mode", "submode", "status", "ns_level"),
        ),
    ),
    "alive_end": Event(10, "lttng_statedump_end", 1, ()),
}
_INTEGER = "typealias integer {{ size = {0}; align = 8; signed = {1}; }} := {2};\n"
_HEAD = "".join(
    _INTEGER.format(size, signed, f"{'' if signed == 'true' else 'u'}int{size}_t")
    for size in (8, 16, 32, 64)
    for signed in ("true", "false")
)
_TEXT = "typealias integer { size = 8; align = 8; signed = false; encoding = UTF8; } := text_t;\n"
_CLOCKED = "typealias integer { size = 64; align = 8; signed = false; map = clock.monotonic.value; } := clock_t;\n"
_STREAM = """stream {{
	id = {0};
	packet.context := struct {{
		clock_t timestamp_begin;
		clock_t timestamp_end;
		uint64_t content_size;
		uint64_t packet_size;
		uint64_t events_discarded;
		uint32_t cpu_id;
	}};
	event.header := struct {{
		uint16_t id;
		clock_t timestamp;
	}};
}};
"""


def text(identity: UUID, recording: EventRecording) -> str:
    """The metadata of a trace of a recording."""
    streams = "".join(map(_STREAM.format, range(2)))
    events = "".join(event.text() for event in EVENTS.values())
    parts = (_HEAD, _TEXT, _trace(identity), _environment(recording), _clock(identity, recording), _CLOCKED)
    return "".join(("/* CTF 1.8 */\n", *parts, streams, events))


def _trace(identity: UUID) -> str:
    header = "struct { uint32_t magic; uint8_t uuid[16]; uint32_t stream_id; }"
    return (
        f'trace {{\n\tmajor = 1;\n\tminor = 8;\n\tuuid = "{identity}";\n\tbyte_order = le;\n'
        f"\tpacket.header := {header};\n}};\n"
    )


def _environment(recording: EventRecording) -> str:
    """What readers of LTTng's traces ask for: by the tracer's name they tell which events to expect."""
    texts = {
        "hostname": recording.metadata.get("host", ""),
        "domain": "kernel",
        "sysname": "Linux",
        "kernel_release": recording.metadata.get("kernel", ""),
        "tracer_name": "lttng-modules",
    }
    lines = "".join(f'\t{name} = "{_quoted(value)}";\n' for name, value in texts.items())
    return f"env {{\n{lines}\ttracer_major = 2;\n\ttracer_minor = 9;\n\ttracer_patchlevel = 0;\n}};\n"


def _quoted(value: str) -> str:
    """A text of another host, without what could end the quotes."""
    return re.sub(r"[^A-Za-z0-9 ._+:/~-]", "_", value)


def _clock(identity: UUID, recording: EventRecording) -> str:
    seconds, rest = divmod(recording.wall_offset_ns, _NS_PER_S)
    return (
        f'clock {{\n\tname = "monotonic";\n\tuuid = "{identity}";\n\tdescription = "Monotonic Clock";\n'
        f"\tfreq = {_NS_PER_S};\n\toffset_s = {seconds};\n\toffset = {rest};\n}};\n"
    )
