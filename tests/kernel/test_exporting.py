"""The live source as metrics: the laws hold for every scrape, and a signal ends the exporter."""

import os
import re
import signal
import sys
import time
import urllib.request

import pytest
from surroundings import announced
from waiting import PATIENCE_S, eventually

COMMAND = [sys.executable, "-m", "schedtel.cli", "export", "prometheus", "--listen", "127.0.0.1:0"]


@pytest.fixture
def exporting():
    """Start `schedtel export prometheus`; returns its process and URL. What still runs at the end is killed."""
    pytest.importorskip("prometheus_client", reason="needs prometheus-client (pip install)")
    with announced("exporting on ") as begin:
        yield lambda *arguments: begin([*COMMAND, *arguments])


def scrape(url):
    """The answer to a scrape: series, as the exposition writes it → value."""
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        lines = [line for line in answer.read().decode().splitlines() if not line.startswith("#")]
    return {series: float(value) for series, _, value in (line.rpartition(" ") for line in lines)}


def scrape_after(url, windows):
    found = {}

    def came():
        found.update(scrape(url))
        return found["schedtel_windows_total"] >= windows

    eventually(came)
    return found


def total(found, name):
    return sum(value for series, value in found.items() if series.partition("{")[0] == name)


def test_law_2_holds_of_every_scrape_of_a_live_run(exporting, start):
    """CPU time of all cgroups, teardown, untracked and idle time fill the CPUs; no counter goes back."""
    begin = time.time()
    process, url = exporting("-w", "200ms", "--max-cgroups", "1")
    start("storm", 200).wait()
    first = scrape_after(url, scrape(url)["schedtel_windows_total"] + 2)
    second = scrape_after(url, first["schedtel_windows_total"] + 2)
    for found in (first, second):
        parts = [
            f"schedtel_{part}_seconds_total" for part in ("cgroup_cpu", "cpu_teardown", "cpu_untracked", "cpu_idle")
        ]
        time_s = found["schedtel_observed_seconds_total"] * os.cpu_count()
        assert sum(total(found, part) for part in parts) == pytest.approx(time_s, rel=1e-3)
        assert found["schedtel_tasks_completed_total"] >= 200
        assert found["schedtel_tat_seconds_count"] >= 200
        assert total(found, "schedtel_cgroup_wait_seconds_count") == found["schedtel_wait_seconds_count"]
    counters = [series for series in first if re.search(r"_(total|count|bucket)(\{|$)", series)]
    assert all(second[series] >= first[series] for series in counters)
    ended = [found["schedtel_last_window_timestamp_seconds"] for found in (first, second)]
    assert begin < ended[0] < ended[1] < time.time()
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == 0
    assert re.match(r"exported \d+ windows, ", process.stderr.read())
