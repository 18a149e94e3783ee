"""Decisions and what came of them in; Parquet files out, whole after each of them, and the same decisions back.

    DIR/decisions/part-000001.parquet

A row is a decision. It is written when it is made, and once more when its reward is known, so an agent that is killed
loses nothing but the reward of its last decision. The newest part grows, as that of a recording does; a log that is
opened again goes on with the next part. Only the owner can read the files: arms may name other users' commands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from schedtel.agent.context import Context, check_features
from schedtel.agent.policies.policy import MOST_ARMS
from schedtel.errors import RecordingError, UsageError
from schedtel.recordings.storage import Place, place_of
from schedtel.windows.arrow import from_list, from_numpy
from schedtel.windows.features import FEATURES_VERSION, FeatureVector

TABLE = "decisions"
#: Version of the columns below; it changes when one changes its meaning.
LOG_VERSION = 1
_VERSION, _NAMES, _FEATURES = b"schedtel.decisions_version", b"schedtel.features", b"schedtel.features_version"
#: Rows of a part: writing so many takes a few milliseconds.
_MOST_ROWS = 500
#: Elements of all lists of a part: a thousand a row are more than all features and arms.
_MOST_ELEMENTS = 1000 * _MOST_ROWS
#: A decision a second for a year and a half.
_MOST_PARTS = 100_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CHANCES = pa.list_(pa.float64())

COLUMNS = (
    ("time_ns", pa.int64(), "when it was decided, CLOCK_MONOTONIC"),
    ("wall_time", pa.timestamp("us", "UTC"), "the same on the wall clock"),
    ("window_id", pa.int64(), "the window that the features are of"),
    ("features", pa.list_(pa.float64()), "their values, in the order of the metadata; 0 where one is missing"),
    ("missing", pa.list_(pa.bool_()), "which of them are missing"),
    ("running", pa.string(), "the arm that ran in that window"),
    ("busiest_cpu", pa.float64(), "busy part of the busiest CPU's time in that window"),
    ("arms", pa.list_(pa.string()), "all arms of the policy"),
    ("propensities", _CHANCES, "the chance of each; null for one that was not allowed, and where a guard decided"),
    ("arm", pa.string(), "the arm that was run"),
    ("propensity", pa.float64(), "its chance; null where a guard decided"),
    ("reward", pa.float64(), "what came of it: 0 is the default arm's; null until known, and where it never was"),
    ("gap_ns", pa.int64(), "time without the arm while it was put in place"),
    ("reason", pa.string(), "why a guard decided in the policy's place; null where it did not"),
    ("policy", pa.string(), "name of the policy"),
    ("policy_rewards", pa.int64(), "rewards that it had learned: which state of it decided"),
)
#: The columns without their meanings, which other versions may put in other words.
_PLAIN = pa.schema([(name, kind) for name, kind, _ in COLUMNS])


@dataclass(frozen=True)
class Entry:
    """A row of the log; :data:`COLUMNS` has the meanings. ``wall_time_ns`` is since 1970."""

    time_ns: int
    wall_time_ns: int
    window_id: int
    context: Context
    arms: Sequence[str]
    arm: str
    propensities: Mapping[str, float] = field(default_factory=dict)
    reward: float | None = None
    gap_ns: int | None = None
    reason: str | None = None
    policy: str = ""
    policy_rewards: int = 0

    @property
    def propensity(self) -> float | None:
        """The chance that the arm had; None where a guard decided."""
        return self.propensities.get(self.arm)

    @property
    def moment(self) -> datetime:
        """When it was decided, on the wall clock."""
        return _EPOCH + timedelta(microseconds=self.wall_time_ns // 1000)


class DecisionLog:
    """Writes decisions to a directory, which is made if it is missing, or to a URI.

    Raises :class:`RecordingError` if it cannot be written, and :class:`UsageError` if another user could replace it.
    """

    def __init__(self, where: str | os.PathLike[str], names: Sequence[str]) -> None:
        check_features(names, FEATURES_VERSION, "these features")
        self._place, self._names = place_of(where), tuple(names)
        self._place.prepare()
        self._part = 1 + max(map(_number, self._place.parts(TABLE)), default=0)
        self._rows: list[Entry] = []

    def append(self, entry: Entry) -> None:
        """Write a decision.

        Raises :class:`RecordingError` if that fails, and :class:`UsageError` for features that are not the log's.
        """
        if entry.context.features.names != self._names:
            raise UsageError("cannot log a decision: its features are not those of the log (begin another log)")
        if len(self._rows) >= _MOST_ROWS:
            self._rows.clear()
            self._part += 1
        self._rows.append(entry)
        self._write()

    def settle(self, reward: float | None, gap_ns: int | None = None, reason: str | None = None) -> None:
        """Write what came of the newest decision. The errors are those of :meth:`append`."""
        newest = self._rows[-1]
        self._rows[-1] = replace(newest, reward=reward, gap_ns=gap_ns, reason=reason or newest.reason)
        self._write()

    def _write(self) -> None:
        name = f"{TABLE}/part-{self._part:06d}.parquet"
        self._place.write(name, _batch(self._rows, self._names))


def _number(part: str) -> int:
    digits = part.removesuffix(".parquet").rpartition("-")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else 0


def _batch(entries: Sequence[Entry], names: Sequence[str]) -> pa.RecordBatch:
    fields = [pa.field(name, kind, metadata={"meaning": meaning}) for name, kind, meaning in COLUMNS]
    facts = {_VERSION: str(LOG_VERSION), _NAMES: "\n".join(names), _FEATURES: str(FEATURES_VERSION)}
    columns = zip(*map(_row, entries), strict=True)
    arrays = [_array(list(values), kind) for values, (_, kind, _) in zip(columns, COLUMNS, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=pa.schema(fields, metadata=facts))


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """As pa.array(), which would import pandas: 40 MB."""
    if not pa.types.is_list(kind):
        return from_list(values, kind)
    known = np.array([value is not None for value in values], bool)
    lists = [value or [] for value in values]
    ends = np.cumsum([0, *map(len, lists)], dtype=np.int32)
    flat = from_list([one for value in lists for one in value], kind.value_type)
    return pa.ListArray.from_arrays(from_numpy(ends), flat, type=kind, mask=from_numpy(~known))


def _row(entry: Entry) -> tuple[object, ...]:
    vector, chances = entry.context.features, entry.propensities
    return (
        *(entry.time_ns, entry.wall_time_ns // 1000, entry.window_id, vector.values.tolist(), vector.mask.tolist()),
        *(entry.context.running, entry.context.busiest_cpu, list(entry.arms)),
        [chances.get(arm) for arm in entry.arms] if chances else None,
        *(entry.arm, entry.propensity, entry.reward, entry.gap_ns, entry.reason, entry.policy, entry.policy_rewards),
    )


# ---- reading ----


def read_log(where: str | os.PathLike[str]) -> list[Entry]:
    """All decisions of a log, in their order.

    Raises :class:`RecordingError` if it is missing, has no decision, or is damaged, and :class:`UsageError` if it is of
    another version or has the features of another.
    """
    place = place_of(where)
    parts = place.parts(TABLE) if place.exists() else []
    if not parts or len(parts) > _MOST_PARTS:
        raise RecordingError(f"cannot read {place}: no log of decisions in it (name the directory of an agent's log)")
    entries: list[Entry] = []
    for part in parts:
        entries += _read_part(place, f"{TABLE}/{part}")
    if any(entry.context.features.names != entries[0].context.features.names for entry in entries):
        raise UsageError(f"cannot use {place}: its parts have different features (evaluate them one by one)")
    return entries


def _read_part(place: Place, name: str) -> Iterator[Entry]:
    path = place.path(name)
    try:
        with place.open(name) as file:
            facts = file.schema_arrow.metadata or {}
            if not file.schema_arrow.remove_metadata().equals(_PLAIN) or _is_too_large(file.metadata):
                raise RecordingError(f"cannot read {path}: its columns are not those of a log (is it one?)")
            table = file.read()
        table.validate(full=True)
        version, features = facts[_VERSION].decode(), int(facts[_FEATURES])
        names = tuple(facts[_NAMES].decode().split("\n"))
        rows = table.to_pylist()
    except (OSError, pa.ArrowException, LookupError, ValueError, MemoryError, OverflowError) as error:
        raise RecordingError(f"cannot read {path}: it is damaged, or no part of a log (remove it)") from error
    if version != str(LOG_VERSION):
        raise UsageError(f"cannot use {path}: its version is {version[:20]!r}, this schedtel has {LOG_VERSION}")
    check_features(names, features, path)
    for number, row in enumerate(rows, 1):
        entry = _entry(row, names)
        if entry is None:
            raise RecordingError(f"cannot read {path}: row {number} makes no sense (was it changed by hand?)")
        yield entry


def _is_too_large(metadata: Any) -> bool:
    """Whether a file claims more rows, or more elements of lists in them, than a part has."""
    columns = (metadata.row_group(g).column(c) for g in range(metadata.num_row_groups) for c in range(len(COLUMNS)))
    return metadata.num_rows > _MOST_ROWS or sum(c.num_values for c in columns) > _MOST_ELEMENTS


def _entry(row: Mapping[str, Any], names: tuple[str, ...]) -> Entry | None:
    """A row as a decision; None where it cannot be one."""
    try:
        values, mask = np.array(row["features"], np.float64), np.array(row["missing"], bool)
        arms, chances, arm = list(row["arms"]), row["propensities"], row["arm"]
        pairs = zip(arms, chances, strict=True) if chances is not None else ()
        named = {arm: float(chance) for arm, chance in pairs if chance is not None}
        time_ns, window_id = int(row["time_ns"]), int(row["window_id"])
        wall_time_ns = 1000 * ((row["wall_time"] - _EPOCH) // timedelta(microseconds=1))
    except (TypeError, ValueError, AttributeError, OverflowError):
        return None
    numbers = [row[name] for name in ("reward", "busiest_cpu") if row[name] is not None]
    makes_sense = (
        values.shape == mask.shape == (len(names),)
        and np.isfinite([*values, *numbers, *named.values()]).all()
        and 1 <= len(arms) <= MOST_ARMS
        and len(set(arms)) == len(arms)
        and all(arms)
        and arm in arms
        and (not named or (abs(sum(named.values()) - 1) < 1e-6 and min(named.values()) >= 0 and named.get(arm, 0) > 0))
        and row["propensity"] == named.get(arm)
    )
    if not makes_sense:
        return None
    context = Context(FeatureVector(names, values, mask), str(row["running"] or ""), row["busiest_cpu"])
    result = (row["reward"], row["gap_ns"], row["reason"], str(row["policy"] or ""), int(row["policy_rewards"] or 0))
    return Entry(time_ns, wall_time_ns, window_id, context, arms, str(arm), named, *result)
