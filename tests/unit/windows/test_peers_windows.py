"""Which windows are taken from elsewhere; tests/hostile/peers.py has the table of those that are not."""

import sys
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pytest
from peers import wide
from samples import changed, renamed, replaced

from schedtel.windows import validation
from schedtel.windows.validation import check_name, check_size, check_window


def test_sound_windows_are_taken(windows):
    for window in windows:
        check_window(window)
        check_window(renamed(window, 'a"\n\x1b[2J\\'))


def test_what_a_backend_or_an_import_cannot_tell_may_be_null(windows):
    nothing = dict.fromkeys(("kernel", "scheduler", "steal_ns", "throttled_ns", "bpf_ns", "collector_cpu_ns"))
    check_window(changed(windows[0], **nothing, iowait_avg=None, fairness_cv=None))
    rows = windows[0].tasks.num_rows
    check_window(replace(windows[0], tasks=replaced(windows[0].tasks, tgid=[None] * rows, iowait_ns=[None] * rows)))


def test_an_imported_window_need_not_have_a_host_or_a_wall_clock(windows):
    imported = changed(windows[0], host=None, wall_start=None)
    check_window(imported, identified=False)
    with pytest.raises(ValueError, match="is null"):
        check_window(imported)


def test_nan_is_no_number(windows):
    """schedtel writes null."""
    with pytest.raises(ValueError, match="fairness_cv is no number"):
        check_window(changed(windows[0], fairness_cv=float("nan")))


def test_other_columns_are_refused(windows):
    with pytest.raises(ValueError, match="columns of cpus are not those"):
        check_window(replace(windows[0], cpus=pa.RecordBatch.from_pydict({"cpu": ["0"]})))


def test_a_window_has_limits_of_rows_and_bytes(windows, monkeypatch):
    check_window(wide(windows[0], 100_000))
    with pytest.raises(ValueError, match=r"rows of \d+ bytes \(at most"):
        check_size(wide(windows[0], validation.MOST_ROWS))
    monkeypatch.setattr(validation, "MOST_BYTES", 1000)
    with pytest.raises(ValueError, match="at most 250000 of 1000 are taken"):
        check_window(windows[0])


def test_a_check_does_no_work_of_its_own_for_each_row(windows):
    """Python's calls are counted, of functions in Python and in C: they are as many for a thousand times the rows."""

    def calls(window):
        made = Counter()
        sys.setprofile(lambda _, event, __: made.update([event]))
        try:
            check_window(window)
        finally:
            sys.setprofile(None)
        return made["call"], made["c_call"]

    few = calls(wide(windows[0], 10))
    assert few > (0, 0)
    assert calls(wide(windows[0], 10_000)) == few


@pytest.mark.parametrize("name", ["", "a\n", "\x1b", "é" * 50, "x" * 251, "../" * 90])
def test_names_that_do_not_fit_into_a_file_name_are_refused(name):
    with pytest.raises(ValueError, match="host is empty, not printable, or longer"):
        check_name("host", name)


@pytest.mark.parametrize("name", ["web1", "web1.example.org", "ü", "x" * 250, None])
def test_names_of_hosts_are_taken(name):
    check_name("host", name)
