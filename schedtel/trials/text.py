"""Findings of a trial in; text for a person out."""

from schedtel.experiments.statistics import LEAST_PAIRS
from schedtel.experiments.tables import aligned, name_text, ratio_text
from schedtel.trials.findings import Findings, not_worse

LEGEND = "as a multiple of EEVDF's; less is better; [interval that holds for all of the row at once]; * differs from 1"


def text_of(findings: Findings) -> str:
    """What was run, the learning by rounds, the agents beside the other methods, and each workload by itself."""
    parts = [heading(findings), _rounds(findings), _against(findings), _workloads(findings)]
    parts += [sentence for agent in findings.agents if (sentence := harm(findings, agent))]
    return "\n\n".join([*filter(None, parts), *(f"note: {note}" for note in findings.notes)]) + "\n"


def heading(findings: Findings) -> str:
    """What was run."""
    return (
        f"{name_text(findings.title)}: {findings.repeats} repeats of {len(findings.rounds)} rounds of "
        f"{len(findings.workloads)} workloads under {len(findings.methods)} methods"
    )


def _rounds(findings: Findings) -> str:
    methods = findings.methods[1:]
    head = ["score", *(f"round {number}" for number in findings.rounds)]
    rows = [
        [name_text(method), *(ratio_text(findings.by_round[method, number]) for number in findings.rounds)]
        for method in methods
    ]
    return f"{aligned([head, *rows])}\n{LEGEND}"


def _against(findings: Findings) -> str:
    if not findings.against:
        return ""
    rows = [
        [name_text(agent), "/", name_text(method), ratio_text(difference) + _is_best(findings, method)]
        for (agent, method), difference in findings.against.items()
    ]
    return f"in the last round, an agent's score as a multiple of another method's\n{aligned(rows)}"


def _is_best(findings: Findings, method: str) -> str:
    return "  (the best arm that never changes)" if method == findings.best else ""


def _workloads(findings: Findings) -> str:
    methods = findings.methods[1:]
    by_place = {(each.workload, each.method): each.difference for each in findings.by_workload}
    rows = [
        [name_text(workload), *(ratio_text(by_place.get((workload, method))) for method in methods)]
        for workload in findings.workloads
    ]
    return f"cost L / L0 in the last round\n{aligned([['workload', *map(name_text, methods)], *rows])}"


def harm(findings: Findings, agent: str) -> str:
    """How many workloads an agent made worse; empty with too few repeats to say."""
    if findings.repeats < LEAST_PAIRS:
        return ""
    unharmed, little, every = not_worse(findings, agent)
    return (
        f"{name_text(agent)}: {unharmed} of {every} workloads are not shown to be worse than under EEVDF; "
        f"the mean of {every - little} is worse by more than a fifth"
    )
