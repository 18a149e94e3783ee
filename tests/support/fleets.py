"""Windows of many hosts, and what datasets of them must hold."""

from samples import changed


def hosts(windows, *names):
    """Each window once for each of these hosts."""
    return [changed(window, host=name) for window in windows for name in names]


def rows_in(windows, table):
    """How many rows a table has, over all windows."""
    return sum(getattr(window, table).num_rows for window in windows)


def assert_same_numbers(found, windows):
    assert [w.to_ndjson() for w in found] == [w.to_ndjson() for w in windows]
