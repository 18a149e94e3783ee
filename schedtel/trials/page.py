"""Findings of a trial in; one HTML page out (see :mod:`schedtel.experiments.markup`)."""

from schedtel.experiments.markup import heat, name, page, section, table, text
from schedtel.trials.findings import Findings
from schedtel.trials.text import LEGEND, harm, heading, text_of

_ROUNDS = f"{LEGEND}. The score is the geometric mean of L / L0 over the workloads of a round."
_AGAINST = "The score of a row's agent as a multiple of the column's method. Intervals hold for all of them at once."


def render(findings: Findings) -> str:
    """The page: learning by rounds, agents beside the other methods, and each workload by itself."""
    parts = [
        f"<h1>{text(findings.title)}</h1>",
        f"<p>{text(heading(findings))}.</p>",
        *(f'<p class="note">{text(note)}</p>' for note in findings.notes),
        section("Learning: the score of each round", text(_ROUNDS), _rounds(findings)),
        *([section("Agents in the last round", text(_AGAINST), _against(findings))] if findings.against else []),
        section("Each workload in the last round", "Its cost L / L0.", _workloads(findings)),
        *(f"<p>{text(sentence)}.</p>" for agent in findings.agents if (sentence := harm(findings, agent))),
        section("As text", "", f"<pre>{text(text_of(findings), lines=True)}</pre>"),
    ]
    return page(findings.title, parts)


def _rounds(findings: Findings) -> str:
    rows = [
        [name(method), *(heat(findings.by_round[method, number]) for number in findings.rounds)]
        for method in findings.methods[1:]
    ]
    return table(["method", *(f"round {number}" for number in findings.rounds)], rows)


def _against(findings: Findings) -> str:
    others = findings.methods[1:]
    rows = [
        [name(agent), *(heat(findings.against.get((agent, method))) for method in others)] for agent in findings.agents
    ]
    return table(["agent", *map(name, others)], rows)


def _workloads(findings: Findings) -> str:
    by_place = {(each.workload, each.method): each.difference for each in findings.by_workload}
    methods = findings.methods[1:]
    rows = [
        [name(workload), *(heat(by_place.get((workload, method))) for method in methods)]
        for workload in findings.workloads
    ]
    return table(["workload", *map(name, methods)], rows)
