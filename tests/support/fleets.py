"""Windows of many hosts, and what datasets of them must hold."""

from dataclasses import replace

import pyarrow as pa

from schedtel.windows.arrow import from_list


def changed(window, **columns):
    """A window with other values in its summary."""
    summary = window.summary
    arrays = [
        from_list([columns[field.name]], field.type) if field.name in columns else summary.column(field.name)
        for field in summary.schema
    ]
    return replace(window, summary=pa.RecordBatch.from_arrays(arrays, schema=summary.schema))


def hosts(windows, *names):
    """The windows once for each host, in turn."""
    return [changed(window, host=name) for window in windows for name in names]


def rows(windows, table):
    return sum(getattr(window, table).num_rows for window in windows)


def assert_same_numbers(found, windows):
    assert [w.to_ndjson() for w in found] == [w.to_ndjson() for w in windows]
