"""Text of other tracers in; events out: `perf script`, `perf sched script`, ftrace's `trace`, `trace-cmd report`.

A chunk of text is searched as a whole: first for its lines (task, CPU, time, event), then, for each kind of event, for
the fields of the event (:mod:`schedtel.traces.fields`). Python code runs for single lines only if they are not events.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import compress
from operator import itemgetter

import numpy as np

from schedtel.foreign_text import text_of
from schedtel.traces import fields
from schedtel.traces.events import EVENT, UNTOLD, Kind, lost

#: The end of a line in both formats: [CPU] flags seconds.fraction: event: fields. Between the time and the event,
#: `trace-cmd report --ts-diff` prints the time since the line before, and perf perhaps a period.
_REST = (
    rb" +\[(\d{1,5})\] +(?:[^\s\d]\S* +)?(\d{1,10})\.(\d{1,9}): +(?:\(\+-?\d{1,19}\) +)?(?:\d+ +)?(?:[\w-]+:)?"
    rb"(\w{1,64}): *(.*)"
)
#: Longest name of a task: 15 bytes, or 16 if perf or ftrace made it up. perf has a worker's name from /proc, which may
#: be longer (proc_task_name(), fs/proc/array.c: 64 bytes).
_USUAL_NAME, _LONGEST_NAME = 16, 64


def _perf(longest: int) -> bytes:
    """perf prints the name, unless `-F -comm` leaves it out, and then tid or pid/tid."""
    return rb"^(?: {0,32}(.{0,%d}) {1,32})?(-1|\d{1,7})(?:/(-1|\d{1,7}))?" % longest + _REST + rb"$"


def _ftrace(longest: int) -> bytes:
    """ftrace prints the name, tid and perhaps (tgid)."""
    return rb"^(?:\S{1,255}: )? {0,64}(.{0,%d})-(\d{1,7})(?: +\( *(\d{1,7}|-+)\))?" % longest + _REST + rb"$"


#: Format → pattern of a line. A name may contain any bytes, so the pattern takes as much of the line's beginning as it
#: can for it. What may belong to the name or to its padding is bounded: otherwise the time for a long line of blanks
#: would grow with the square of its length.
_PATTERNS = {"perf": _perf, "ftrace": _ftrace}
_LINES = {name: re.compile(of(_USUAL_NAME) + rb"|^(.*)$", re.MULTILINE) for name, of in _PATTERNS.items()}
_EVENT_LINES = {name: re.compile(of(_USUAL_NAME), re.MULTILINE) for name, of in _PATTERNS.items()}
_LONG_LINES = {name: re.compile(of(_LONGEST_NAME) + rb"()") for name, of in _PATTERNS.items()}
FORMATS = ("auto", *_LINES)
_COMM, _FIRST, _SECOND, _CPU, _SECONDS, _FRACTION, _NAME, _BODY, _OTHER = range(9)

_NAME_OF = itemgetter(_NAME)

_COUNT = rb"(\d{1,19})"
#: Lines by which a tracer says that it has lost events. The whole line must be one of these: others may quote them.
_LOST = re.compile(
    rb"CPU:\d{1,5} \[LOST (?:%b )?EVENTS\]$|CPU:\d{1,5} \[(?:%b )?EVENTS DROPPED\]$|(?i:LOST) %b events!?$"
    rb"|.{0,99} \[\d{1,5}\] +\d{1,11}\.\d{1,9}: PERF_RECORD_LOST(?:_SAMPLES)? lost %b$"
    rb"|#{5} CPU \d{1,5} buffer started #{4}$" % ((_COUNT,) * 4)
)
_CPU_OF_LOSS = re.compile(rb".{0,99} \[(\d{1,5})\] +\d{1,11}\.\d{1,9}: PERF_RECORD_LOST|CPU:(\d{1,5}) ")
#: ftrace's header, if the oldest events have been overwritten: how many events are left, and how many there were.
_ENTRIES = re.compile(rb"# entries-in-buffer/entries-written: (\d{1,18})/(\d{1,18})\b")
#: A line that is damaged before the event's name tells that a scheduler event is missing.
_MISSING = re.compile(rb"\b(%b):" % b"|".join(fields.NAMES))
#: Lines that are rightly no events: comments, call chains of perf and of ftrace, what trace-cmd says about its file and
#: about CPUs, and records of perf that are no samples.
_NO_MATTER = re.compile(
    rb"\s*$|#|\t|version = |cpus=\d+$| {0,16}CPU \d{1,5} is empty$| ?=> |.{0,99}: <(?:user )?stack trace ?>$"
    rb"|.{0,99} \[\d{1,5}\] +\d{1,11}\.\d{1,9}: PERF_RECORD_\w"
)
_FACTS = {
    "host": re.compile(rb"# hostname : ([!-~]{1,255})$"),
    "kernel": re.compile(rb"# os release : ([!-~]{1,255})$"),
    "clock": re.compile(rb"# clockid: (\w{1,64})"),
    "cpus": re.compile(rb"# nrcpus online : (\d{1,5})\b|#.* #P:(\d{1,5})\b|cpus=(\d{1,5})$"),
    "reference": re.compile(rb"# reference time: .* = (\d{1,10}\.\d+) \(TOD\) = (\d{1,10}\.\d+) "),
}
#: Of so many events, each is counted by its name. A kernel has some thousands; a trace, a few.
_MOST_NAMES = 5_000
_NO_EVENTS = np.zeros(0, EVENT)


@dataclass(frozen=True)
class _Loss:
    """A loss that a line reports: the line's number, how many events, and the CPU if the line names it."""

    line: int
    count: int
    cpu: int | None = None


@dataclass
class ReadProgress:
    """Counts and facts of what has been read so far, for the metadata and the closing summary."""

    format: str = ""
    lines: int = 0
    not_understood: int = 0
    lost: int = 0
    #: Number of lost events that no LOST event reports yet, because no event has been read since.
    untold: int = 0
    #: Whether the tracer has overwritten its oldest events, so that some CPUs' events begin later than others'.
    overwritten: bool = False
    #: Whether a switch was printed field by field: then so are the other events.
    by_field: bool = False
    #: Whether perf's own task ids are of another pid namespace than those in the events' fields.
    other_namespace: bool = False
    #: CPU → the time of its last event.
    newest_ns: dict[int | None, int] = field(default_factory=dict)
    #: Name of a scheduler event → how many of its lines were understood, and were not.
    understood: Counter[str] = field(default_factory=Counter)
    misread: Counter[str] = field(default_factory=Counter)
    #: Name of an event → how many; also of events that this module ignores.
    events: Counter[str] = field(default_factory=Counter)
    #: Facts of the tracer's header: host, kernel, clock, cpus.
    facts: dict[str, str] = field(default_factory=dict)
    #: Wall clock minus the trace's clock, in nanoseconds; None without a header that has both.
    wall_offset_ns: int | None = None

    def remember(self, events: np.ndarray) -> None:
        """Note when each CPU has had its last event."""
        for cpu in np.unique(events["cpu"]):
            self.newest_ns[int(cpu)] = int(events["time_ns"][events["cpu"] == cpu][-1])


def detect(chunk: bytes) -> str | None:
    """The format in which the most lines of a chunk are events; None if none is."""
    counts = {name: sum(1 for _ in pattern.finditer(chunk)) for name, pattern in _EVENT_LINES.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else None


def parse(chunk: bytes, reading: ReadProgress) -> np.ndarray:
    """The events of whole lines, in their order, shape (n,) of EVENT. What is read is counted in ``reading``.

    A scheduler event whose fields are damaged is a LOST event at its time.
    """
    # Text that was edited or copied on Windows may end its lines with CR LF.
    rows = _LINES[reading.format].findall(chunk.replace(b"\r\n", b"\n").removesuffix(b"\n"))
    reading.lines += len(rows)
    others = [] if all(map(_NAME_OF, rows)) else _others(rows, reading)
    is_event = np.fromiter(map(bool, map(_NAME_OF, rows)), bool, len(rows))
    events, read = _events(list(compress(rows, is_event)), reading)
    gives_event = is_event.copy()
    gives_event[gives_event] = read
    return _with_losses(events[read], gives_event, _losses(others, reading), reading)


def end(last: np.ndarray, reading: ReadProgress) -> np.ndarray:
    """The events lost after the last event, as one LOST event at its time, shape (1,) of EVENT; shape (0,) if none.

    :param last: the trace's last event, shape (1,) of EVENT.
    """
    return lost(last, reading.untold) if reading.untold else _NO_EVENTS


# ---- lines that are no events ----


def _others(rows: list[tuple[bytes, ...]], reading: ReadProgress) -> list[tuple[int, bytes]]:
    """The lines that are no events, with their numbers. Lines with a long name become events in ``rows``."""
    others = []
    long_line = _LONG_LINES[reading.format]
    for at, row in enumerate(rows):
        if row[_NAME]:
            continue
        match = long_line.fullmatch(row[_OTHER]) if row[_OTHER] else None
        if match:
            rows[at] = tuple(group or b"" for group in match.groups())
        else:
            others.append((at, row[_OTHER]))
    return others


def _losses(others: Iterable[tuple[int, bytes]], reading: ReadProgress) -> list[_Loss]:
    """Lines that are no events, with their numbers, in; the losses that they report out."""
    losses = []
    for at, line in others:
        count = _loss_of(line, reading)
        if count:
            reading.lost += count
            losses.append(_Loss(at, count, _cpu_of(line)))
        elif _NO_MATTER.match(line):
            _read_fact(line, reading)
        else:
            reading.not_understood += 1
            missing = _MISSING.search(line)
            if missing:
                reading.misread[missing[1].decode()] += 1
                losses.append(_Loss(at, 1))
    return losses


def _loss_of(line: bytes, reading: ReadProgress) -> int:
    """How many events a line says are lost; 0 if it says nothing of the kind."""
    entries = _ENTRIES.match(line)
    overwritten = max(0, int(entries[2]) - int(entries[1])) if entries else 0
    if overwritten:
        reading.overwritten = True
        _read_fact(line, reading)
    lost = _LOST.match(line)
    return int(next(filter(None, lost.groups()), 1)) if lost else overwritten


def _cpu_of(line: bytes) -> int | None:
    """The CPU of a line that reports a loss; None if it names none."""
    cpu = _CPU_OF_LOSS.match(line)
    return int(cpu[1] or cpu[2]) if cpu else None


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


def _with_losses(events: np.ndarray, gives_event: np.ndarray, losses: list[_Loss], reading: ReadProgress) -> np.ndarray:
    """Insert a LOST event for each loss, at the time of the event before it, or of the one after it if it is first.

    :param gives_event: which lines the events are from, booleans of shape (lines,).
    """
    if not len(events):
        reading.untold += sum(loss.count for loss in losses)
        return events
    if reading.untold:
        losses = [_Loss(-1, reading.untold), *losses]
        reading.untold = 0
    if losses:
        places, added = _lost_events(events, gives_event, losses, reading)
        told = np.insert(events, places, added)
    else:
        told = events
    reading.remember(events)
    return told


def _lost_events(
    events: np.ndarray, gives_event: np.ndarray, losses: list[_Loss], reading: ReadProgress
) -> tuple[np.ndarray, np.ndarray]:
    """LOST events for these losses, and the places among the events to insert them at; both of shape (n,)."""
    before = np.append(0, np.cumsum(gives_event))  # number of events before the first line, and up to each line
    places: list[int] = []
    found = []
    for loss in losses:
        place = int(before[loss.line + 1])
        moment = events[max(place, 1) - 1 : max(place, 1)]
        told = np.concatenate([lost(moment, loss.count), _gap(events[:place], moment, loss.cpu, reading)])
        places += [place] * len(told)
        found.append(told)
    return np.array(places), np.concatenate(found)


def _gap(before: np.ndarray, moment: np.ndarray, cpu: int | None, reading: ReadProgress) -> np.ndarray:
    """A LOST event of no events where a gap begins, which says where it ends; shape (0,) if the CPU is not known.

    It begins with the CPU's last event before the loss. The end is in ``tid`` and, above 32 bits, in ``other``.
    """
    own = before["time_ns"][before["cpu"] == cpu] if cpu is not None else before["time_ns"][:0]
    begin_ns = int(own[-1]) if len(own) else reading.newest_ns.get(cpu)
    end_ns = int(moment["time_ns"][0])
    if begin_ns is None or begin_ns == end_ns:
        return _NO_EVENTS
    gap = lost(moment, 0)
    gap["time_ns"], gap["tid"], gap["other"] = begin_ns, end_ns & 0xFFFFFFFF, end_ns >> 32
    return gap


# ---- events ----


def _events(rows: list[tuple[bytes, ...]], reading: ReadProgress) -> tuple[np.ndarray, np.ndarray]:
    """The events of rows, shape (rows,) of EVENT, and which of them are of the scheduler, booleans of shape (rows,)."""
    if not rows:
        return _NO_EVENTS, np.zeros(0, bool)
    columns = list(zip(*rows, strict=True))
    names = np.array(columns[_NAME])
    events, read = np.zeros(len(rows), EVENT), np.zeros(len(rows), bool)
    for name, at, bodies in _by_name(names, columns[_BODY], reading):
        good = fields.fill(events, at, name, bodies, by_field=reading.by_field)
        read[at] = True
        events["kind"][at[~good]], events["argument"][at[~good]] = Kind.LOST, 1
        reading.understood[name.decode()] += int(good.sum())
        if not good.all():
            reading.misread[name.decode()] += int(len(at) - good.sum())
            reading.not_understood += int(len(at) - good.sum())
    _place(events, columns, reading.format)
    _name_current(events, read, columns[_COMM], reading)
    return events, read


def _by_name(
    names: np.ndarray, bodies: tuple[bytes, ...], reading: ReadProgress
) -> Iterable[tuple[bytes, np.ndarray, list[bytes]]]:
    """Each scheduler event of a chunk: its name, the places of its rows, and their bodies. sched_switch is first."""
    found = np.unique(names)
    for name in sorted(found, key=lambda name: name != b"sched_switch"):
        at = np.flatnonzero(names == name)
        reading.events[name.decode() if len(reading.events) < _MOST_NAMES else "others"] += len(at)
        if name in fields.NAMES:
            texts = [bodies[i] for i in at.tolist()]
            if name == b"sched_switch" and not reading.by_field:
                reading.by_field = fields.are_by_field(texts)
            yield name, at, texts


def _place(events: np.ndarray, columns: list[tuple[bytes, ...]], form: str) -> None:
    """Fill in the current task, its process, the CPU and the time. perf prints -1 for a task that is reaped already."""
    n = len(events)
    first = np.fromiter(map(int, columns[_FIRST]), np.int64, n)
    second = np.array(columns[_SECOND])
    told = np.char.isdigit(second) | (second == b"-1")
    numbers = np.where(told, second, b"0").astype(np.int64)
    # perf prints pid/tid, ftrace tid (tgid).
    tid, tgid = (np.where(told, numbers, first), np.where(told, first, 0)) if form == "perf" else (first, numbers)
    events["current"] = np.where(tid < 0, UNTOLD, tid)
    events["tgid"] = tgid.clip(min=0)
    events["cpu"] = np.fromiter(map(int, columns[_CPU]), np.uint32, n).clip(max=2**16 - 1)
    fraction = np.array(columns[_FRACTION])
    scale = 10 ** (9 - np.char.str_len(fraction).astype(np.int64))
    seconds = np.fromiter(map(int, columns[_SECONDS]), np.int64, n).clip(max=2**33)
    events["time_ns"] = seconds * 1_000_000_000 + fraction.astype(np.int64) * scale


def _name_current(events: np.ndarray, read: np.ndarray, comms: tuple[bytes, ...], reading: ReadProgress) -> None:
    """Put the fields' word for the current task before the header's, and the header's where the fields have none.

    :param read: which of the events are of the scheduler, booleans of shape (n,).
    """
    kinds = events["kind"]
    newtask, execed = kinds == Kind.NEWTASK, kinds == Kind.EXEC
    by_current = read & np.isin(kinds, (Kind.SWITCH, Kind.EXIT, Kind.FORK))
    if reading.format == "perf":
        _compare_namespaces(events[by_current], reading)
    if reading.other_namespace:
        events["tgid"] = 0
        events["current"] = UNTOLD
    events["tid"][newtask] = events["current"][newtask]
    events["tgid"][execed] = events["tid"][execed]  # exec leaves a process with one thread, whose tid is the tgid
    by_current |= execed
    events["current"][by_current] = events["tid"][by_current]
    # Only on a CPU's first event is the name of the task on it of use, when nothing is known of it yet.
    cpus = set(np.unique(events["cpu"][read]).tolist())
    if cpus <= reading.newest_ns.keys():
        return
    woken = np.flatnonzero(np.isin(kinds, (Kind.WAKEUP, Kind.WAKING, Kind.ARRIVAL)))
    events["other_comm"][woken] = [comms[at].rstrip(b" ")[:15] for at in woken.tolist()]


def _compare_namespaces(events: np.ndarray, reading: ReadProgress) -> None:
    """Notice that perf ran in another pid namespace than the first.

    The fields of events are numbers of the first namespace (task_struct.pid). perf's own, in the header, are those of
    the namespace that it runs in, and 0 for a task that is not in there (perf_event_pid_type(), kernel/events/core.c).

    :param events: events whose fields name the current task, with the header's number in ``current``.
    """
    told = events["current"] != UNTOLD
    reading.other_namespace |= bool((events["current"][told] != events["tid"][told]).any())


def wall_clock(text: str) -> datetime:
    """A moment from the user's ISO 8601 text; UTC if it has no zone. Raises :class:`ValueError`."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
