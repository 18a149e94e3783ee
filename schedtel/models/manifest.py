"""What is known of a version of a model in; the bytes whose sha256 is its name out, and back."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field
from typing import Any

from schedtel.dags.fingerprint import Fingerprint, checked
from schedtel.errors import UsageError

#: It changes when an entry changes its meaning.
FORMAT = 1
DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_GRAPHS, _MOST_PARENTS, _MOST_TEXT = 4096, 16, 200
_LARGEST_COST = 1e15


def digest_of(content: bytes) -> str:
    """The name of an object: sha256 of its bytes, in hex."""
    return hashlib.sha256(content).hexdigest()


def canonical(value: object) -> bytes:
    """JSON with one form for one value; the order of its entries is a part of it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


@dataclass(frozen=True)
class Known:
    """A graph that a version was judged on.

    :param graph: digest of the graph.
    :param cost: the makespan of the schedule that the model makes of it.
    :param bound: no schedule has a smaller one.
    """

    graph: str
    fingerprint: Fingerprint
    cost: float
    bound: float


@dataclass(frozen=True)
class Manifest:
    """A version: its weights, whence it came, and what it makes of each graph.

    :param made: how: ``update``, ``average``, ``ties``, ``distil`` or ``split``.
    :param parents: the versions that it was made of.
    """

    weights: str
    made: str
    parents: tuple[str, ...] = ()
    evaluation: dict[str, Known] = field(default_factory=dict)
    environment: str = "dag"
    format: int = FORMAT

    def to_bytes(self) -> bytes:
        """The bytes whose digest is the version's name."""
        return canonical(asdict(self))

    @property
    def costs(self) -> dict[str, float]:
        """The cost on each graph, by its name."""
        return {name: known.cost for name, known in self.evaluation.items()}


def parse_manifest(content: bytes, name: str) -> Manifest:
    """The manifest of these bytes. Raises :class:`UsageError` for what is none, or of another format."""
    try:
        table = json.loads(content)
        version = int(table["format"])
        evaluation = {_text(key): _known(value) for key, value in table["evaluation"].items()}
        parents = tuple(_digest(parent) for parent in table["parents"])
        environment, made = _text(table["environment"]), _text(table["made"])
        found = Manifest(_digest(table["weights"]), made, parents, evaluation, environment, version)
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _damaged(name) from error
    if not 1 <= len(evaluation) <= _MOST_GRAPHS or len(parents) > _MOST_PARENTS or found.to_bytes() != content:
        raise _damaged(name)
    if version != FORMAT:
        raise UsageError(f"cannot use model {name[:12]}: format {version}, and {FORMAT} is known (make it again)")
    return found


def _damaged(name: str) -> UsageError:
    return UsageError(f"cannot read model {name[:12]}: its manifest is damaged (restore it from a copy)")


def _text(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _MOST_TEXT:
        raise ValueError(value)
    return value


def _digest(value: object) -> str:
    if not isinstance(value, str) or not DIGEST.fullmatch(value):
        raise ValueError(value)
    return value


def _number(value: Any) -> float:
    number = float(value)
    if not 0 < number < _LARGEST_COST:
        raise ValueError(value)
    return number


def _known(table: Any) -> Known:
    return Known(
        _digest(table["graph"]), checked(table["fingerprint"]), _number(table["cost"]), _number(table["bound"])
    )
