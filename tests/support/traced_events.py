"""Events of this machine, traced while a test does something."""

import threading
from contextlib import contextmanager

import pyarrow as pa

import schedtel


class Traced:
    """The batches of live events so far; all of them once the body of :func:`tracing` is over."""

    def __init__(self):
        self.batches = []

    def table(self, name):
        return pa.concat_tables([getattr(batch, name) for batch in self.batches])

    def rows(self, name, **where):
        return [
            row for row in self.table(name).to_pylist() if all(row[column] == value for column, value in where.items())
        ]

    def gaps(self, *causes):
        return [row for row in self.rows("gaps") if row["cause"] in causes]


@contextmanager
def tracing(**options):
    """Trace in a thread while the body runs."""
    traced, failed = Traced(), []
    with schedtel.events(every="50ms", **options) as source:

        def collect():
            try:
                for batch in source:
                    traced.batches.append(batch)
            except BaseException as error:  # noqa: BLE001  (raised again below, where pytest sees it)
                failed.append(error)

        thread = threading.Thread(target=collect)
        thread.start()
        try:
            yield traced
        finally:
            source.stop()
            thread.join()
    if failed:
        raise failed[0]
