"""A directory of Parquet files in; the windows that were recorded there out.

    DIR/summary/part-000001.parquet
    DIR/tasks/part-000001.parquet
    DIR/cpus/part-000001.parquet

The tables ``preemptions``, ``throttled`` and ``machine`` have files only for parts in which they have rows. Part n of
every table holds the same windows. The newest part grows: after every window the recorder writes it again to another
file, and renames that file over it. So a reader sees complete files only, and a recorder that is killed loses at most
the window in progress. ``summary`` is written last: a window counts once its summary is there.

A part is closed when it is large or old enough, or when writing it takes so long that windows as short as these would
be held up. This bounds how much is written again.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from schedtel.errors import RecordingError, UsageError
from schedtel.recordings.parts import Damage, DamagedFile, Part
from schedtel.recordings.storage import order_of, place_of
from schedtel.windows.schema import SPARSE
from schedtel.windows.source import Source
from schedtel.windows.validation import Order
from schedtel.windows.window import Window

#: The name of a part's file: a stem, which is its writer's, and the part's number in its run.
_PART = re.compile(r"(.*)-(\d+)\.parquet")


class Recording(Source):
    """A recording as a source: the windows that were written, in order, with the same numbers.

    Windows whose summary is missing (the recorder was killed between two files) are skipped. So are windows that are
    damaged, and :attr:`damaged` tells of them. Use :func:`read` to open one.
    """

    is_repeatable = True

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._place = place_of(directory)
        if not self._place.exists():
            raise RecordingError(f"cannot read {self._place}: no such directory (name one that `schedtel record` made)")
        self._parts = self._place.parts("summary")
        if not self._parts:
            kind = (
                "it has events: use `schedtel timehist`, `schedtel report` or `schedtel events windows`"
                if self._place.parts("events")
                else "is it a recording?"
            )
            raise RecordingError(f"cannot read {self._place}: no window in it ({kind})")
        self._sparse = {table: set(self._place.parts(table)) for table in SPARSE}
        self._missing = self._missing_parts()
        #: What the last iteration has left out, and why: one :class:`Damage` for each part that is not whole.
        self.damaged: list[Damage] = []
        self._identified = False
        self.metadata = self._newest_facts()

    def _missing_parts(self) -> list[Damage]:
        # Listed after the summaries: a part that is begun meanwhile is not taken for one whose summary is missing.
        others = self._place.parts("tasks")
        if any(_gaps(self._parts, others)):  # a writer may have added parts while the summaries were listed
            self._parts = self._place.parts("summary")
        path = self._place.path
        return [
            Damage(path(f"summary/{part}"), "No such file" + f", nor the next {count - 1}" * (count > 1))
            for part, count in _gaps(self._parts, others)
        ]

    @property
    def runs(self) -> set[tuple[str, ...]]:
        """The runs that have windows here, each as the names of its host's folder and its own folder.

        A plain recording has one run, the empty tuple. ``metadata`` is that of the newest run; runs may differ in
        their window and filter.
        """
        return {_run_of(part) for part in self._parts}

    def has_rows(self, table: str) -> bool:
        """Whether ``table``, one of those that a recording may lack, has any row: without rows it has no files."""
        return bool(self._sparse[table])

    def need_identity(self, purpose: str) -> None:
        """Raise :class:`UsageError` if the windows lack a host or a wall clock, as those of an imported trace may.

        From then on, a single window that lacks one counts as damaged.

        :param purpose: the verb of the message, such as ``serve``: what needs both.
        """
        known = self.metadata.get("host") and self.metadata.get("imported_wall_clock")
        if imported_from(self.metadata) and not known:
            raise UsageError(
                f"cannot {purpose} {self._place}: it was imported, and knows no host or no wall clock "
                "(import it with --host and --wall-start)"
            )
        self._identified = True

    def _newest_facts(self) -> dict[str, str]:
        """The footer metadata of the newest part that can be read, without the prefix."""
        first: DamagedFile | None = None
        for part in reversed(self._parts):
            try:
                return Part(self._place, part).facts()
            except DamagedFile as found:
                first = first or found
        assert first is not None
        raise first.damage.error() from first

    def __iter__(self) -> Iterator[Window]:
        self.damaged = damaged = list(self._missing)
        orders: defaultdict[tuple[str, ...], Order] = defaultdict(Order)
        whole = 0
        for name in self._parts:
            for window in self._windows_of(name, orders[_run_of(name)], damaged):
                whole += 1
                yield window
        if not whole:
            raise damaged[-1].error()

    def _windows_of(self, name: str, order: Order, damaged: list[Damage]) -> Iterator[Window]:
        """The whole windows of a part; what is wrong with the others is appended to ``damaged``."""
        part = Part(self._place, name)
        try:
            yield from part.windows(order, identified=self._identified)
        except DamagedFile as found:
            damaged.append(found.damage)
        if part.damage:
            damaged.append(part.damage)


def _run_of(part: str) -> tuple[str, ...]:
    return tuple(order_of(part)[:-1])


def _gaps(summaries: list[str], others: list[str]) -> Iterator[tuple[str, int]]:
    """Parts that have no summary, though their writer has begun a later part: the first of each gap, and their number.

    :param others: parts of a table whose files are written before the summary.
    """
    begun = _numbered(others)
    for writer, parts in _numbered(summaries).items():
        before = min([*begun[writer], *parts]) - 1
        for number in sorted(parts):
            if number > before + 1:
                folder, stem = os.path.dirname(parts[number]), writer[-1]
                made_up = os.path.join(folder, f"{stem}-{before + 1:06d}.parquet")
                yield begun[writer].get(before + 1, made_up), number - before - 1
            before = number


def _numbered(parts: list[str]) -> defaultdict[tuple[str, ...], dict[int, str]]:
    """Run and writer of parts → their numbers → their paths."""
    found: defaultdict[tuple[str, ...], dict[int, str]] = defaultdict(dict)
    for part in parts:
        name = _PART.fullmatch(os.path.basename(part))
        if name:
            found[*_run_of(part), name[1]][int(name[2])] = part
    return found


def imported_from(facts: Mapping[str, str]) -> str:
    """The form and the file of the trace that a recording was imported from; ``""`` if it was not imported.

    :param facts: the recording's metadata.
    """
    form, trace = facts.get("imported_from"), facts.get("imported_file")
    return f"{form}, {trace}" if form else ""


def read(directory: str | os.PathLike[str]) -> Recording:
    """Open a recording made by ``schedtel record`` or :class:`Recorder`, or a fleet's dataset: a directory or a URI.

    Raises :class:`RecordingError` when it is missing, damaged, or of another version of the definitions.
    """
    return Recording(directory)
