"""The fields of scheduler events: their text in, columns of EVENT out.

Each kind of event is printed in up to three forms: by the kernel's own format (include/trace/events/sched.h), by
libtraceevent's plugin, which perf and trace-cmd use if it is installed, and field by field, as ``trace-cmd report -R``
and ftrace's option ``fields`` do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from schedtel.traces.events import Kind, PrevState

_ID, _PRIO, _STATE = rb"(\d{1,7})", rb"(-?\d{1,7})", rb"(0x[0-9a-f]{1,16}|-?\d{1,19})(?: \(-?\d{1,19}\))?"
#: Letters, a + if the task was preempted, and in hex what the tracer has no letter for (__print_flags()).
_LETTERS = rb"((?:[A-Za-z]|0x[0-9a-f]{1,16}|\d{1,19})(?:\|(?:[A-Za-z]|0x[0-9a-f]{1,16}))*\+?)"
#: ftrace's option ``fields`` prints a number as 0x7b (123).
_HEX = rb"(?:0x[0-9a-f]{1,16} \()?"
_ID_FIELD, _PRIO_FIELD = _HEX + _ID + rb"\)?", _HEX + _PRIO + rb"\)?"
_SWITCH = (
    rb"prev_comm=(.{0,15}) prev_pid=" + _ID + rb" prev_prio=" + _PRIO + rb" prev_state=" + _LETTERS + rb" ==> "
    rb"next_comm=(.{0,15}) next_pid=" + _ID + rb" next_prio=" + _PRIO
)
_SWITCH_BY_PLUGIN = (
    rb"(.{0,15}):" + _ID + rb" \[" + _PRIO + rb"\] " + _LETTERS + rb" ==> (.{0,15}):" + _ID + rb" \[" + _PRIO + rb"\]"
)
_SWITCH_BY_FIELD = (
    rb"prev_comm=(.{0,15}) prev_pid=" + _ID_FIELD + rb" prev_prio=" + _PRIO_FIELD + rb" prev_state=" + _STATE + rb" "
    rb"next_comm=(.{0,15}) next_pid=" + _ID_FIELD + rb" next_prio=" + _PRIO_FIELD
)
_WAKEUP = rb"comm=(.{0,15}) pid=" + _ID + rb" prio=" + _PRIO + rb" (?:success=\d )?target_cpu=\d+"
_WAKEUP_BY_PLUGIN = rb"(.{0,15}):" + _ID + rb" \[" + _PRIO + rb"\](?: success=\d)? <?CPU:\d+>?"
_WAKEUP_BY_FIELD = (
    rb"comm=(.{0,15}) pid=" + _ID_FIELD + rb" prio=" + _PRIO_FIELD + rb" (?:success=\S+ .*)?target_cpu=\S+"
)
_FORK = rb"comm=(.{0,15}) pid=" + _ID + rb" child_comm=(.{0,15}) child_pid=" + _ID
_FORK_BY_FIELD = rb"parent_comm=(.{0,15}) parent_pid=" + _ID_FIELD + rb" child_comm=(.{0,15}) child_pid=" + _ID_FIELD
_NEWTASK = rb"pid=" + _ID + rb" comm=(.{0,15}) clone_flags=((?:0x)?[0-9a-f]{1,16}) oom_score_adj=-?\d+"
_NEWTASK_BY_FIELD = rb"pid=" + _ID_FIELD + rb" comm=(.{0,15}) clone_flags=(0x[0-9a-f]{1,16}|\d{1,19})"
_EXIT = rb"comm=(.{0,15}) pid=" + _ID + rb" prio=" + _PRIO
_EXIT_BY_FIELD = rb"comm=(.{0,15}) pid=" + _ID_FIELD + rb" prio=" + _PRIO_FIELD
_EXEC = rb"filename=(.*) pid=" + _ID + rb" old_pid=" + _ID
_EXEC_BY_FIELD = rb"filename=(.*) pid=" + _ID_FIELD + rb" old_pid=" + _ID_FIELD


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


_WOKEN, _WAKEUPS = ("comm", "tid", "prio"), (_WAKEUP, _WAKEUP_BY_PLUGIN, _WAKEUP_BY_FIELD)
_NEW = ("other", "other_comm")
#: Name of an event → the forms it is printed in, the likeliest first.
_FORMS = {
    b"sched_switch": _form(
        Kind.SWITCH,
        (_SWITCH, _SWITCH_BY_PLUGIN, _SWITCH_BY_FIELD),
        *("comm", "tid", "prio", "state", "other_comm", "other", "other_prio"),
    ),
    b"sched_wakeup": _form(Kind.WAKEUP, _WAKEUPS, *_WOKEN),
    b"sched_waking": _form(Kind.WAKING, _WAKEUPS, *_WOKEN),
    b"sched_wakeup_new": _form(Kind.ARRIVAL, _WAKEUPS, *_WOKEN),
    b"sched_process_fork": _form(Kind.FORK, (_FORK, _FORK_BY_FIELD), "comm", "tid", "other_comm", "other"),
    b"task_newtask": _form(Kind.NEWTASK, (_NEWTASK, _NEWTASK_BY_FIELD), *_NEW, "flags"),
    b"sched_process_exit": _form(Kind.EXIT, (_EXIT, _EXIT_BY_FIELD), "comm", "tid", "prio"),
    b"sched_process_exec": _form(Kind.EXEC, (_EXEC, _EXEC_BY_FIELD), "file", "tid", "other"),
}
#: Where fields are printed one by one, a number without 0x is decimal; in the kernel's own format, flags are hex.
_NEWTASK_DECIMAL = _form(Kind.NEWTASK, (_NEWTASK_BY_FIELD,), *_NEW, "raw_flags")
#: A tracer prints all events in one form; so many are looked at, as the first may be damaged.
_FORM_SHOWS_IN = 16
#: Names of the events that are read.
NAMES = tuple(_FORMS)


def are_by_field(bodies: Sequence[bytes]) -> bool:
    """Whether switches are printed field by field, by the first of these bodies of sched_switch."""
    by_field = _FORMS[b"sched_switch"][2].pattern
    return any(by_field.match(body) for body in bodies[:_FORM_SHOWS_IN])


def fill(events: np.ndarray, at: np.ndarray, name: bytes, bodies: Sequence[bytes], *, by_field: bool) -> np.ndarray:
    """Fill in the fields of the events of one name; return which were understood, booleans of shape (len(at),).

    :param at: the places of the events in ``events``, shape (n,); ``bodies`` are the texts of their fields.
    :param by_field: whether the tracer prints events field by field.
    """
    good = np.zeros(len(at), bool)
    forms = _NEWTASK_DECIMAL if by_field and name == b"task_newtask" else _FORMS[name]
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


def _raw_flags(values: tuple[bytes, ...]) -> np.ndarray:
    return np.array([_number(value) & 0xFFFFFFFF for value in values], np.int64)


def _number(text: bytes) -> int:
    return int(text, 16) if text.startswith(b"0x") else int(text)


def _commands(values: tuple[bytes, ...]) -> np.ndarray:
    return np.array(values)


def _commands_of_files(values: tuple[bytes, ...]) -> np.ndarray:
    """An exec names the task after the last part of the file's path, cut to 15 bytes (begin_new_exec(), fs/exec.c)."""
    return np.array([value.rpartition(b"/")[2][:15] for value in values])


# ---- states ----


def _states(values: tuple[bytes, ...]) -> np.ndarray:
    distinct, index = np.unique(np.array(values), return_inverse=True)
    return np.array([_state(text) for text in distinct], np.uint8)[index.reshape(-1)]


def _state(text: bytes) -> PrevState:
    """The state of R, R+, S, D|K …: letters of __trace_sched_switch_state(), with a + if the task was preempted."""
    letters = set(text.removesuffix(b"+").split(b"|"))
    numbers = {_numeric_state(_number(part)) for part in letters if part[:1].isdigit() or part[:1] == b"-"}
    if b"+" in text or PrevState.PREEMPTED in numbers:
        return PrevState.PREEMPTED
    if letters & {b"X", b"Z"}:
        return PrevState.DEAD
    if letters == {b"R"}:
        return PrevState.RUNNING
    if b"x" in letters:
        return PrevState.PARKED_OR_DEAD
    return numbers.pop() if len(letters) == len(numbers) == 1 else PrevState.BLOCKED


#: EXIT_DEAD and EXIT_ZOMBIE, which changed places in Linux 3.14 (include/linux/sched.h).
_EXIT_STATES = 0x30
#: TASK_PARKED since 4.14 (8ef9925b02c2); TASK_DEAD before.
_PARKED_OR_DEAD = 0x40
#: What sched_switch records for a preempted task (include/trace/events/sched.h, __trace_sched_switch_state()): since
#: 4.14 TASK_REPORT_MAX, 0x100 (3f5fe9fef5b2, "sched/debug: Fix task state recording/printout"). Before, TASK_STATE_MAX:
#: 0x1000 from 4.8 on, and 0x800 from 4.2 on. A task that leaves its CPU has none of these bits for a state of its own:
#: in the versions where they are states, they are TASK_WAKING and TASK_NEW.
_PREEMPTED = 0x1900
#: TASK_STATE_MAX before 4.2; later TASK_NOLOAD, which comes with TASK_UNINTERRUPTIBLE alone (TASK_IDLE, 0x402).
_PREEMPTED_BEFORE_4_2, _IDLE = 0x400, 0x402


def _numeric_state(number: int) -> PrevState:
    """The state that the event's field has, which ``trace-cmd report -R`` and ftrace's ``fields`` print."""
    if number & _PREEMPTED or (number & _PREEMPTED_BEFORE_4_2 and number & _IDLE != _IDLE):
        return PrevState.PREEMPTED
    if number & _EXIT_STATES:
        return PrevState.DEAD
    if number & _PARKED_OR_DEAD:
        return PrevState.PARKED_OR_DEAD
    return PrevState.BLOCKED if number else PrevState.RUNNING


#: Field of a form that is not an integer of the same name → the field of EVENT, and the conversion.
_FIELDS = {
    "state": ("state", _states),
    "comm": ("comm", _commands),
    "other_comm": ("other_comm", _commands),
    "file": ("comm", _commands_of_files),
    "flags": ("argument", _flags),
    "raw_flags": ("argument", _raw_flags),
}
