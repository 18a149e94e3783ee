"""Findings in; one HTML page out, without scripts, and without requests to anywhere.

Names come from files, so each text passes through :func:`_text`, which leaves no character of markup.
"""

import html
import math
import re
from collections.abc import Iterable, Sequence

from schedtel.experiments.findings import BY_NAME, COST, OBJECTIVES, Findings
from schedtel.experiments.statistics import Difference
from schedtel.experiments.tables import spread_texts, text_of, winner_text
from schedtel.foreign_text import Printable

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem; color: #1d232b; }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p { max-width: 48rem; margin: .3rem 0; } .note { color: #8a4b00; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #d9dee5; text-align: right; }
th { vertical-align: bottom; } td { white-space: nowrap; } td:has(wbr) { white-space: normal; }
th:first-child, td:first-child, .left { text-align: left; } thead th { border-bottom: 2px solid #9aa4b1; }
td.heat { border: 2px solid #fff; color: #10151b; text-align: center; line-height: 1.25; }
details { margin: 2rem 0 .5rem; } summary h2 { display: inline; } small { opacity: .75; }
@media (prefers-color-scheme: dark) {
  body { background: #14181d; color: #dfe5ec; } th, td { border-color: #333b45; } td.heat { border-color: #14181d; }
  .note { color: #ffb45c; }
}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
#: Half or double the baseline's figure has the full colour.
_FULL = math.log(2)
#: Hues: told apart by those who see no red or no green.
_BETTER, _WORSE = 212, 12


def render(findings: Findings) -> str:
    """The page: a heat map of costs, the winners, all comparisons and the variability."""
    counts = f"{findings.runs} runs, {len(findings.workloads)} workloads, {len(findings.schedulers)} schedulers"
    parts = [
        f"<h1>{_text(findings.title)}</h1>",
        f"<p>{counts}; baseline {_text(findings.baseline)}.</p>",
        *(f'<p class="note">{_text(note)}</p>' for note in findings.notes),
        _section(f"{_text(COST)}: {_text(BY_NAME[COST].meaning)}", _HEAT, _heat_map(findings, COST)),
        _section("The best arm for each objective", _BEST, _winners(findings)),
        *(
            _section(f"{_text(name)}: {_text(BY_NAME[name].meaning)}", "", _heat_map(findings, name))
            for name in OBJECTIVES.values()
            if name != COST
        ),
        _section("Variability", "Mean, standard deviation and CV over the repeats.", _variability(findings)),
        _folded(
            "Variability of each CPU",
            "Of all tasks that ran on the CPU, over the repeats.",
            _core_variability(findings),
        ),
        _section("As text", "", f"<pre>{_text(text_of(findings), lines=True)}</pre>"),
    ]
    body = "".join(parts)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(findings.title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


_HEAT = (
    "As a multiple of the baseline's, with its interval: blue is better, red is worse. An asterisk: the interval "
    "leaves 1 out. It holds for all arms of the row at once."
)
_BEST = "Its figure as a multiple of the baseline's. A question mark: not shown to be better than the baseline."


def _text(text: str, *, lines: bool = False) -> str:
    """Foreign text as markup. With ``lines``, ends of lines stay."""
    parts = text.split("\n") if lines else [text]
    return "\n".join(html.escape(str(Printable(part))) for part in parts)


def _name(text: str) -> str:
    """A foreign name that may go on in the next row behind each of its parts."""
    return re.sub("([:+/])", r"\1<wbr>", _text(text))


def _section(title: str, about: str, content: str) -> str:
    return f'<h2>{title}</h2><p>{about}</p><div class="wide">{content}</div>'


def _folded(title: str, about: str, content: str) -> str:
    """A section that is shown when a reader asks for it: it may have a thousand rows."""
    return f'<details><summary><h2>{title}</h2></summary><p>{about}</p><div class="wide">{content}</div></details>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are markup already; a cell may bring its own ``<td``."""
    heads = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content}</td>"


def _heat_map(findings: Findings, name: str) -> str:
    """A figure of each workload under each arm, as a multiple of the baseline's."""
    arms = findings.schedulers[1:]
    rows = [
        [_name(workload), *(_heat(findings.difference(workload, arm, name), name) for arm in arms)]
        for workload in findings.workloads
    ]
    return _table(["workload", *map(_name, arms)], rows)


def _heat(difference: Difference | None, name: str) -> str:
    if difference is None or difference.ratio is None:
        return "<td>-</td>"
    strength = max(-1.0, min(1.0, math.log(difference.ratio) / _FULL))
    is_worse = (strength > 0) == (BY_NAME[name].better == "less")
    light = 96 - 34 * abs(strength)
    range_text = "" if difference.low is None else f"<br><small>{difference.low:.2g} … {difference.high:.2g}</small>"
    star = " *" if difference.shown else ""
    return (
        f'<td class="heat" style="background:hsl({_WORSE if is_worse else _BETTER} 80% {light:.0f}%)">'
        f"{difference.ratio:.3g}{star}{range_text}</td>"
    )


def _winners(findings: Findings) -> str:
    by_place = {(winner.workload, winner.objective): winner for winner in findings.winners}
    rows = [
        [_name(workload), *(_name(winner_text(by_place[workload, objective])) for objective in OBJECTIVES)]
        for workload in findings.workloads
    ]
    return _table(["workload", *map(_text, OBJECTIVES)], rows)


def _variability(findings: Findings) -> str:
    rows = [
        [
            _text(figure),
            f'<td class="left">{_text(workload)}</td>',
            f'<td class="left">{_text(scheduler)}</td>',
            *spread_texts(figure, spread),
        ]
        for (workload, scheduler, figure), spread in sorted(
            findings.variability.items(), key=lambda item: item[0][::-1]
        )
    ]
    return _table(["figure", "workload", "scheduler", "runs", "mean", "std", "CV %"], rows)


def _core_variability(findings: Findings) -> str:
    rows = [
        [
            _text(figure),
            f'<td class="left">{_text(workload)}</td>',
            f'<td class="left">{_text(scheduler)}</td>',
            str(cpu),
            *spread_texts(figure, spread),
        ]
        for (workload, scheduler, cpu, figure), spread in sorted(
            findings.core_variability.items(), key=lambda item: (item[0][3], item[0])
        )
    ]
    return _table(["figure", "workload", "scheduler", "CPU", "runs", "mean", "std", "CV %"], rows)
