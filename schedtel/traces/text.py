"""The text of other tracers in, events out: `perf script`, `perf sched script`, ftrace's `trace`, `trace-cmd report`.

A chunk of text is searched as a whole, first for lines (who, which CPU, when, which event), then, kind by kind, for
what an event says. No Python per event, but for lines that are none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress

import numpy as np

from schedtel.traces.events import EVENT, Kind, PrevState

#: What both end with: [CPU] flags seconds.fraction: event: what it says.
_REST = rb" +\[(\d{1,5})\] +(?:[^\s\d]\S* +)?(\d{1,11})\.(\d{1,9}): +(?:\d+ +)?(?:[\w-]+:)?(\w{1,64}): *(.*)"
#: Format → a line. A comm may have whatever in it, but 15 bytes at most (16 where perf or ftrace made it up): as much
#: of the line's beginning as can be is the name. perf prints tid or pid/tid after it, ftrace tid and perhaps (tgid).
#: What could be the name's or the padding's is bounded, or a long line of blanks would take time by its square.
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
_FIRST, _SECOND, _CPU, _SECONDS, _FRACTION, _NAME, _SAYS, _OTHER = range(8)

# What an event says, as the kernel prints it (include/trace/events/sched.h), or as libtraceevent's plugin does, which
# perf and trace-cmd use where it is installed.
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
    """How one event is printed, and which fields of EVENT the parts are, in their order."""

    kind: Kind
    pattern: re.Pattern[bytes]
    fields: tuple[str, ...]


def _form(kind: Kind, patterns: Sequence[bytes], *fields: str) -> tuple[_Form, ...]:
    # Fields that newer or other kernels add at the end are none of ours.
    compiled = (re.compile(rb"^" + pattern + rb"(?: .*)?$", re.MULTILINE) for pattern in patterns)
    return tuple(_Form(kind, pattern, fields) for pattern in compiled)


_WOKEN = ("comm", "tid", "prio")
#: Event → its forms, the likeliest first.
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
#: Lines that are no events and need not be: comments, call chains of perf, trace-cmd's number of CPUs.
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
    """What has been read so far, for the metadata and the closing summary."""

    format: str = ""
    lines: int = 0
    not_understood: int = 0
    lost: int = 0
    #: Of those, what no event has told yet: the text that says so has had none since.
    untold: int = 0
    #: Name of an event → how many; also of those that say nothing here.
    events: Counter[str] = field(default_factory=Counter)
    #: What the tracer's header says: host, kernel, clock, cpus.
    facts: dict[str, str] = field(default_factory=dict)
    #: Wall clock minus the trace's clock, in nanoseconds; None where no header tells.
    wall_offset_ns: int | None = None


def detect(chunk: bytes) -> str | None:
    """The format in which the most lines of a chunk are events; None if none is."""
    found = {name: sum(1 for row in pattern.findall(chunk) if row[_NAME]) for name, pattern in _LINES.items()}
    best = max(found, key=lambda name: found[name])
    return best if found[best] else None


def parse(chunk: bytes, reading: ReadProgress) -> np.ndarray:
    """Events of whole lines, in their order: shape (n,) of EVENT. Counts what it reads in ``reading``."""
    # Text that came by way of Windows ends its lines in its way.
    rows = _LINES[reading.format].findall(chunk.replace(b"\r\n", b"\n").removesuffix(b"\n"))
    reading.lines += len(rows)
    own = [bool(row[_NAME]) for row in rows]
    events, understood = _events(list(compress(rows, own)), reading)
    others = [(at, row[_OTHER]) for at, row in enumerate(rows) if not own[at]]
    told = np.array(own)
    told[told] = understood
    return _with_losses(events[understood], told, _not_events(others, reading), reading)


def end(last: np.ndarray, reading: ReadProgress) -> np.ndarray:
    """What was lost after the last event, shape (1,) of EVENT, as an event at its time; nothing if nothing was."""
    return _lost(last, [reading.untold]) if reading.untold else _NO_EVENTS


def _not_events(others: Iterable[tuple[int, bytes]], reading: ReadProgress) -> list[tuple[int, int]]:
    """Lines that are no events in; the numbers of those that tell of a loss, and how much was lost, out."""
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
        found = pattern.match(line)
        if found and name == "reference":
            reading.wall_offset_ns = _nanoseconds(found[1]) - _nanoseconds(found[2])
        elif found:
            reading.facts[name] = next(part for part in found.groups() if part).decode(errors="backslashreplace")


def _nanoseconds(seconds: bytes) -> int:
    whole, _, fraction = seconds.partition(b".")
    return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, b"0"))


def _with_losses(
    events: np.ndarray, told: np.ndarray, losses: list[tuple[int, int]], reading: ReadProgress
) -> np.ndarray:
    """What was lost, as events at the time of the one before, or of the one after where there is none before.

    :param told: which lines the events are from, booleans of shape (lines,).
    """
    if not len(events):
        reading.untold += sum(count for _, count in losses)
        return events
    if reading.untold:
        losses = [(-1, reading.untold), *losses]
        reading.untold = 0
    if not losses:
        return events
    before = np.append(0, np.cumsum(told))  # how many events there are up to each line, and before the first
    at = np.array([before[line + 1] for line, _ in losses])
    return np.insert(events, at, _lost(events[np.maximum(at, 1) - 1], [count for _, count in losses]))


def _lost(moments: np.ndarray, counts: list[int]) -> np.ndarray:
    """So much was lost at the times of these events."""
    lost = moments.copy()
    lost["kind"], lost["argument"] = Kind.LOST, [min(count, 2**32 - 1) for count in counts]
    return lost


# ---- events ----


def _events(rows: list[tuple[bytes, ...]], reading: ReadProgress) -> tuple[np.ndarray, np.ndarray]:
    """Events, and which of them say something that was understood."""
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
            said = [columns[_SAYS][i] for i in at.tolist()] if len(at) < len(rows) else columns[_SAYS]
            good = _fill(events, at, said, _FORMS[name])
            understood[at[good]] = True
            reading.not_understood += int(len(at) - good.sum())
    _place(events, columns, reading.format)
    kinds = events["kind"]
    newtask, execed = kinds == Kind.NEWTASK, kinds == Kind.EXEC
    events["tid"][newtask] = events["current"][newtask]
    events["tgid"][execed] = events["tid"][execed]  # whoever execs is its process's only thread
    own = np.isin(kinds, (Kind.SWITCH, Kind.EXIT, Kind.EXEC, Kind.FORK))
    events["current"][own] = events["tid"][own]  # perf has no tid for who has been reaped already
    return events, understood


def _place(events: np.ndarray, columns: list[tuple[bytes, ...]], kind: str) -> None:
    """Who was on which CPU, and when."""
    n = len(events)
    second = np.array(columns[_SECOND])
    known = np.char.isdigit(second)
    numbers = np.where(known, second, b"0").astype(np.uint32)
    first = np.fromiter(map(int, columns[_FIRST]), np.int64, n).clip(min=0)  # -1: reaped already, says perf
    # perf prints pid/tid, ftrace tid (tgid).
    swapped = known if kind == "perf" else np.zeros(n, bool)
    events["current"] = np.where(swapped, numbers, first)
    events["tgid"] = np.where(swapped, first, numbers)
    events["cpu"] = np.fromiter(map(int, columns[_CPU]), np.uint32, n).clip(max=2**16 - 1)
    fraction = np.array(columns[_FRACTION])
    scale = 10 ** (9 - np.char.str_len(fraction).astype(np.int64))
    seconds = np.fromiter(map(int, columns[_SECONDS]), np.int64, n).clip(max=2**33)
    events["time_ns"] = seconds * 1_000_000_000 + fraction.astype(np.int64) * scale


def _fill(events: np.ndarray, at: np.ndarray, said: Sequence[bytes], forms: tuple[_Form, ...]) -> np.ndarray:
    """Fill in what events of one name say; returns which were understood: booleans of shape (len(at),)."""
    good = np.zeros(len(at), bool)
    for form in forms:
        left = np.flatnonzero(~good)
        texts = said if len(left) == len(at) else [said[i] for i in left.tolist()]
        found = form.pattern.findall(b"\n".join(texts)) if len(left) else []
        if len(found) != len(left):  # some are printed in another way, or damaged
            matches = [form.pattern.match(text) for text in texts]
            left = left[[match is not None for match in matches]]
            found = [match.groups() for match in matches if match]
        if found:
            _fill_form(events, at[left], found, form)
        good[left] = True
    return good


def _fill_form(events: np.ndarray, at: np.ndarray, found: list[tuple[bytes, ...]], form: _Form) -> None:
    events["kind"][at] = form.kind
    for name, values in zip(form.fields, zip(*found, strict=True), strict=True):
        column, made = _FIELDS.get(name, (name, _integers))
        events[column][at] = made(values)


def _integers(values: tuple[bytes, ...]) -> np.ndarray:
    return np.fromiter(map(int, values), np.int64, len(values))


def _flags(values: tuple[bytes, ...]) -> np.ndarray:
    return np.array([int(value, 16) & 0xFFFFFFFF for value in values], np.int64)


def _commands(values: tuple[bytes, ...]) -> np.ndarray:
    return np.array(values)


def _commands_of_files(values: tuple[bytes, ...]) -> np.ndarray:
    """An exec names the task after the end of the file's path (begin_new_exec(), fs/exec.c), cut after 15 bytes."""
    return np.array([value.rpartition(b"/")[2][:15] for value in values])


def _states(values: tuple[bytes, ...]) -> np.ndarray:
    distinct, index = np.unique(np.array(values), return_inverse=True)
    return np.array([_state(text) for text in distinct], np.uint8)[index.reshape(-1)]


def _state(text: bytes) -> PrevState:
    """R, R+, S, D|K …: letters of __trace_sched_switch_state(), with a + where the task was preempted."""
    if b"+" in text:
        return PrevState.PREEMPTED
    letters = set(text.split(b"|"))
    if letters & {b"X", b"Z"}:
        return PrevState.DEAD
    if letters == {b"R"}:
        return PrevState.RUNNING
    return PrevState.PARKED_OR_DEAD if b"x" in letters else PrevState.BLOCKED


#: What is not an integer of the same name: the field of EVENT, and how it is made.
_FIELDS = {
    "state": ("state", _states),
    "comm": ("comm", _commands),
    "other_comm": ("other_comm", _commands),
    "file": ("comm", _commands_of_files),
    "flags": ("argument", _flags),
}


def wall_clock(text: str) -> datetime:
    """A moment as the user writes it; UTC if no zone is given. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
