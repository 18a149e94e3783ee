"""Windows of one host or of several in, a reading for each host out: no series is of two of them.

Where the source is this machine, all windows are of one host, which whoever scrapes knows by its address. Windows of
another source say whose they are, and so do their metrics: by the label ``host`` in Prometheus, by a resource each in
OpenTelemetry. So many hosts are told apart, and the rest are summed in the host ``other``.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

from schedtel.export.cgroups import DEFAULT_MAX_CGROUPS
from schedtel.export.definitions import HOST_LABEL, Metric
from schedtel.export.series_slots import OTHER
from schedtel.export.totals import HostTotals, Reading, Series
from schedtel.recordings.dataset import host_of
from schedtel.windows.schema import LOSSES
from schedtel.windows.window import Window

DEFAULT_MAX_HOSTS = 20
#: What stands for the one host there is.
_ONLY = ""


class Totals:
    """Sums over windows, for each host. Safe to read in one thread while windows are added in another.

    :param max_cgroups: cgroups with series of their own, of each host.
    :param max_hosts: hosts that are told apart; None where all windows are of one.
    """

    def __init__(self, max_cgroups: int = DEFAULT_MAX_CGROUPS, max_hosts: int | None = None) -> None:
        self._lock = threading.Lock()
        self._max_cgroups, self._max_hosts = max_cgroups, max_hosts
        self._hosts = {_ONLY: HostTotals(max_cgroups)} if max_hosts is None else {}

    @property
    def windows(self) -> int:
        """How many were added."""
        with self._lock:
            return sum(host.windows for host in self._hosts.values())

    @property
    def losses(self) -> dict[str, int]:
        """The loss counters over all windows, and the windows that did not come."""
        with self._lock:
            each = [host.losses for host in self._hosts.values()]
        return {name: sum(losses[name] for losses in each) for name in (*LOSSES, "windows_missed")}

    def add(self, window: Window, missed: int = 0) -> None:
        """Add the next window of its host; before it, ``missed`` did not come."""
        with self._lock:
            self._of(window).add(window, missed)

    def _of(self, window: Window) -> HostTotals:
        if self._max_hosts is None:
            return self._hosts[_ONLY]
        name = host_of(window)
        if name not in self._hosts and len(self._hosts.keys() - {OTHER}) >= self._max_hosts:
            name = OTHER
        if name not in self._hosts:
            # What cgroups of the same path have in common is their name.
            self._hosts[name] = HostTotals(0, several=True) if name == OTHER else HostTotals(self._max_cgroups)
        return self._hosts[name]

    def read(self) -> list[Reading]:
        """All metrics of each host, as they are now."""
        with self._lock:
            return [host.read() for host in self._hosts.values()]

    def families(self) -> list[tuple[Metric, list[Series]]]:
        """All metrics of all hosts; where hosts are told apart, with the label ``host``."""
        readings = self.read()
        if self._max_hosts is None:
            return readings[0].families
        merged: dict[Metric, list[Series]] = {}
        for reading in readings:
            for metric, series in _of_host(reading):
                merged.setdefault(metric, []).extend(series)
        return list(merged.items())


def _of_host(reading: Reading) -> Iterator[tuple[Metric, list[Series]]]:
    for metric, series in reading.families:
        if HOST_LABEL in metric.labels:
            yield metric, series
        else:
            labelled = [replace(one, labels=(reading.host, *one.labels)) for one in series]
            yield replace(metric, labels=(HOST_LABEL, *metric.labels)), labelled
