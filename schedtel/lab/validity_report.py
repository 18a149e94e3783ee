"""An index of validity in; text for a person and JSON for a program out."""

import json
from dataclasses import asdict

from schedtel.experiments.tables import aligned, name_text
from schedtel.lab.validity import Agreement, Pair, Validity

#: What the lab is to reach: the order of arms that the live machine has, but for little.
TARGET = 0.9


def text_of(validity: Validity) -> str:
    """The correlations, then the ratios of both sides beside each other, and what a reader has to know."""
    heading = (
        f"{name_text(validity.title)}: {_most_pairs(validity)} pairs of workload and arm, {validity.repeats} repeats\n"
        f"live: {name_text(validity.live)}\nlab:  {name_text(validity.lab)}"
    )
    notes = [f"note: {note}" for note in (*validity.notes, *_below(validity))]
    return "\n\n".join([heading, _correlations(validity), _pairs(validity), *notes]) + "\n"


def json_of(validity: Validity) -> str:
    """All of it: the fields of :class:`Validity`, and for each pair whether its ratios are on one side of 1."""
    table = asdict(validity)
    for agreement, said in zip(validity.agreements, table["agreements"], strict=True):
        for pair, row in zip(agreement.pairs, said["pairs"], strict=True):
            row["same_sign"] = pair.same_sign
    return json.dumps(table, indent=1)


def _most_pairs(validity: Validity) -> int:
    return max(len(agreement.pairs) for agreement in validity.agreements)


def _correlations(validity: Validity) -> str:
    rows = [["figure", "pairs", "rank correlation", "same sign", "median error", "live with itself", "lab with itself"]]
    for each in validity.agreements:
        error = "-" if each.median_error is None else f"{each.median_error:.0%}"
        numbers = [
            _two(each.rank_correlation) + ("" if each.standard_error is None else f" ± {each.standard_error:.2f}"),
            str(each.same_sign),
            error,
            _two(each.live_halves),
            _two(each.lab_halves),
        ]
        rows.append([each.figure, str(len(each.pairs)), *numbers])
    return aligned(rows)


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _pairs(validity: Validity) -> str:
    """A row for each workload and arm: the ratios of each figure, live and in the lab; ``!``: they lie around 1."""
    names = [each.figure for each in validity.agreements]
    head = [f"ratio to {name_text(validity.baseline)}", ""]
    head += [f"{name} {side}" for name in names for side in ("live", "lab")]
    by_place = [_by_place(each) for each in validity.agreements]
    rows = [
        [*map(name_text, place), *(cell for pairs in by_place for cell in _cells(pairs.get(place)))]
        for place in dict.fromkeys(place for pairs in by_place for place in pairs)
    ]
    return f"{aligned([head, *rows])}\n! one side is above 1, the other below"


def _by_place(agreement: Agreement) -> dict[tuple[str, str], Pair]:
    return {(pair.workload, pair.scheduler): pair for pair in agreement.pairs}


def _cells(pair: Pair | None) -> tuple[str, str]:
    if pair is None:
        return "-", "-"
    return f"{pair.live:.3g}", f"{pair.lab:.3g}{'' if pair.same_sign else ' !'}"


def _below(validity: Validity) -> list[str]:
    low = [each.figure for each in validity.agreements if (each.rank_correlation or 0) < TARGET]
    return [f"the rank correlation of {', '.join(low)} is below {TARGET}, or unknown"] if low else []
