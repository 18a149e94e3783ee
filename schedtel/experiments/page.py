"""Findings in; one HTML page out (see :mod:`.markup`)."""

from schedtel.experiments.findings import BY_NAME, COST, OBJECTIVES, Findings
from schedtel.experiments.markup import folded, heat, name, page, section, table, text
from schedtel.experiments.tables import spread_texts, text_of, winner_text


def render(findings: Findings) -> str:
    """The page: a heat map of costs, the winners, all comparisons and the variability."""
    counts = f"{findings.runs} runs, {len(findings.workloads)} workloads, {len(findings.schedulers)} schedulers"
    parts = [
        f"<h1>{text(findings.title)}</h1>",
        f"<p>{counts}; baseline {text(findings.baseline)}.</p>",
        *(f'<p class="note">{text(note)}</p>' for note in findings.notes),
        section(f"{text(COST)}: {text(BY_NAME[COST].meaning)}", _HEAT, _heat_map(findings, COST)),
        section("The best arm for each objective", _BEST, _winners(findings)),
        *(
            section(f"{text(figure)}: {text(BY_NAME[figure].meaning)}", "", _heat_map(findings, figure))
            for figure in OBJECTIVES.values()
            if figure != COST
        ),
        section("Variability", "Mean, standard deviation and CV over the repeats.", _variability(findings)),
        folded(
            "Variability of each CPU",
            "Of all tasks that ran on the CPU, over the repeats.",
            _core_variability(findings),
        ),
        section("As text", "", f"<pre>{text(text_of(findings), lines=True)}</pre>"),
    ]
    return page(findings.title, parts)


_HEAT = (
    "As a multiple of the baseline's, with its interval: blue is better, red is worse. An asterisk: the interval "
    "leaves 1 out. It holds for all arms of the row at once."
)
_BEST = "Its figure as a multiple of the baseline's. A question mark: not shown to be better than the baseline."


def _heat_map(findings: Findings, figure: str) -> str:
    """A figure of each workload under each arm, as a multiple of the baseline's."""
    arms = findings.schedulers[1:]
    rows = [
        [
            name(workload),
            *(
                heat(findings.difference(workload, arm, figure), less_is_better=BY_NAME[figure].better == "less")
                for arm in arms
            ),
        ]
        for workload in findings.workloads
    ]
    return table(["workload", *map(name, arms)], rows)


def _winners(findings: Findings) -> str:
    by_place = {(winner.workload, winner.objective): winner for winner in findings.winners}
    rows = [
        [name(workload), *(name(winner_text(by_place[workload, objective])) for objective in OBJECTIVES)]
        for workload in findings.workloads
    ]
    return table(["workload", *map(text, OBJECTIVES)], rows)


def _variability(findings: Findings) -> str:
    rows = [
        [
            text(figure),
            f'<td class="left">{text(workload)}</td>',
            f'<td class="left">{text(scheduler)}</td>',
            *spread_texts(figure, spread),
        ]
        for (workload, scheduler, figure), spread in sorted(
            findings.variability.items(), key=lambda item: item[0][::-1]
        )
    ]
    return table(["figure", "workload", "scheduler", "runs", "mean", "std", "CV %"], rows)


def _core_variability(findings: Findings) -> str:
    rows = [
        [
            text(figure),
            f'<td class="left">{text(workload)}</td>',
            f'<td class="left">{text(scheduler)}</td>',
            str(cpu),
            *spread_texts(figure, spread),
        ]
        for (workload, scheduler, cpu, figure), spread in sorted(
            findings.core_variability.items(), key=lambda item: (item[0][3], item[0])
        )
    ]
    return table(["figure", "workload", "scheduler", "CPU", "runs", "mean", "std", "CV %"], rows)
