"""Tables in; bodies of calls and their answers, as JSON, out, and back. What comes is not trusted."""

import json
import math
from typing import Any

from schedtel.errors import UsageError
from schedtel.workloads.fields import Fields

#: Most threads of all classes together that a call names: they have to fit into its body.
MOST_THREADS = 20_000


def encoded(table: dict[str, Any]) -> bytes:
    """A table as the body of a call or an answer."""
    return json.dumps(table, allow_nan=False).encode()


def decoded(body: bytes) -> dict[str, Any]:
    """The table of a body. Raises :class:`UsageError` for any other text; a number that is infinite is none."""
    try:
        table = json.loads(body, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise UsageError("cannot read the call: it is no JSON (use the same schedtel on both sides)") from error
    if not isinstance(table, dict):
        raise UsageError("cannot read the call: it is no table of JSON (use the same schedtel on both sides)")
    return table


def fields_of(body: bytes) -> Fields:
    """The fields of a call, each to be taken out. Raises :class:`UsageError` as :func:`decoded`."""
    return Fields(decoded(body), "the call")


def _refuse(name: str) -> None:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number
