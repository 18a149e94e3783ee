"""What a column is: name, type, unit and meaning in; an Arrow field out."""

from dataclasses import dataclass

import pyarrow as pa

from schedtel.records import histogram
from schedtel.records.layout import FINE_BUCKETS


@dataclass(frozen=True)
class Column:
    """One column. ``scope`` of a summary column: the whole host, or the tasks a filter selects.

    ``summed``: a row that stands for several tasks (`other`, a group) has the sum of theirs.
    """

    name: str
    type: pa.DataType
    unit: str
    meaning: str
    scope: str = ""
    summed: bool = False

    def field(self) -> pa.Field:
        """The Arrow field, with unit, meaning and scope as its metadata."""
        metadata = {"unit": self.unit, "meaning": self.meaning} | ({"scope": self.scope} if self.scope else {})
        if pa.types.is_fixed_size_list(self.type):
            edges = histogram.FINE_EDGES_NS if self.type.list_size == FINE_BUCKETS else histogram.TASK_EDGES_NS
            metadata["bucket_edges_ns"] = " ".join(map(str, edges))
        return pa.field(self.name, self.type, metadata=metadata)


def nanoseconds(name: str, meaning: str, scope: str = "") -> Column:
    """A column of a time."""
    return Column(name, pa.int64(), "ns", meaning, scope)


def count(name: str, meaning: str, scope: str = "") -> Column:
    """A column of a number of things."""
    return Column(name, pa.int64(), "1", meaning, scope)
