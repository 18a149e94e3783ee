"""What a controller asks for in; the workloads that it may have run here, or an error that says why not, out."""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from schedtel.durations import NS_PER_S, format_duration
from schedtel.errors import UsageError
from schedtel.experiments.spec import PLACEBO, ExperimentSpec
from schedtel.schedulers.names import EEVDF, Arm, parse_arm
from schedtel.schedulers.settings import HIGHEST_PRIORITY
from schedtel.workloads.presets import preset_names
from schedtel.workloads.spec import TaskClass, Workload, load_workload, parse_workload

#: Where the files of a workload are unless it says so.
_DIRECTORY = "/tmp"
#: Settings of a thread, which reach no thread but the workload's own.
_OF_THREADS = ("attributes", "affinity", "autogroup")
_MOST_SHOWN = 60


def presets_without_programs() -> tuple[str, ...]:
    """The presets that run no program of others: how many tasks such a program has is not known before."""
    return tuple(name for name in preset_names() if not load_workload(name).externals)


@dataclass(frozen=True)
class Rules:
    """What a target runs, and how much of it.

    :param cpus: the CPUs that workloads may use.
    :param workloads: names of presets.
    :param schedulers: patterns of arms, as fnmatch(3) has them; one for each rule of a policy arm. Empty: ``eevdf``,
        and for experiments policy arms that set threads of the workload and nothing else.
    :param uploads: whether a controller may send workloads of its own. Whatever this says, they run no program of
        others, read no recording, and name no directory.
    :param max_duration_ns: of a run: the plan, and the time in which its last jobs may end.
    :param max_tasks: of a workload, alive at a time.
    :param max_bytes: that a workload touches in memory or in files.
    """

    cpus: tuple[int, ...]
    workloads: tuple[str, ...]
    schedulers: tuple[str, ...] = ()
    uploads: bool = False
    max_duration_ns: int = 60 * NS_PER_S
    max_tasks: int = 1024
    max_bytes: int = 1 << 30

    def __post_init__(self) -> None:
        """Raises :class:`UsageError` for a workload that is no preset."""
        for name in self.workloads:
            if name not in preset_names():
                raise UsageError(
                    f"cannot allow workload {name[:_MOST_SHOWN]!r}: it is no preset (see `schedtel workload list`)"
                )

    def allow(self, spec: ExperimentSpec, files: Mapping[str, str]) -> dict[str, Workload]:
        """The workloads of an experiment by name.

        :param files: texts of those that are no presets, by name.

        Raises :class:`UsageError` for what is not allowed.
        """
        unused = set(files) - set(spec.workloads)
        if unused:
            raise UsageError(f"cannot use file {min(unused)[:_MOST_SHOWN]!r}: no workload has this name (drop it)")
        for scheduler in spec.schedulers:
            if scheduler != PLACEBO:
                self._check_arm(parse_arm(scheduler))
        return {name: self._workload(name, spec, files) for name in spec.workloads}

    def allow_agent(self, arms: Iterable[str]) -> None:
        """Raise :class:`UsageError` for an arm that no agent may use here: its threads are any of this machine."""
        for arm in map(parse_arm, arms):
            if arm != EEVDF and not self._is_named(arm):
                allowed = dict.fromkeys(("eevdf", *self.schedulers))
                why = f"allowed for agents are {_listed(tuple(allowed))} (serve with --scheduler)"
                raise _refused("use scheduler", str(arm), why)
            self._check_settings(arm)

    def why_not(self, arm: str) -> str:
        """Why no agent may use an arm here; empty if one may."""
        try:
            self.allow_agent([arm])
        except UsageError as error:
            return str(error)
        return ""

    def _check_arm(self, arm: Arm) -> None:
        if not (self._is_named(arm) if self.schedulers else _is_own(arm)):
            raise _refused("use scheduler", str(arm), f"allowed are {_listed(self.schedulers) or _OWN}")
        self._check_settings(arm)

    def _is_named(self, arm: Arm) -> bool:
        """Whether an arm is named as it is, or a pattern fits each rule of it: else any rule could follow the first."""
        parts = [f"{arm.family}:{rule}" for rule in arm.rules] or [str(arm)]
        fits = [any(fnmatch.fnmatchcase(part, pattern) for pattern in self.schedulers) for part in parts]
        return str(arm) in self.schedulers or all(fits)

    def _check_settings(self, arm: Arm) -> None:
        for rule in arm.rules:
            self._check_cpus(rule.setting.values if rule.setting.kind == "affinity" else (), str(arm))

    def _check_cpus(self, cpus: tuple[int, ...], what: str) -> None:
        others = sorted(set(cpus) - set(self.cpus))
        if others:
            raise _refused("use", what, f"CPU {others[0]} is not among {_listed(self.cpus)}")

    def _workload(self, name: str, spec: ExperimentSpec, files: Mapping[str, str]) -> Workload:
        workload = self._uploaded(name, files[name]) if name in files else self._preset(name)
        length_ns = (spec.duration_ns or workload.duration_ns) + workload.drain_ns
        if length_ns > self.max_duration_ns:
            length, most = format_duration(length_ns), format_duration(self.max_duration_ns)
            raise _refused("run workload", name, f"it takes {length}, and at most {most} is allowed")
        tasks = sum(map(_tasks, workload.classes))
        if tasks > self.max_tasks:
            raise _refused("run workload", name, f"it has {tasks:,} tasks, and at most {self.max_tasks:,} are allowed")
        for task_class in workload.classes:
            self._check_cpus(task_class.treatment.cpus, name)
        return workload

    def _preset(self, name: str) -> Workload:
        if name not in self.workloads:
            raise _refused("run workload", name, f"allowed are {_listed(self.workloads) or 'none'}")
        return load_workload(name)

    def _uploaded(self, name: str, text: str) -> Workload:
        if not self.uploads:
            raise _refused("run workload", name, "this target takes no files (serve with --uploads)")
        if name in preset_names():
            raise _refused("run workload", name, "a preset has this name (rename the file)")
        workload = parse_workload(text, name[:_MOST_SHOWN])
        if workload.externals:
            raise _refused("run workload", name, "it runs programs of others")
        for task_class in workload.classes:
            why = _why_not(task_class)
            if why:
                raise _refused("run workload", name, f"class {task_class.name} {why}")
        touched = sum(c.workers * c.behaviour.size_bytes for c in workload.classes)
        if touched > self.max_bytes:
            raise _refused("run workload", name, f"it touches {touched:,} bytes, and {self.max_bytes:,} are allowed")
        return workload


_OWN = "eevdf, and policies of the workload's own classes"


def _is_own(arm: Arm) -> bool:
    """Whether an arm sets threads of the workload and nothing else."""
    return arm == EEVDF or (
        arm.family == "policy"
        and all(rule.setting.kind in _OF_THREADS and _names_class(rule.selector) for rule in arm.rules)
    )


def _names_class(selector: object) -> bool:
    return selector is None or getattr(selector, "kind", "") == "class"


def _why_not(task_class: TaskClass) -> str:
    """Why a class of an uploaded workload is not run; empty if it is."""
    treatment, behaviour = task_class.treatment, task_class.behaviour
    reasons = {
        "reads a recording": "recorded" in (task_class.arrival.kind, task_class.service.kind),
        "has jobs that are graphs, which are only simulated": behaviour.graph is not None,
        "names a directory": behaviour.directory not in ("", _DIRECTORY),
        "would outrank what ends it": treatment.policy == "deadline" or treatment.priority > HIGHEST_PRIORITY,
    }
    return next((why for why, is_so in reasons.items() if is_so), "")


def _tasks(task_class: TaskClass) -> int:
    """The most tasks of a class at a time."""
    behaviour = task_class.behaviour
    others = 0
    if behaviour.kind == "pipe":
        others = 1
    elif behaviour.kind == "fork":
        others = sum(behaviour.fan**level for level in range(1, behaviour.count + 1))
    return task_class.workers * (1 + others)


def _refused(verb: str, what: str, why: str) -> UsageError:
    shown = what if len(what) <= _MOST_SHOWN else what[:_MOST_SHOWN] + "…"
    return UsageError(f"cannot {verb} {shown!r}: {why}")


def _listed(items: tuple[object, ...]) -> str:
    return ", ".join(map(str, items))
