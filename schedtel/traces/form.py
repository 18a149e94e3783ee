"""The first part of a trace in; the reason why it cannot be read whole out.

A tracer prints all lines of an event in one form. If the form is another one than those that are read, some lines may
look right by accident; so most lines of each event must be understood, or none is imported.
"""

from __future__ import annotations

import re

import numpy as np

from schedtel.traces import fields, text
from schedtel.traces.text import ReadProgress

#: So few damaged lines of an event, or so few lines at all, are no form of their own.
_FEW = 3
#: So much of a line tells its form.
_MOST_OF_LINE = 1024
#: Lines of a trace are in the order of time. Of times that are differences, about half are less than the one before.
_LEAST_FOR_ORDER, _MOST_BACKWARD = 8, 0.25
_EVENT = re.compile(rb"^.*\b(?:%b):.*$" % b"|".join(fields.NAMES), re.MULTILINE)
_NO_NAMES = re.compile(rb"^.*\d\.\d{1,9}: +(?:\d+ +)?(?:prev_comm|comm|filename)=.*$", re.MULTILINE)
#: What a line lacks → what to do. The first pattern that does not match tells.
_PARTS = (
    (
        re.compile(rb" \[\d+\] "),
        "it has no CPU (give perf script -F +cpu, or set ftrace's context-info and nolatency-format)",
    ),
    (
        re.compile(rb"\[\d+\] +(?!.*\[\d+\]).*?\d\.\d+:"),
        "it has no time in seconds (give perf script -F +time, or write mono to ftrace's trace_clock)",
    ),
    (re.compile(rb"\[\d+\] +(?! |\d{4}-\d\d-\d\d )"), "it has the date (leave out perf script -F +tod)"),
    (re.compile(rb"(?:\d|-1) +(?:\([\d -]+\) +)?\[\d+\] "), "it has no task id (give perf script -F +tid)"),
)
_DEFAULT = "its fields are not understood (give perf script --ns, trace-cmd report -t, or ftrace's file trace as it is)"


def complaint(chunk: bytes, form: str | None) -> str | None:
    """Why a trace that begins so is not read; None if it is.

    :param chunk: whole lines.
    :param form: ``perf`` or ``ftrace``; None if no line is an event in either.
    """
    if form is None:
        return _complaint_of(_EVENT.search(chunk) or _NO_NAMES.search(chunk))
    reading = ReadProgress(form)
    events = text.parse(chunk, reading)
    for name, misread in reading.misread.items():
        if misread >= _FEW and misread > reading.understood[name]:
            return _complaint_of(_example(chunk, name.encode(), form))
    backward = int(np.count_nonzero(np.diff(events["time_ns"].astype(np.int64)) < 0))
    if len(events) >= _LEAST_FOR_ORDER and backward > _MOST_BACKWARD * len(events):
        return "its times are not in order (leave out perf script --deltatime)"
    return None


def _example(chunk: bytes, name: bytes, form: str) -> re.Match[bytes] | None:
    """The first line of an event that is not understood."""
    lines = re.finditer(rb"^.*\b%b:.*$" % name, chunk, re.MULTILINE)
    return next((line for line in lines if not _understood(line[0], form)), None)


def _understood(line: bytes, form: str) -> bool:
    reading = ReadProgress(form)
    text.parse(line, reading)
    return not reading.not_understood


def _complaint_of(line: re.Match[bytes] | None) -> str | None:
    if line is None:
        return None
    beginning = line[0][:_MOST_OF_LINE]
    if not _EVENT.match(beginning):
        return "its lines have no names of events (give perf script -F +event)"
    lacking = next((what for part, what in _PARTS if not part.search(beginning)), _DEFAULT)
    return f"a line of a scheduler event is in a form that is not read: {lacking}"
