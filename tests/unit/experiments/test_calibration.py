"""What was beside the jobs of a run, from made-up windows: counts that can be divided on paper."""

from dataclasses import replace

import pyarrow as pa
import pytest
from samples import replaced

from schedtel.errors import UsageError
from schedtel.experiments.calibration import calibrated
from schedtel.experiments.design import cells
from schedtel.experiments.spec import spec_of
from schedtel.experiments.store import Run, Store
from schedtel.recordings.recorder import Recorder

MS = 1_000_000
#: Ten jobs of 10 ms.
TEXT = """
duration = "100ms"
[classes.job]
arrival = { kind = "periodic", period = "10ms" }
service = "10ms"
"""


@pytest.fixture
def root(tmp_path, windows):
    """One run of a window. Others woke 10 times and took 20 ms; the generator, "workload", is not of them."""
    (tmp_path / "ten.toml").write_text(TEXT)
    spec = spec_of({"workloads": [str(tmp_path / "ten.toml")], "schedulers": ["eevdf"], "repeats": 1}, "made up")
    store, cell = Store(tmp_path / "runs", spec), cells(spec)[0]
    folder = store.begin(cell)
    rows = windows[0].tasks.take(pa.array([0, 0, 0]))
    values = {"comm": ["job", "other", "workload"], "wakeups": [5, 10, 100], "cpu_ns": [90 * MS, 20 * MS, 3 * MS]}
    with Recorder(folder, "1s") as recorder:
        recorder.add(replace(windows[0], tasks=replaced(rows, **values)))
        recorder.flush()
    figures = {"cpu_ns": 103.0 * MS, "jobs_completed": 10.0, "jobs_counted": 10.0}
    store.finish(Run(cell, figures, {"dispatcher_cpu_ns": 250_000}))
    return tmp_path / "runs"


def test_it_is_what_was_beside_the_jobs(root, windows, tmp_path):
    """100 ms of work took 103; ten releases took 250 µs; the window is shared by ten tasks of others of 2 ms each."""
    assert calibrated(root, [str(tmp_path / "ten.toml")]) == {
        "dispatch_ns": 25_000,
        "slower_millionths": pytest.approx(30_000, abs=1),
        "others_gap_ns": (windows[0].end_ns - windows[0].start_ns) // 10,
        "others_ns": 2 * MS,
    }


def test_runs_of_no_such_workload_are_refused(root):
    with pytest.raises(UsageError, match="no run under eevdf is of these workloads"):
        calibrated(root, ["web"])
