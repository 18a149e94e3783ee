"""Texts and tables in; a page of HTML out, without scripts, and without requests to anywhere.

Names come from files, so each passes through :func:`text` or :func:`name`, which leave no character of markup.
"""

import html
import math
import re
from collections.abc import Iterable, Sequence

from schedtel.experiments.statistics import Difference
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


def page(title: str, parts: Iterable[str]) -> str:
    """A page of parts that are markup already; its title is foreign text."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def text(foreign: str, *, lines: bool = False) -> str:
    """Foreign text as markup. With ``lines``, ends of lines stay."""
    parts = foreign.split("\n") if lines else [foreign]
    return "\n".join(html.escape(str(Printable(part))) for part in parts)


def name(foreign: str) -> str:
    """A foreign name that may go on in the next row behind each of its parts."""
    return re.sub("([:+/])", r"\1<wbr>", text(foreign))


def section(title: str, about: str, content: str) -> str:
    return f'<h2>{title}</h2><p>{about}</p><div class="wide">{content}</div>'


def folded(title: str, about: str, content: str) -> str:
    """A section that is shown when a reader asks for it: it may have a thousand rows."""
    return f'<details><summary><h2>{title}</h2></summary><p>{about}</p><div class="wide">{content}</div></details>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Cells are markup already; a cell may bring its own ``<td``."""
    heads = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _cell(content: str) -> str:
    return content if content.startswith("<td") else f"<td>{content}</td>"


def heat(difference: Difference | None, *, less_is_better: bool = True) -> str:
    """A cell for a comparison: blue where it is better, red where it is worse."""
    if difference is None or difference.ratio is None:
        return "<td>-</td>"
    strength = max(-1.0, min(1.0, math.log(difference.ratio) / _FULL))
    is_worse = (strength > 0) == less_is_better
    light = 96 - 34 * abs(strength)
    range_text = "" if difference.low is None else f"<br><small>{difference.low:.2g} … {difference.high:.2g}</small>"
    star = " *" if difference.shown else ""
    return (
        f'<td class="heat" style="background:hsl({_WORSE if is_worse else _BETTER} 80% {light:.0f}%)">'
        f"{difference.ratio:.3g}{star}{range_text}</td>"
    )
