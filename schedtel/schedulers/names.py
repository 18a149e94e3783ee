"""The text of an arm in, such as ``policy:hogs:idle``; the arm, or an error that says how it is written, out."""

import re
from dataclasses import dataclass

from schedtel.errors import UsageError
from schedtel.schedulers.settings import EXAMPLES, Setting, is_setting, parse_setting
from schedtel.suggestions import did_you_mean

#: The kinds of arms: the kernel's own scheduler, attributes of threads, and sched_ext schedulers: by a program that
#: attaches one, or by the service org.scx.Loader.
FAMILIES = ("eevdf", "policy", "scx", "loader")
_EXAMPLES = {"policy": "policy:slice=0.1ms", "scx": "scx:simple", "loader": "loader:bpfland"}
#: The modes of that service (SchedMode of scx_loader), and their numbers on the bus.
MODES = {"auto": 0, "gaming": 1, "powersave": 2, "lowlatency": 3, "server": 4}
#: How a selection may be written: a word of these, or the name of a class.
SELECTORS = ("comm", "cgroup", "unit", "pid")
#: An arm of one cgroup: behind the name, its path.
_AT = "@"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_CLASS = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_LONGEST = 4096
_MOST_SHOWN = 60
#: TASK_COMM_LEN of include/linux/sched.h, less the final zero.
_LONGEST_COMM = 15


@dataclass(frozen=True)
class Selector:
    """Which threads of all that are in scope.

    :param kind: ``comm``, ``cgroup``, ``unit``, ``pid`` or ``class``.
    :param name: a command name, a cgroup's path, a systemd unit, a process id, or the name of a class.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return self.name if self.kind == "class" else f"{self.kind}={self.name}"


@dataclass(frozen=True)
class Rule:
    """One setting, and the threads of the scope that it is for; None: all of them."""

    selector: Selector | None
    setting: Setting

    def __str__(self) -> str:
        return f"{self.selector}:{self.setting}" if self.selector else str(self.setting)


@dataclass(frozen=True)
class Arm:
    """A way to schedule: ``str(arm)`` is its name.

    :param family: one of ``FAMILIES``.
    :param rules: of a policy arm; for each kind of setting, the first rule that selects a thread holds for it.
    :param scheduler: the name behind ``scx:`` or ``loader:``.
    :param cgroup: of an arm ``scx:NAME@CGROUP``: the path of the cgroup that it is for; empty: it is the machine's.
    :param mode: of an arm of the kind ``loader:``, one of ``MODES``.
    """

    family: str
    rules: tuple[Rule, ...] = ()
    scheduler: str = ""
    mode: str = "auto"
    cgroup: str = ""

    def __str__(self) -> str:
        if self.family == "policy":
            return "policy:" + "+".join(map(str, self.rules))
        mode = "" if self.mode == "auto" else f":{self.mode}"
        cgroup = f"{_AT}{self.cgroup}" if self.cgroup else ""
        return f"{self.family}:{self.scheduler}{mode}{cgroup}" if self.scheduler else self.family

    @property
    def classes(self) -> frozenset[str]:
        """The classes that its rules name."""
        return frozenset(rule.selector.name for rule in self.rules if rule.selector and rule.selector.kind == "class")


#: The kernel's own scheduler: the first arm of all, and the one to fall back to.
EEVDF = Arm("eevdf")


def parse_arm(text: str) -> Arm:
    """The arm that a text names: ``eevdf``, ``policy:RULE[+RULE…]``, ``scx:NAME[@CGROUP]``, ``loader:NAME[:MODE]``.

    A rule is a setting, or a selection and a setting: ``slice=0.1ms``, ``hogs:idle``, ``comm=make:batch``.

    Raises :class:`UsageError` for any other text.
    """
    family, colon, rest = text.partition(":")
    if len(text) > _LONGEST or "\0" in text:
        raise UsageError("cannot read an arm: its name is too long, or has a zero byte in it (see `scheduler list`)")
    if family not in FAMILIES:
        raise UsageError(f"cannot read {_short(text)} as an arm: {did_you_mean(family, FAMILIES)}")
    if family == "eevdf":
        if colon:
            raise UsageError(f"cannot use {_short(text)}: eevdf has no settings (write eevdf, or policy:{rest[:20]})")
        return EEVDF
    if not rest:
        raise UsageError(f"cannot use {_short(text)}: it names nothing (write {_EXAMPLES[family]})")
    if family == "policy":
        return _policy(rest)
    return _scx(text, rest) if family == "scx" else _loader(text, rest)


def parse_selector(text: str) -> Selector:
    """The selection that a text names: ``comm=NAME``, ``cgroup=PATH``, ``unit=NAME``, ``pid=N``, or a class.

    Raises :class:`UsageError` for any other text.
    """
    kind, equals, name = text.partition("=")
    if not equals:
        if not _CLASS.fullmatch(text):
            raise UsageError(f"cannot read {_short(text)} as a selection (write comm=make, cgroup=/x, unit=x or pid=1)")
        return Selector("class", text)
    if kind not in SELECTORS:
        raise UsageError(f"cannot read {_short(text)} as a selection: {did_you_mean(kind, SELECTORS)}")
    _check_name(kind, name, text)
    return Selector(kind, name)


def parse_scope(text: str) -> Selector:
    """The selection that ``--for`` names. Raises :class:`UsageError` for a class, which chooses from one."""
    selector = parse_selector(text)
    if selector.kind == "class":
        raise UsageError(
            f"cannot use --for {text!r}: a class chooses from a selection (write pid=, comm=, cgroup=, unit=)"
        )
    return selector


def _check_name(kind: str, name: str, text: str) -> None:
    if not name:
        raise UsageError(f"cannot select by {_short(text)}: it names nothing (give a value)")
    if kind == "pid" and not re.fullmatch(r"[1-9][0-9]{0,8}", name):
        raise UsageError(f"cannot select by {_short(text)}: a process id is a positive integer (such as pid=1234)")
    if kind == "comm" and len(name.encode(errors="surrogateescape")) > _LONGEST_COMM:
        raise UsageError(f"cannot select by {_short(text)}: the kernel keeps {_LONGEST_COMM} bytes of a name")
    if kind == "unit" and "/" in name:
        raise UsageError(f"cannot select by {_short(text)}: a unit's name has no slash (or use cgroup=/path)")


def _policy(text: str) -> Arm:
    return Arm("policy", tuple(_rule(part) for part in text.split("+")))


def _rule(text: str) -> Rule:
    """A cgroup's path or a unit's name may hold colons, and a setting none: it is what follows the last one."""
    selection, colon, setting = text.rpartition(":")
    if not colon and "=" not in text and not is_setting(text):
        raise UsageError(f"cannot read {_short(text)} as a rule: {_meant(text)}")
    if not colon and text.partition("=")[0] in SELECTORS:
        raise UsageError(f"cannot use {_short(text)}: it sets nothing (write {_short(text + ':batch')})")
    return Rule(parse_selector(selection) if colon else None, parse_setting(setting))


def _meant(text: str) -> str:
    return f"{did_you_mean(text, EXAMPLES)} (for a class, write {text[:20]}:idle)"


def _scx(text: str, rest: str) -> Arm:
    name, at, cgroup = rest.partition(_AT)
    if at and not cgroup:
        raise UsageError(f"cannot use {_short(text)}: it names no cgroup (write scx:vtime@/x, or scx:vtime for all)")
    if not _NAME.fullmatch(name):
        raise UsageError(f"cannot use {_short(text)}: a sched_ext scheduler has a plain name (such as scx:simple)")
    return Arm("scx", scheduler=name, cgroup=cgroup)


def _loader(text: str, rest: str) -> Arm:
    name, colon, mode = rest.partition(":")
    if not _NAME.fullmatch(name):
        raise UsageError(f"cannot use {_short(text)}: a sched_ext scheduler has a plain name (such as loader:bpfland)")
    if colon and mode not in MODES:
        raise UsageError(f"cannot use {_short(text)}: {_short(mode)} is no mode: {did_you_mean(mode, MODES)}")
    return Arm("loader", scheduler=name, mode=mode or "auto")


def _short(text: str) -> str:
    return repr(text if len(text) <= _MOST_SHOWN else text[:_MOST_SHOWN] + "…")
