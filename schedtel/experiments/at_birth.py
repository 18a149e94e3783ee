"""A workload and an arm in; the workload whose tasks are scheduled so from their first instruction on, out.

An arm reaches threads that are there, and those born since at its next look. A job that is a life may be over by then.
So what an arm sets of threads is given to the generator, whose tasks set it for themselves before their first job. The
plan, and with it the paired comparison, is that of the workload without the arm.
"""

from collections.abc import Mapping
from dataclasses import replace

from schedtel.schedulers import attributes
from schedtel.schedulers.attributes import Attributes
from schedtel.schedulers.names import Arm, Rule
from schedtel.schedulers.settings import Setting
from schedtel.workloads.policies import POLICIES, Treatment
from schedtel.workloads.spec import TaskClass, Workload

#: What a thread can set of itself.
_KINDS = ("attributes", "affinity")
_NAMES = {number: name for name, number in POLICIES.items()}


def treated(workload: Workload, arm: Arm, classes: Mapping[str, tuple[str, ...]]) -> Workload:
    """The workload under a policy arm; the same workload under any other arm.

    :param classes: class of the arm's rules → names of the workload's classes.
    """
    under = tuple(replace(c, treatment=_under(c, arm, classes)) for c in workload.classes)
    return replace(workload, classes=under)


def is_whole(workload: Workload, arm: Arm) -> bool:
    """Whether the workload's tasks set for themselves all that a policy arm sets, so that none is to be looked for."""
    return not workload.externals and all(
        rule.setting.kind in _KINDS and (rule.selector is None or rule.selector.kind in ("class", "comm"))
        for rule in arm.rules
    )


def _under(task_class: TaskClass, arm: Arm, classes: Mapping[str, tuple[str, ...]]) -> Treatment:
    """For each kind of setting, the first rule that selects the class holds for it."""
    treatment = task_class.treatment
    for kind in _KINDS:
        rules = (r for r in arm.rules if r.setting.kind == kind and _selects(r, task_class.name, classes))
        rule = next(rules, None)
        treatment = _set(treatment, rule.setting) if rule else treatment
    return treatment


def _selects(rule: Rule, name: str, classes: Mapping[str, tuple[str, ...]]) -> bool:
    selector = rule.selector
    if selector is None:
        return True
    if selector.kind == "class":
        return name in classes.get(selector.name, ())
    return selector.kind == "comm" and selector.name == name


def _set(treatment: Treatment, setting: Setting) -> Treatment:
    if setting.kind == "affinity":
        return replace(treatment, cpus=setting.values)
    now = Attributes(POLICIES[treatment.policy], treatment.nice, treatment.priority, treatment.runtime_ns)
    wanted = attributes.wanted(setting, now)
    if wanted is None:
        return treatment
    return replace(
        treatment,
        policy=_NAMES[wanted.policy],
        nice=wanted.nice,
        priority=wanted.priority,
        runtime_ns=wanted.slice_ns,
    )
