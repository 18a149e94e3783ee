"""Windows of one host or of several in; one reading for each host out. No series mixes two hosts.

If the source is this machine, all windows are of one host, and the scraper knows it by its address. Windows of any
other source name their host, and so do the metrics: by the label ``host`` in Prometheus, by one resource for each host
in OpenTelemetry. Hosts beyond a maximum are summed in the host ``other``.
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
#: Key of the only host, if all windows are of one.
_ONLY = ""


class Totals:
    """Sums over windows, for each host. One thread may read while another adds windows.

    :param max_cgroups: number of cgroups of each host with series of their own.
    :param max_hosts: number of hosts with series of their own; None if all windows are of one host.
    """

    def __init__(self, max_cgroups: int = DEFAULT_MAX_CGROUPS, max_hosts: int | None = None) -> None:
        self._lock = threading.Lock()
        self._max_cgroups, self._max_hosts = max_cgroups, max_hosts
        self._hosts = {_ONLY: HostTotals(max_cgroups)} if max_hosts is None else {}

    @property
    def windows(self) -> int:
        """Number of windows added."""
        with self._lock:
            return sum(host.windows for host in self._hosts.values())

    @property
    def losses(self) -> dict[str, int]:
        """Loss counter → its sum over all windows; and ``windows_missed``, the windows that did not arrive."""
        with self._lock:
            each = [host.losses for host in self._hosts.values()]
        return {name: sum(losses[name] for losses in each) for name in (*LOSSES, "windows_missed")}

    def add(self, window: Window, missed: int = 0) -> None:
        """Add the next window of its host; ``missed`` windows before it did not arrive."""
        with self._lock:
            self._of(window).add(window, missed)

    def _of(self, window: Window) -> HostTotals:
        if self._max_hosts is None:
            return self._hosts[_ONLY]
        name = host_of(window)
        if name not in self._hosts and len(self._hosts.keys() - {OTHER}) >= self._max_hosts:
            name = OTHER
        if name not in self._hosts:
            # Cgroups of the same path on different hosts share only their name, so `other` has none of its own.
            self._hosts[name] = HostTotals(0, several=True) if name == OTHER else HostTotals(self._max_cgroups)
        return self._hosts[name]

    def read(self) -> list[Reading]:
        """The current values of all metrics, a reading for each host."""
        with self._lock:
            return [host.read() for host in self._hosts.values()]

    def families(self) -> list[tuple[Metric, list[Series]]]:
        """All metrics of all hosts with their series; with the label ``host`` unless ``max_hosts`` is None."""
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
