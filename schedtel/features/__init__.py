"""Windows in; rows of features out, as Arrow batches or as a data frame of pandas.

:mod:`schedtel.windows.features` has the table of all features, and makes the vector of one window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import TYPE_CHECKING

import pyarrow as pa

from schedtel.windows.arrow import from_list
from schedtel.windows.features import FEATURES, FEATURES_VERSION, STUDY, VIEWS, Feature, FeatureVector, features_in
from schedtel.windows.schema import ARROW
from schedtel.windows.window import Window

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FEATURES",
    "FEATURES_VERSION",
    "STUDY",
    "VIEWS",
    "Feature",
    "FeatureVector",
    "batch_of",
    "batches",
    "features_in",
    "frame",
    "markdown",
    "schema",
]

#: Columns of `summary` that say which window a row is of. The scheduler is what a model is trained to choose.
IDENTITY = ("window_id", "window_start_ns", "wall_start", "host", "scheduler")


@cache
def schema(view: str = "all") -> pa.Schema:
    """The Arrow schema of a view: the columns of :data:`IDENTITY`, and a float64 for each feature, null if missing.

    Unit, meaning, part and source of a feature are in its field's metadata, the version in the schema's.

    Raises :class:`schedtel.UsageError` for another view.
    """
    identity = [ARROW["summary"].field(name) for name in IDENTITY]
    facts = {
        f.name: {"unit": f.unit, "meaning": f.meaning, "part": f.part, "source": f.source} for f in features_in(view)
    }
    named = [pa.field(name, pa.float64(), metadata=told) for name, told in facts.items()]
    return pa.schema([*identity, *named], metadata={"schedtel.features_version": str(FEATURES_VERSION)})


def batch_of(window: Window, view: str = "all") -> pa.RecordBatch:
    """The features of one window as a batch of one row, by :func:`schema`."""
    vector = window.features(view)
    numbers = [from_list([value], pa.float64()) for value in vector.as_dict().values()]
    return pa.RecordBatch.from_arrays([*(window.summary[name] for name in IDENTITY), *numbers], schema=schema(view))


def batches(windows: Iterable[Window], view: str = "all") -> Iterator[pa.RecordBatch]:
    """A batch of one row for each window, as it comes: a recording, a stream or a live source may be given."""
    return (batch_of(window, view) for window in windows)


def frame(windows: Iterable[Window], view: str = "all") -> pd.DataFrame:
    """The features of all windows as a data frame of pandas, a row a window; NaN where a feature is missing.

    :param windows: any source, such as ``schedtel.read("recording")``. It is read to its end.
    :param view: ``all``: every feature; ``study``: the names ``T_*`` of an earlier study.

    Raises :class:`schedtel.UsageError` for another view.
    """
    return pa.Table.from_batches(list(batches(windows, view)), schema=schema(view)).to_pandas()


def markdown() -> str:
    """The table of all features as Markdown, for the documentation."""
    lines = ["| feature | unit | part | source | meaning |", "|---|---|---|---|---|"]
    lines += [f"| `{f.name}` | {f.unit} | {f.part} | `{f.source}` | {f.meaning} |" for f in FEATURES]
    return "\n".join(lines) + "\n"
