"""Examples ⇄ one file of Parquet, so that a policy can be trained again without the recordings of the runs.

A row is a window: the number of its experiment, its workload, arm and repeat, the logarithm of its run's cost, the
busiest CPU, and its features, null where one is missing. The file's metadata has what is known of each experiment.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from schedtel.agent.context import check_features
from schedtel.agent.replay import CostTable, Measured
from schedtel.errors import RecordingError, UsageError
from schedtel.training.examples import Examples
from schedtel.windows.features import FEATURES_VERSION, FeatureVector

_KEY = b"schedtel.examples"
_PREFIX = "features."
_HEAD = pa.schema(
    [
        ("experiment", pa.int64()),
        ("workload", pa.string()),
        ("arm", pa.string()),
        ("repeat", pa.int64()),
        ("cost", pa.float64()),
        ("busiest_cpu", pa.float64()),
    ]
)
#: What claims to be larger is not read: an experiment of 100,000 runs is a tenth of it.
_MOST_BYTES, _MOST_ROWS, _MOST_COLUMNS = 64 << 20, 2_000_000, 256
#: What a file that holds no examples raises.
_NONE = (pa.ArrowException, TypeError, ValueError, LookupError, AttributeError, RecursionError, OverflowError)


def pack(examples: Sequence[Examples]) -> bytes:
    """The examples as the content of a file. All of them have the same features."""
    rows = [(number, one) for number, each in enumerate(examples) for one in each.table.windows()]
    names = rows[0][1].features.names
    columns: dict[str, list[object]] = {
        "experiment": [number for number, _ in rows],
        **{name: [getattr(one, name) for _, one in rows] for name in _HEAD.names[1:]},
    }
    vectors = [one.features.as_dict() for _, one in rows]
    columns |= {f"{_PREFIX}{name}": [vector[name] for vector in vectors] for name in names}
    facts = [
        {"title": each.title, "default": each.table.arms[0], "placebo": each.placebo, "provenance": each.provenance}
        for each in examples
    ]
    said = {_KEY: json.dumps({"features_version": FEATURES_VERSION, "experiments": facts}, sort_keys=True)}
    fields = [*_HEAD, *(pa.field(f"{_PREFIX}{name}", pa.float64()) for name in names)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns, schema=pa.schema(fields, metadata=said)), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def unpack(path: str | os.PathLike[str]) -> list[Examples]:
    """The examples in a file.

    Raises :class:`RecordingError` for a file that holds none, and :class:`UsageError` for features of another version.
    """
    try:
        table = _table(path)
        said = json.loads((table.schema.metadata or {})[_KEY])
        names = [name.removeprefix(_PREFIX) for name in table.schema.names[len(_HEAD) :]]
        check_features(names, said["features_version"], f"the examples in {os.fspath(path)}")
        return [_examples(table, names, number, facts) for number, facts in enumerate(said["experiments"])]
    except OSError as error:
        raise RecordingError(f"cannot read {path}: {error.strerror or 'it is damaged'} (check the path)") from error
    except UsageError:  # which is a ValueError
        raise
    except _NONE as error:
        raise RecordingError(f"cannot read {path}: it holds no examples (make them by `agent train`)") from error


def _table(path: str | os.PathLike[str]) -> pa.Table:
    """The table of a file, if it is of the right shape and as small as it must be; raises one of ``_NONE`` else."""
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_size > _MOST_BYTES:
            raise ValueError("too large")
        file = pq.ParquetFile(stream)
        schema = file.schema_arrow
        if file.metadata.num_rows > _MOST_ROWS or len(schema) > _MOST_COLUMNS:
            raise ValueError("too many values")
        head = pa.schema(list(schema)[: len(_HEAD)])
        rest = list(schema)[len(_HEAD) :]
        if not head.equals(_HEAD) or not all(field.type == pa.float64() for field in rest):
            raise ValueError("other columns")
        return file.read()


def _examples(table: pa.Table, names: Sequence[str], number: int, facts: Mapping[str, Any]) -> Examples:
    rows = [row for row in table.to_pylist() if row["experiment"] == number]
    measured = [_measured(row, names) for row in rows]
    placebo = {str(workload): float(cost) for workload, cost in facts["placebo"].items()}
    provenance = {str(name): value for name, value in facts["provenance"].items()}
    return Examples(str(facts["title"]), CostTable(measured, str(facts["default"])), placebo, provenance)


def _measured(row: Mapping[str, Any], names: Sequence[str]) -> Measured:
    values = [row[f"{_PREFIX}{name}"] for name in names]
    mask = np.array([value is None for value in values], bool)
    vector = FeatureVector(tuple(names), np.array([value or 0.0 for value in values], np.float64), mask)
    busiest = row["busiest_cpu"]
    if not np.isfinite(vector.values).all() or not math.isfinite(busiest or 0.0):
        raise ValueError("a feature that is no number")
    return Measured(str(row["workload"]), str(row["arm"]), float(row["cost"]), vector, busiest, int(row["repeat"]))
