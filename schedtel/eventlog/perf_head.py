"""The head and the features of a perf.data file in file mode, written for events of ours: what perf needs to know.

Layout: tools/perf/Documentation/perf.data-file-format.txt in the kernel tree; of the tracing data, trace-cmd.dat(5).
The texts of formats are those of the kernel's tracefs, which perf parses.
"""

import struct
from dataclasses import dataclass

TRACEPOINT = 2
#: perf_event_attr.sample_type: IDENTIFIER, TID, TIME, CPU, RAW (include/uapi/linux/perf_event.h).
SAMPLE_TYPE = 1 << 16 | 1 << 1 | 1 << 2 | 1 << 7 | 1 << 10
_SAMPLE_ID_ALL = 1 << 18
_ATTR_BYTES, _HEAD_BYTES = 128, 104
_TRACING_DATA, _HOSTNAME, _OSRELEASE, _CPUS = 1, 3, 4, 7
#: Strings of features are as long as this.
_ALIGNED = 64

_COMMON = """\
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;
"""
_STATES = (
    '{ 0x0001, "S" }, { 0x0002, "D" }, { 0x0004, "T" }, { 0x0008, "t" }, '
    '{ 0x0010, "X" }, { 0x0020, "Z" }, { 0x0040, "P" }, { 0x0080, "I" }'
)
_SWITCH_TEXT = (
    '"prev_comm=%s prev_pid=%d prev_prio=%d prev_state=%s%s ==> next_comm=%s next_pid=%d next_prio=%d", '
    "REC->prev_comm, REC->prev_pid, REC->prev_prio, (REC->prev_state & 0xff) ? "
    f'__print_flags(REC->prev_state & 0xff, "|", {_STATES}) : "R", '
    'REC->prev_state & 0x100 ? "+" : "", REC->next_comm, REC->next_pid, REC->next_prio'
)
_WAKEUP_TEXT = '"comm=%s pid=%d prio=%d target_cpu=%03d", REC->comm, REC->pid, REC->prio, REC->target_cpu'
_MIGRATE_TEXT = (
    '"comm=%s pid=%d prio=%d orig_cpu=%d dest_cpu=%d", REC->comm, REC->pid, REC->prio, REC->orig_cpu, REC->dest_cpu'
)
_WAKEUP = (("char comm[16]", 16), ("pid_t pid", 4), ("int prio", 4), ("int target_cpu", 4))


@dataclass(frozen=True)
class Tracepoint:
    """An event as tracefs describes it: number, name, its own fields with their sizes, and how it is printed."""

    number: int
    name: str
    fields: tuple[tuple[str, int], ...]
    text: str

    def format(self) -> bytes:
        """As the file ``format`` of tracefs."""
        lines, offset = "", 8
        for declaration, size in self.fields:
            signed = int(not declaration.startswith(("char", "u64")))
            lines += f"\tfield:{declaration};\toffset:{offset};\tsize:{size};\tsigned:{signed};\n"
            offset += size
        head = f"name: {self.name}\nID: {self.number}\nformat:\n{_COMMON}\n"
        return f"{head}{lines}\nprint fmt: {self.text}\n".encode()


SWITCH = Tracepoint(
    1,
    "sched_switch",
    (
        ("char prev_comm[16]", 16),
        ("pid_t prev_pid", 4),
        ("int prev_prio", 4),
        ("long prev_state", 8),
        ("char next_comm[16]", 16),
        ("pid_t next_pid", 4),
        ("int next_prio", 4),
    ),
    _SWITCH_TEXT,
)
WAKEUP = Tracepoint(2, "sched_wakeup", _WAKEUP, _WAKEUP_TEXT)
WAKEUP_NEW = Tracepoint(3, "sched_wakeup_new", _WAKEUP, _WAKEUP_TEXT)
MIGRATE = Tracepoint(4, "sched_migrate_task", (*_WAKEUP[:3], ("int orig_cpu", 4), ("int dest_cpu", 4)), _MIGRATE_TEXT)
#: perf takes run times from this event, which the kernel has where it books them. Ours are those between two switches.
RUNTIME = Tracepoint(
    5,
    "sched_stat_runtime",
    (("char comm[16]", 16), ("pid_t pid", 4), ("int reserved", 4), ("u64 runtime", 8)),
    '"comm=%s pid=%d runtime=%Lu [ns]", REC->comm, REC->pid, (unsigned long long)REC->runtime',
)
TRACEPOINTS = (SWITCH, WAKEUP, WAKEUP_NEW, MIGRATE, RUNTIME)


def head(data_bytes: int) -> bytes:
    """All that is before the data: the file's header, an attribute for each tracepoint, and their ids, 1 to 5."""
    attributes_at = _HEAD_BYTES
    ids_at = attributes_at + len(TRACEPOINTS) * (_ATTR_BYTES + 16)
    data_at = ids_at + len(TRACEPOINTS) * 8
    attributes = b"".join(
        _attribute(point.number) + struct.pack("<QQ", ids_at + place * 8, 8) for place, point in enumerate(TRACEPOINTS)
    )
    features = sum(1 << bit for bit in (_TRACING_DATA, _HOSTNAME, _OSRELEASE, _CPUS))
    sections = (attributes_at, len(attributes), data_at, data_bytes, 0, 0)
    first = struct.pack("<8sQQ6Q4Q", b"PERFILE2", _HEAD_BYTES, _ATTR_BYTES + 16, *sections, features, 0, 0, 0)
    return first + attributes + b"".join(struct.pack("<Q", point.number) for point in TRACEPOINTS)


def _attribute(number: int) -> bytes:
    """``struct perf_event_attr``."""
    fields = struct.pack("<IIQQQQQ", TRACEPOINT, _ATTR_BYTES, number, 1, SAMPLE_TYPE, 0, _SAMPLE_ID_ALL)
    return fields.ljust(_ATTR_BYTES, b"\0")


def features(at: int, hostname: str, release: str, cpus: int) -> bytes:
    """All that is behind the data.

    :param at: where in the file it begins.
    :param cpus: how many CPUs are online.
    """
    parts = (_tracing_data(), _string(hostname), _string(release), struct.pack("<II", cpus, cpus))
    offset, table = at + 16 * len(parts), b""
    for part in parts:
        table += struct.pack("<QQ", offset, len(part))
        offset += len(part)
    return table + b"".join(parts)


def _string(text: str) -> bytes:
    raw = text.encode(errors="replace") + b"\0"
    size = -(-len(raw) // _ALIGNED) * _ALIGNED
    return struct.pack("<I", size) + raw.ljust(size, b"\0")


def _tracing_data() -> bytes:
    page = (
        b"\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n"
        b"\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n"
        b"\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n"
        b"\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n"
    )
    event = (
        b"# compressed entry header\n\ttype_len    :    5 bits\n\ttime_delta  :   27 bits\n\tarray       :   32 bits\n"
    )
    formats = [point.format() for point in TRACEPOINTS]
    return b"".join(
        (
            b"\x17\x08\x44tracing0.6\0\0\x08",
            struct.pack("<I", 4096),
            b"header_page\0" + _sized(page),
            b"header_event\0" + _sized(event),
            struct.pack("<I", 0),
            struct.pack("<I", 1) + b"sched\0" + struct.pack("<I", len(formats)) + b"".join(map(_sized, formats)),
            struct.pack("<II", 0, 0),
            struct.pack("<Q", 0),
        )
    )


def _sized(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text
