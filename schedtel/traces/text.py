"""Text of other tracers in; events out: `perf script`, `perf sched script`, ftrace's `trace`, `trace-cmd report`.

A chunk of text is searched as a whole: first for its lines (task, CPU, time, event), then, for each kind of event, for
the fields of the event. Python code runs for single lines only if they are not events.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress

import numpy as np

from schedtel.foreign_text import text_of
from schedtel.traces.events import EVENT, Kind, PrevState

#: The end of a line in both formats: [CPU] flags seconds.fraction: event: fields.
_REST = rb" +\[(\d{1,5})\] +(?:[^\s\d]\S* +)?(\d{1,11})\.(\d{1,9}): +(?:\d+ +)?(?:[\w-]+:)?(\w{1,64}): *(.*)"
#: Format → pattern of a line. A comm may contain any bytes, up to 15 (16 if perf or ftrace made it up), so the pattern
#: takes as much of the line's beginning as it can for the comm. After the comm, perf prints tid or pid/tid, and ftrace
#: tid and perhaps (tgid). What may belong to the comm or to its padding is bounded: otherwise the time for a long line
#: of blanks would grow with the square of its length.
_LINES = {
    "perf": re.compile(
        rb"^ {0,32}(?:.{0,16}) {1,32}(-1|\d{1,7})(?:/(-1|\d{1,7}))?" + _REST + rb"$|^(.*)$",
        re.MULTILINE,
    ),
    "ftrace": re.compile(
        rb"^(?:\S+: )? *(?:.{0,16})-(\d{1,7})(?: +\( *(\d{1,7}|-+)\))?" + _REST + rb"$|^(.*)$",
        re.MULTILINE,
    ),
}
FORMATS = ("auto", *_LINES)
_FIRST, _SECOND, _CPU, _SECONDS, _FRACTION, _NAME, _BODY, _OTHER = range(8)

# The fields of an event, as the kernel prints them (include/trace/events/sched.h), or as libtraceevent's plugin does,
# which perf and trace-cmd use if it is installed.
_ID, _PRIO = rb"(\d{1,7})", rb"(-?\d{1,7})"
_SWITCH = (
    rb"prev_comm=(.{0,15}) prev_pid=" + _ID + rb" prev_prio=" + _PRIO + rb" prev_state=(\S{1,32}) ==> "
    rb"next_comm=(.{0,15}) next_pid=" + _ID + rb" next_prio=" + _PRIO
)
_SWITCH_BY_PLUGIN = (
    rb"(.{0,15}):" + _ID + rb" \[" + _PRIO + rb"\] (\S{1,32}) ==> (.{0,15}):" + _ID + rb" \[" + _PRIO + rb"\]"
)
_WAKEUP = rb"comm=(.{0,15}) pid=" + _ID + rb" prio=" + _PRIO + rb" (?:success=\d )?target_cpu=\d+"
_WAKEUP_BY_PLUGIN = rb"(.{0,15}):" + _ID + rb" \[" + _PRIO + rb"\](?: success=\d)? <?CPU:\d+>?"
_FORK = rb"comm=(.{0,15}) pid=" + _ID + rb" child_comm=(.{0,15}) child_pid=" + _ID
_NEWTASK = rb"pid=" + _ID + rb" comm=(.{0,15}) clone_flags=(?:0x)?([0-9a-f]{1,16}) oom_score_adj=-?\d+"
_EXIT = rb"comm=(.{0,15}) pid=" + _ID + rb" prio=" + _PRIO
_EXEC = rb"filename=(.*) pid=" + _ID + rb" old_pid=" + _ID


@dataclass(frozen=True)
class _Form:
    """How one event is printed, and the fields of EVENT that the pattern's groups are, in their order."""

    kind: Kind
    pattern: re.Pattern[bytes]
    fields: tuple[str, ...]


def _form(kind: Kind, patterns: Sequence[bytes], *fields: str) -> tuple[_Form, ...]:
    # Newer or other kernels may add fields at the end; they are ignored.
    compiled = (re.compile(rb"^" + pattern + rb"(?: .*)?$", re.MULTILINE) for pattern in patterns)
    return tuple(_Form(kind, pattern, fields) for pattern in compiled)


_WOKEN = ("comm", "tid", "prio")
#: Name of an event → the forms it is printed in, the likeliest first.
_FORMS = {
    b"sched_switch": _form(
        Kind.SWITCH, (_SWITCH, _SWITCH_BY_PLUGIN), "comm", "tid", "prio", "state", "other_comm", "other", "other_prio"
    ),
    b"sched_wakeup": _form(Kind.WAKEUP, (_WAKEUP, _WAKEUP_BY_PLUGIN), *_WOKEN),
    b"sched_waking": _form(Kind.WAKING, (_WAKEUP, _WAKEUP_BY_PLUGIN), *_WOKEN),
    b"sched_wakeup_new": _form(Kind.ARRIVAL, (_WAKEUP, _WAKEUP_BY_PLUGIN), *_WOKEN),
    b"sched_process_fork": _form(Kind.FORK, (_FORK,), "comm", "tid", "other_comm", "other"),
    b"task_newtask": _form(Kind.NEWTASK, (_NEWTASK,), "other", "other_comm", "flags"),
    b"sched_process_exit": _form(Kind.EXIT, (_EXIT,), "comm", "tid", "prio"),
    b"sched_process_exec": _form(Kind.EXEC, (_EXEC,), "file", "tid", "other"),
}
_LOST = re.compile(rb"(?i)\blost (\d{1,19})\b|\[(?:(\d{1,19}) )?events dropped\]")
#: Lines that are rightly no events: comments, call chains of perf, trace-cmd's number of CPUs.
_NO_MATTER = re.compile(rb"\s*$|#|\t|version = |cpus=\d+$")
_FACTS = {
    "host": re.compile(rb"# hostname : (\S+)"),
    "kernel": re.compile(rb"# os release : (\S+)"),
    "clock": re.compile(rb"# clockid: (\w+)"),
    "cpus": re.compile(rb"# nrcpus online : (\d{1,5})\b|#.* #P:(\d{1,5})\b|cpus=(\d{1,5})$"),
    "reference": re.compile(rb"# reference time: .* = (\d{1,10}\.\d+) \(TOD\) = (\d{1,10}\.\d+) "),
}
_NO_EVENTS = np.zeros(0, EVENT)


@dataclass
class ReadProgress:
    """Counts and facts of what has been read so far, for the metadata and the closing summary."""

    format: str = ""
    lines: int = 0
    not_understood: int = 0
    lost: int = 0
    #: Number of lost events that no LOST event reports yet, because no event has been read since.
    untold: int = 0
    #: Name of an event → how many; also of events that this module ignores.
    events: Counter[str] = field(default_factory=Counter)
    #: Facts of the tracer's header: host, kernel, clock, cpus.
    facts: dict[str, str] = field(default_factory=dict)
    #: Wall clock minus the trace's clock, in nanoseconds; None without a header that has both.
    wall_offset_ns: int | None = None


def detect(chunk: bytes) -> str | None:
    """The format in which the most lines of a chunk are events; None if none is."""
    counts = {name: sum(1 for row in pattern.findall(chunk) if row[_NAME]) for name, pattern in _LINES.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None


def parse(chunk: bytes, reading: ReadProgress) -> np.ndarray:
    """The events of whole lines, in their order, shape (n,) of EVENT. What is read is counted in ``reading``."""
    # Text that was edited or copied on Windows may end its lines with CR LF.
    rows = _LINES[reading.format].findall(chunk.replace(b"\r\n", b"\n").removesuffix(b"\n"))
    reading.lines += len(rows)
    is_event = [bool(row[_NAME]) for row in rows]
    events, understood = _events(list(compress(rows, is_event)), reading)
    others = [(at, row[_OTHER]) for at, row in enumerate(rows) if not is_event[at]]
    gives_event = np.array(is_event)
    gives_event[gives_event] = understood
    return _with_losses(events[understood], gives_event, _not_events(others, reading), reading)


def end(last: np.ndarray, reading: ReadProgress) -> np.ndarray:
    """The events lost after the last event, as one LOST event at its time, shape (1,) of EVENT; shape (0,) if none.

    :param last: the trace's last event, shape (1,) of EVENT.
    """
    return _lost(last, [reading.untold]) if reading.untold else _NO_EVENTS


def _not_events(others: Iterable[tuple[int, bytes]], reading: ReadProgress) -> list[tuple[int, int]]:
    """Lines that are no events, with their numbers, in; (number, lost events) of the lines that report a loss out."""
    losses = []
    for at, line in others:
        lost = _LOST.search(line)
        if lost and not line.startswith(b"#"):
            losses.append((at, int(lost[1] or lost[2] or 1)))
        elif _NO_MATTER.match(line):
            _read_fact(line, reading)
        else:
            reading.not_understood += 1
    reading.lost += sum(count for _, count in losses)
    return losses


def _read_fact(line: bytes, reading: ReadProgress) -> None:
    for name, pattern in _FACTS.items():
        match = pattern.match(line)
        if match and name == "reference":
            reading.wall_offset_ns = _nanoseconds(match[1]) - _nanoseconds(match[2])
        elif match:
            reading.facts[name] = text_of(next(part for part in match.groups() if part))


def _nanoseconds(seconds: bytes) -> int:
    whole, _, fraction = seconds.partition(b".")
    return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))


def _with_losses(
    events: np.ndarray, gives_event: np.ndarray, losses: list[tuple[int, int]], reading: ReadProgress
) -> np.ndarray:
    """Insert a LOST event for each loss, at the time of the event before it, or of the one after it if it is first.

    :param gives_event: which lines the events are from, booleans of shape (lines,).
    :param losses: number of a line, and the events lost there.
    """
    if not len(events):
        reading.untold += sum(count for _, count in losses)
        return events
    if reading.untold:
        losses = [(-1, reading.untold), *losses]
        reading.untold = 0
    if not losses:
        return events
    before = np.append(0, np.cumsum(gives_event))  # number of events before the first line, and up to each line
    at = np.array([before[line + 1] for line, _ in losses])
    return np.insert(events, at, _lost(events[np.maximum(at, 1) - 1], [count for _, count in losses]))


def _lost(moments: np.ndarray, counts: list[int]) -> np.ndarray:
    """LOST events with these counts, at the times of these events."""
    lost = moments.copy()
    lost["kind"], lost["argument"] = Kind.LOST, [min(count, 2**32 - 1) for count in counts]
    return lost


# ---- events ----


def _events(rows: list[tuple[bytes, ...]], reading: ReadProgress) -> tuple[np.ndarray, np.ndarray]:
    """The events of rows, shape (rows,) of EVENT, and which of them were understood, booleans of shape (rows,)."""
    if not rows:
        return _NO_EVENTS, np.zeros(0, bool)
    columns = list(zip(*rows, strict=True))
    names = np.array(columns[_NAME])
    events = np.zeros(len(rows), EVENT)
    understood = np.zeros(len(rows), bool)
    for name in np.unique(names):
        at = np.flatnonzero(names == name)
        reading.events[name.decode()] += len(at)
        if name in _FORMS:
            bodies = [columns[_BODY][i] for i in at.tolist()] if len(at) < len(rows) else columns[_BODY]
            good = _fill(events, at, bodies, _FORMS[name])
            understood[at[good]] = True
            reading.not_understood += int(len(at) - good.sum())
    _place(events, columns, reading.format)
    kinds = events["kind"]
    newtask, execed = kinds == Kind.NEWTASK, kinds == Kind.EXEC
    events["tid"][newtask] = events["current"][newtask]
    events["tgid"][execed] = events["tid"][execed]  # exec leaves a process with one thread, whose tid is the tgid
    by_current = np.isin(kinds, (Kind.SWITCH, Kind.EXIT, Kind.EXEC, Kind.FORK))
    events["current"][by_current] = events["tid"][by_current]  # perf prints no tid for a task that is reaped already
    return events, understood


def _place(events: np.ndarray, columns: list[tuple[bytes, ...]], kind: str) -> None:
    """Fill in the current task, its process, the CPU and the time."""
    n = len(events)
    second = np.array(columns[_SECOND])
    known = np.char.isdigit(second)
    numbers = np.where(known, second, b"0").astype(np.uint32)
    first = np.fromiter(map(int, columns[_FIRST]), np.int64, n).clip(
        min=0
    )  # perf prints -1 for a task that is reaped already
    # perf prints pid/tid, ftrace tid (tgid).
    swapped = known if kind == "perf" else np.zeros(n, bool)
    events["current"] = np.where(swapped, numbers, first)
    events["tgid"] = np.where(swapped, first, numbers)
    events["cpu"] = np.fromiter(map(int, columns[_CPU]), np.uint32, n).clip(max=2**16 - 1)
    fraction = np.array(columns[_FRACTION])
    scale = 10 ** (9 - np.char.str_len(fraction).astype(np.int64))
    seconds = np.fromiter(map(int, columns[_SECONDS]), np.int64, n).clip(max=2**33)
    events["time_ns"] = seconds * 1_000_000_000 + fraction.astype(np.int64) * scale


def _fill(events: np.ndarray, at: np.ndarray, bodies: Sequence[bytes], forms: tuple[_Form, ...]) -> np.ndarray:
    """Fill in the fields of the events of one name; return which were understood, booleans of shape (len(at),)."""
    good = np.zeros(len(at), bool)
    for form in forms:
        left = np.flatnonzero(~good)
        texts = bodies if len(left) == len(at) else [bodies[i] for i in left.tolist()]
        rows = form.pattern.findall(b"\n".join(texts)) if len(left) else []
        if len(rows) != len(left):  # some are printed in another form, or damaged
            matches = [form.pattern.match(text) for text in texts]
            left = left[[match is not None for match in matches]]
            rows = [match.groups() for match in matches if match]
        if rows:
            _fill_form(events, at[left], rows, form)
        good[left] = True
    return good


def _fill_form(events: np.ndarray, at: np.ndarray, rows: list[tuple[bytes, ...]], form: _Form) -> None:
    events["kind"][at] = form.kind
    for name, values in zip(form.fields, zip(*rows, strict=True), strict=True):
        column, convert = _FIELDS.get(name, (name, _integers))
        events[column][at] = convert(values)


def _integers(values: tuple[bytes, ...]) -> np.ndarray:
    return np.fromiter(map(int, values), np.int64, len(values))


def _flags(values: tuple[bytes, ...]) -> np.ndarray:
    return np.array([int(value, 16) & 0xFFFFFFFF for value in values], np.int64)


def _commands(values: tuple[bytes, ...]) -> np.ndarray:
    return np.array(values)


def _commands_of_files(values: tuple[bytes, ...]) -> np.ndarray:
    """An exec names the task after the last part of the file's path, cut to 15 bytes (begin_new_exec(), fs/exec.c)."""
    return np.array([value.rpartition(b"/")[2][:15] for value in values])


def _states(values: tuple[bytes, ...]) -> np.ndarray:
    distinct, index = np.unique(np.array(values), return_inverse=True)
    return np.array([_state(text) for text in distinct], np.uint8)[index.reshape(-1)]


def _state(text: bytes) -> PrevState:
    """The state of R, R+, S, D|K …: letters of __trace_sched_switch_state(), with a + if the task was preempted."""
    if b"+" in text:
        return PrevState.PREEMPTED
    letters = set(text.split(b"|"))
    if letters & {b"X", b"Z"}:
        return PrevState.DEAD
    if letters == {b"R"}:
        return PrevState.RUNNING
    return PrevState.PARKED_OR_DEAD if b"x" in letters else PrevState.BLOCKED


#: Field of a form that is not an integer of the same name → the field of EVENT, and the conversion.
_FIELDS = {
    "state": ("state", _states),
    "comm": ("comm", _commands),
    "other_comm": ("other_comm", _commands),
    "file": ("comm", _commands_of_files),
    "flags": ("argument", _flags),
}


def wall_clock(text: str) -> datetime:
    """A moment from the user's ISO 8601 text; UTC if it has no zone. Raises :class:`ValueError`."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
