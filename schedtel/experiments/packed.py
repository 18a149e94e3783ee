"""All runs of an experiment ⇄ one file of Parquet, without their recordings: a row for each run.

The columns are ``workload``, ``scheduler``, ``repeat`` and ``seed``, and the run's figures and facts, each below a
prefix: ``figures.tat_mean_ns``, ``classes.hog.tat_mean_ns``, ``cpus.0.core_busy_share``, ``provenance.kernel``. What a
run does not have is null. The file's metadata has what was asked for. So the report can be made again from it.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schedtel.errors import RecordingError
from schedtel.experiments.spec import MOST_CELLS
from schedtel.experiments.store import NO_RUN, Run, run_of

_KEY = b"schedtel.experiment"
_CELL = ("workload", "scheduler", "repeat", "seed")
#: Flat parts of a run, and those with a name between.
_FLAT, _NAMED = ("figures", "provenance"), ("classes", "cpus")
#: A packed experiment of 100,000 runs is a tenth of this. What claims to be larger is not read.
_MOST_BYTES, _MOST_COLUMNS, _MOST_VALUES, _LONGEST_TEXT = 64 << 20, 4096, 20_000_000, 4096


_ADVICE = "name a file of `schedtel experiment pack`"


def pack(spec: Mapping[str, Any], runs: Sequence[Run]) -> bytes:
    """The runs as the content of a file.

    :param spec: what was asked for, as :func:`~schedtel.experiments.store.read_store` has it.
    """
    rows = [dict(_cells(run)) for run in runs]
    names = [*_CELL, *sorted({name for row in rows for name in row} - {*_CELL})]
    columns = {name: _column([row.get(name) for row in rows]) for name in names}
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(dict(spec), sort_keys=True)})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _cells(run: Run) -> Iterator[tuple[str, object]]:
    yield from ((name, getattr(run.cell, name)) for name in _CELL)
    for part in _FLAT:
        yield from ((f"{part}.{name}", value) for name, value in getattr(run, part).items())
    for part in _NAMED:
        for name, figures in getattr(run, part).items():
            yield from ((f"{part}.{name}.{figure}", value) for figure, value in figures.items())


def _column(values: Sequence[object]) -> pa.Array:
    """The values in one type; as texts, where they have several."""
    try:
        column = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if value is None else str(value) for value in values])
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Whether a path is that of a file, and so not of a directory of runs."""
    return Path(path).is_file()


def unpack(path: str | os.PathLike[str]) -> tuple[dict[str, Any], list[Run]]:
    """What was asked for, and the runs, of a file. Raises :class:`RecordingError` for a file that holds none."""
    try:
        table = _table(path)
        spec = dict(json.loads((table.schema.metadata or {})[_KEY]))
        return spec, [run_of(_nested(row)) for row in table.to_pylist()]
    except (OSError, pa.ArrowException, RecursionError, *NO_RUN) as error:
        of_system = error.strerror if isinstance(error, OSError) else None  # pyarrow's own errors of I/O have none
        why = f"{of_system} (check the path)" if of_system else f"it holds no experiment ({_ADVICE})"
        raise RecordingError(f"cannot read {path}: {why}") from error


def _table(path: str | os.PathLike[str]) -> pa.Table:
    """The table of a file, if it is as small as it must be. Raises :class:`ValueError` if it is not."""
    with open(path, "rb") as stream:
        if os.fstat(stream.fileno()).st_size > _MOST_BYTES:
            raise ValueError("too large")
        file = pq.ParquetFile(stream)
        rows, schema = file.metadata.num_rows, file.schema_arrow
        if rows > MOST_CELLS or len(schema) > _MOST_COLUMNS or rows * len(schema) > _MOST_VALUES:
            raise ValueError("too many values")
        if not all(map(_is_plain, schema.types)):
            raise ValueError("nested values")
        # A text that is repeated is in the file once. As a dictionary it is in memory once.
        texts = [field.name for field in schema if pa.types.is_string(field.type)]
        table = pq.ParquetFile(stream, read_dictionary=texts).read()
    if any(len(text or "") > _LONGEST_TEXT for name in texts for chunk in table[name].chunks for text in _texts(chunk)):
        raise ValueError("a text that is too long")
    return table


def _texts(chunk: pa.Array) -> list[str | None]:
    found = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
    return found.to_pylist()


def _is_plain(kind: pa.DataType) -> bool:
    is_number = pa.types.is_integer(kind) or pa.types.is_float64(kind)
    return is_number or pa.types.is_boolean(kind) or pa.types.is_string(kind)


def _nested(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as the table that a run's own file would have had."""
    found: dict[str, Any] = {"cell": {}, **{part: {} for part in (*_FLAT, *_NAMED)}}
    for name, value in row.items():
        part, _, rest = name.partition(".")
        if name in _CELL:
            found["cell"][name] = value
        elif value is None and part != "provenance":
            continue
        elif part in _FLAT:
            found[part][rest] = value
        else:
            owner, _, figure = rest.rpartition(".")
            found[part].setdefault(owner, {})[figure] = value
    return found
